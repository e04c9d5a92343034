//! A snapshot as text: which value is a sample of which family. What is known of the ways to the peers
//! is in [`super::ways`].

use prometheus::{
    Encoder as _, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
};
use vxlan_common::counters::NatField;

use super::{Family, Snapshot, families::*, ways};

/// A registry of one scrape.
pub(super) struct Scrape(Registry);

impl Scrape {
    /// Adds what is kept from scrape to scrape.
    pub(super) fn add(&self, family: impl Collector + 'static) -> prometheus::Result<()> {
        self.0.register(Box::new(family))
    }

    pub(super) fn counter(&self, family: &Family) -> prometheus::Result<IntCounterVec> {
        let vec = IntCounterVec::new(Opts::new(family.name, family.help), family.labels)?;
        self.add(vec.clone())?;
        Ok(vec)
    }

    pub(super) fn gauge(&self, family: &Family) -> prometheus::Result<IntGaugeVec> {
        let vec = IntGaugeVec::new(Opts::new(family.name, family.help), family.labels)?;
        self.add(vec.clone())?;
        Ok(vec)
    }

    /// A gauge of numbers that are not whole.
    pub(super) fn real(&self, family: &Family) -> prometheus::Result<GaugeVec> {
        let vec = GaugeVec::new(Opts::new(family.name, family.help), family.labels)?;
        self.add(vec.clone())?;
        Ok(vec)
    }
}

/// The text exposition of a snapshot.
pub fn render(snapshot: &Snapshot) -> prometheus::Result<String> {
    let scrape = Scrape(Registry::new());
    info(&scrape, snapshot)?;
    traffic(&scrape, snapshot)?;
    ways::render(&scrape, snapshot)?;
    drops(&scrape, snapshot)?;
    maps(&scrape, snapshot)?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&scrape.0.gather(), &mut text)?;
    String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

fn info(scrape: &Scrape, snapshot: &Snapshot) -> prometheus::Result<()> {
    let build = [env!("CARGO_PKG_VERSION"), env!("VXLAN_COMMIT")];
    scrape.gauge(&BUILD_INFO)?.with_label_values(&build).set(1);
    scrape.gauge(&RELOAD)?.with_label_values::<&str>(&[]).set(1);
    let underlay = &snapshot.state.underlay;
    let attached = scrape.gauge(&XDP_INFO)?;
    if let Some(xdp) = &underlay.xdp {
        let id = xdp.program_id.to_string();
        attached.with_label_values(&[&underlay.interface, xdp.mode.label(), &id]).set(1);
    }
    Ok(())
}

fn traffic(scrape: &Scrape, snapshot: &Snapshot) -> prometheus::Result<()> {
    let packets = scrape.counter(&PACKETS)?;
    let bytes = scrape.counter(&BYTES)?;
    let rewritten = scrape.counter(&NAT_REWRITTEN)?;
    let replies = scrape.counter(&NEIGHBOUR_REPLIES)?;
    let too_big = scrape.counter(&TOO_BIG_SENT)?;
    for link in &snapshot.links {
        let (vni, c) = (link.vni.to_string(), &link.counters);
        for (direction, n, size) in
            [("rx", c.rx_packets, c.rx_bytes), ("tx", c.tx_packets, c.tx_bytes)]
        {
            let labels = [link.peer.as_str(), &vni, direction];
            packets.with_label_values(&labels).inc_by(n);
            bytes.with_label_values(&labels).inc_by(size);
        }
        for field in NatField::ALL {
            let labels = [link.peer.as_str(), field.label()];
            rewritten.with_label_values(&labels).inc_by(c.nat[field as usize]);
        }
        let labels = [link.peer.as_str(), &vni];
        replies.with_label_values(&labels).inc_by(c.neighbour_replies);
        too_big.with_label_values(&labels).inc_by(c.too_big_sent);
    }
    Ok(())
}

fn drops(scrape: &Scrape, snapshot: &Snapshot) -> prometheus::Result<()> {
    let drops = scrape.counter(&DROPS)?;
    for drop in &snapshot.drops {
        let vni = drop.vni.map_or_else(String::new, |vni| vni.to_string());
        let peer = drop.peer.as_deref().unwrap_or_default();
        let labels = [drop.reason.direction(), drop.reason.label(), peer, &vni];
        drops.with_label_values(&labels).inc_by(drop.packets);
    }
    Ok(())
}

fn maps(scrape: &Scrape, snapshot: &Snapshot) -> prometheus::Result<()> {
    let entries = scrape.gauge(&MAP_ENTRIES)?;
    let capacity = scrape.gauge(&MAP_CAPACITY)?;
    let configured =
        snapshot.state.entries.iter().map(|at| (at.map.as_str(), at.entries, at.capacity));
    let learned = snapshot.usage.iter().map(|at| (at.map, at.entries, at.capacity));
    for (map, used, room) in configured.chain(learned) {
        entries.with_label_values(&[map]).set(i64::try_from(used).unwrap_or(i64::MAX));
        capacity.with_label_values(&[map]).set(i64::try_from(room).unwrap_or(i64::MAX));
    }
    Ok(())
}
