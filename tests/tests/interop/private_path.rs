//! A peer behind a 1:1 NAT that also has a private path to us. What arrives from its private
//! address was not rewritten, what arrives from its public one was.

use anyhow::{Result, ensure};
use vxlan_tests::{
    Config, Pair, Wire,
    daemon::Daemon,
    link::mac_text,
    two_hosts::{Family, Side, TwoHosts as _},
};

use crate::{
    ledger::{Ledger, Merging},
    meter::{Meter, Reading, quiet},
};

const A: &str = "10.0.0.2";
const B: &str = "10.0.0.119";
const B_PUBLIC: &str = "198.51.100.20";

/// `underlay` and `peer` are more lines for those sections.
fn configuration(end: Side, underlay: &str, endpoint: &str, peer: &str) -> Config {
    let number = 43 + end as u32;
    Config::new(end.name())
        .lines(underlay)
        .peer("other", endpoint)
        .lines(peer)
        .network(43, &format!("vxlan{number}"), &[end.address(Family::V4)])
        .member("other", &[end.other().prefix(Family::V4)])
}

#[test]
fn only_a_source_that_was_rewritten_counts_as_rewritten() -> Result<()> {
    let pair = Pair::with(&format!("{A}/24"), &format!("{B}/24"), 1500, Wire::Real)?;
    // `a` sends to the public address; here it is on the same wire.
    pair.b.run(&format!("ip addr add {B_PUBLIC}/32 dev eth0"))?;
    pair.a.run(&format!("ip route add {B_PUBLIC}/32 dev eth0"))?;
    pair.static_neighbours()?;
    let mac = mac_text(pair.b.mac("eth0")?);
    pair.a.run(&format!("ip neigh replace {B_PUBLIC} dev eth0 lladdr {mac}"))?;

    let private = format!("private_address = \"{B}\"\naccept_private = true");
    let a = configuration(Side::A, &format!("address = \"{A}\""), B_PUBLIC, &private);
    let a = Daemon::start(&pair.a, &pair.run, "a", &a)?;
    let underlay = format!("address = \"{B}\"\npublic_address = \"{B_PUBLIC}\"");
    let b = configuration(Side::B, &underlay, A, "");
    let mut b = Daemon::start(&pair.b, &pair.run, "b", &b)?;
    let a_meter = Meter::new(&pair.a, &[("vxlan43", 43)])?;
    let b_meter = Meter::new(&pair.b, &[("vxlan44", 43)])?;

    let exchange = |b: &Daemon, rewritten: bool| -> Result<()> {
        let read = || quiet(|| Ok((a_meter.read(&a)?, b_meter.read(b)?)));
        let before = read()?;
        pair.ping(Side::B, Family::V4, 20)?;
        let now = read()?;
        let (a, b): (Reading, Reading) = (now.0.since(&before.0), now.1.since(&before.1));
        let mut ledger = Ledger::default();
        ledger.host("a", &a, &[], Merging::None);
        ledger.host("b", &b, &[], Merging::None);
        ledger.equal("b sent, a received", b.tx(), a.rx());
        ledger.equal("a sent, b received", a.tx(), b.rx());
        let expected = if rewritten { a.rx() } else { 0 };
        ledger.equal("a: sources rewritten", a.rewritten_source, expected);
        ledger.equal("a: destinations rewritten", a.rewritten_destination, 0);
        ledger.equal("b: sources rewritten", b.rewritten_source, 0);
        // It gets them at its public address, as they were sent.
        ledger.equal("b: destinations rewritten", b.rewritten_destination, 0);
        ledger.close(&format!("rewritten: {rewritten}, {a:?}, {b:?}"))?;
        ensure!(a.rx() >= 20, "{a:?}");
        Ok(())
    };
    exchange(&b, false)?;
    // As if a NAT had been on the way: the same packets from the public address.
    b.terminate()?;
    b.write_config(&configuration(Side::B, &format!("address = \"{B_PUBLIC}\""), A, ""))?;
    b.launch()?;
    exchange(&b, true)
}
