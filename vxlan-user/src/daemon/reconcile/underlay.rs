//! The underlay interface, which may go, come back as another device, and change its addresses: what is
//! attached to it, which sockets are open on it, and whether anything can pass.
//!
//! The interface of the configured name counts, whichever device that is. While there is none, or none
//! of its declared addresses, the daemon stays and packets to peers are `no_neighbour`. Maps, counters
//! and overlay interfaces are not touched. Ways and MTUs are [`super::reconciler`]'s.

use std::{io, net::IpAddr, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    daemon::{
        directories::Directories,
        preflight::{addresses, attach_modes},
        probing::Probing,
        running::ActivePlane,
        takeover::replace,
    },
    dataplane::{TcHook, detach_deliver_filter},
    host::{self, Host, HostError, HostEvent, IcmpListener, IcmpMessage},
    metrics::SharedUnderlay,
    plan::{self, UnderlayFacts},
};

/// Of a second change of a link within a second the kernel may not tell until that is over
/// (net/core/link_watch.c). For so long carrier is looked for, once it was not there.
const HELD_BACK: Duration = Duration::from_secs(2);
/// And so often.
const LOOK: Duration = Duration::from_millis(50);

/// What is known of it.
pub(in crate::daemon) struct Underlay<'a> {
    directories: &'a Directories,
    host: &'a Host,
    icmp: IcmpListener,
    /// Which device sockets are open on.
    sockets_on: u32,
    /// What probes say that they are sent from.
    probed_from: Vec<IpAddr>,
    told: SharedUnderlay,
    /// When carrier is looked for next, and until when.
    carrier: Option<(Instant, Instant)>,
}

impl<'a> Underlay<'a> {
    /// As a start has found it.
    pub(in crate::daemon) fn new(
        directories: &'a Directories,
        host: &'a Host,
        running: &ActivePlane,
        icmp: IcmpListener,
    ) -> Self {
        let facts = &running.preflight.facts;
        Self {
            directories,
            host,
            icmp,
            sockets_on: facts.ifindex,
            probed_from: facts.addresses().collect(),
            told: SharedUnderlay::new(running.state.underlay.clone()),
            carrier: None,
        }
    }

    /// How it stands, for the metrics.
    pub(in crate::daemon) fn told(&self) -> SharedUnderlay {
        self.told.clone()
    }

    /// What routers say of packets that were too big.
    pub(in crate::daemon) async fn next_icmp(&self) -> io::Result<IcmpMessage> {
        self.icmp.next().await
    }

    /// Another configuration is in force, with a listener on another interface.
    pub(in crate::daemon) fn reload(&mut self, running: &ActivePlane, icmp: Option<IcmpListener>) {
        if let Some(icmp) = icmp {
            self.icmp = icmp;
        }
        self.sockets_on = running.preflight.facts.ifindex;
        self.probed_from = running.preflight.facts.addresses().collect();
        self.told.put(&running.state.underlay);
    }

    /// Waits until it is time to look whether carrier has come.
    pub(in crate::daemon) async fn due(&self) {
        match self.carrier {
            Some((next, until)) if next < until => sleep_until(next).await,
            _ => std::future::pending().await,
        }
    }

    /// Has it?
    pub(in crate::daemon) async fn has_carrier(&mut self, running: &ActivePlane) -> bool {
        let now = self.host.underlay_link(&running.preflight.underlay.name).await;
        let has = now.is_ok_and(|now| now.carrier);
        let until = self.carrier.map(|(_, until)| until);
        self.carrier = until.filter(|_| !has).map(|until| (Instant::now() + LOOK, until));
        has
    }

    /// Brings in line with the interface as it is now what is attached, open and told. What fails is said
    /// once, and tried again with the next call.
    pub(in crate::daemon) async fn look(
        &mut self,
        running: &mut ActivePlane,
        probing: &mut Probing,
    ) {
        let name = running.preflight.underlay.name.clone();
        let lost = match self.host.underlay_link(&name).await {
            Ok(now) => self.present(now, running, probing).await.err(),
            Err(HostError::UnknownInterface { .. }) => {
                self.leave(running).await;
                Some(anyhow::anyhow!(
                    "it is gone; packets pass again when one of that name is there"
                ))
            }
            Err(error @ HostError::NotEthernet { .. }) => {
                self.leave(running).await;
                Some(error.into())
            }
            Err(error) => Some(error.into()),
        };
        self.tell(running, lost.map(|reason| format!("underlay interface {name}: {reason:#}")));
    }

    async fn present(
        &mut self,
        now: host::UnderlayLink,
        running: &mut ActivePlane,
        probing: &mut Probing,
    ) -> anyhow::Result<()> {
        let ifindex = now.ifindex;
        let waits = now.up && !now.carrier;
        self.carrier = waits.then(|| (Instant::now() + LOOK, Instant::now() + HELD_BACK));
        if !self.is_attached(running, ifindex).await? {
            // What this device allows may be more, or less, than what the former one did.
            running.preflight.ladder =
                attach_modes::of(&running.preflight.config, &now, &self.directories.pins)?;
            self.attach(running, &now.name, ifindex).await?;
        }
        let (v4, v6, missing) = addresses::still_there(&running.preflight.config, &now);
        // The MTU stays as it was known: what follows from another one comes in an order of its own.
        let mtu = running.preflight.facts.mtu;
        running.preflight.facts = UnderlayFacts { ifindex, mtu, v4, v6 };
        running.preflight.underlay = host::UnderlayLink { mtu, ..now };
        self.readdress(running)?;
        if self.sockets_on != ifindex {
            self.icmp = IcmpListener::open(&running.preflight.underlay.name)?;
            probing.reopen(running)?;
            self.sockets_on = ifindex;
        }
        let from: Vec<IpAddr> = running.preflight.facts.addresses().collect();
        if !from.is_empty() && from != self.probed_from {
            probing.begin_anew(running);
            self.probed_from = from;
        }
        match missing.into_iter().next() {
            Some(missing) => Err(missing.into()),
            None => Ok(()),
        }
    }

    /// Are both programs at work on this device?
    async fn is_attached(&self, running: &ActivePlane, ifindex: u32) -> anyhow::Result<bool> {
        let hook = running.state.underlay.tc.map(|tc| tc.hook);
        let mode = running.attachment.mode;
        if !self.directories.pins.are_attached_to(ifindex, mode, hook) {
            return Ok(false);
        }
        // A device that moves to another namespace loses its qdiscs.
        Ok(hook != Some(TcHook::Netlink) || self.host.has_clsact(ifindex).await?)
    }

    async fn attach(
        &self,
        running: &mut ActivePlane,
        interface: &str,
        ifindex: u32,
    ) -> anyhow::Result<()> {
        let had_clsact = self.host.has_clsact(ifindex).await?;
        let attachment = replace::reattach(self.directories, running, interface, ifindex)?;
        if let Some(tc) = &mut running.state.underlay.tc {
            tc.made_clsact = tc.hook == TcHook::Netlink && !had_clsact;
        }
        tracing::info!("underlay interface {interface}: attached, XDP {}", attachment.mode.label());
        running.state.underlay.xdp = Some(attachment.clone());
        running.attachment = attachment;
        Ok(())
    }

    /// Takes off what is still attached: the device may live on, under another name or in another
    /// namespace, where our interfaces' numbers are somebody else's.
    async fn leave(&mut self, running: &mut ActivePlane) {
        let underlay = &mut running.state.underlay;
        if underlay.xdp.take().is_none() {
            return;
        }
        if let Err(error) = self.directories.pins.detach_from_underlay() {
            tracing::warn!("{error}");
        }
        let Some(tc) = underlay.tc.filter(|tc| tc.hook == TcHook::Netlink) else { return };
        let ifindex = running.preflight.facts.ifindex;
        detach_deliver_filter(&self.host.name_of(ifindex).await);
        // Fails where the device is gone, and the qdisc with it.
        if tc.made_clsact
            && let Err(error) = self.host.remove_clsact(ifindex).await
        {
            tracing::debug!("{error}");
        }
    }

    /// Has the programs go by the addresses that there are.
    fn readdress(&self, running: &mut ActivePlane) -> anyhow::Result<()> {
        let settings = plan::with_addresses(&running.plan.settings, &running.preflight.facts);
        if settings == running.plan.settings {
            return Ok(());
        }
        running.plane.set_addresses(&settings)?;
        running.plan.settings = settings;
        let preflight = &mut running.preflight;
        let addresses: Vec<IpAddr> = preflight.facts.addresses().collect();
        tracing::info!(
            "underlay interface {}: packets leave from {}",
            preflight.underlay.name,
            if addresses.is_empty() { "no address".to_owned() } else { preflight.sends_from() }
        );
        if let Some(first) = addresses.first() {
            preflight.address = *first;
            running.state.underlay.address = *first;
        }
        running.state.underlay.addresses = addresses;
        Ok(())
    }

    /// Says in log, metrics and state how it stands, if that has changed.
    fn tell(&self, running: &mut ActivePlane, lost: Option<String>) {
        let before = running.state.underlay.lost.clone();
        match &lost {
            Some(reason) if before.as_ref() != Some(reason) => tracing::error!("{reason}"),
            None if before.is_some() => tracing::info!(
                "underlay interface {}: packets can pass again",
                running.preflight.underlay.name
            ),
            _ => {}
        }
        running.state.underlay.lost = lost;
        if self.told.latest() == running.state.underlay {
            return;
        }
        // In this order: whoever sees it in the metrics finds it in `vxlan show`, too.
        if let Err(error) = self.directories.run_dir.store(&running.state) {
            tracing::warn!("{error}");
        }
        self.told.put(&running.state.underlay);
    }
}

/// Can this event change what [`Underlay::look`] looks at?
pub(in crate::daemon) fn concerns(event: &HostEvent, running: &ActivePlane) -> bool {
    let preflight = &running.preflight;
    match event {
        HostEvent::Overrun => true,
        HostEvent::Link { ifindex, name, .. } | HostEvent::LinkRemoved { ifindex, name } => {
            *ifindex == preflight.facts.ifindex || *name == preflight.underlay.name
        }
        HostEvent::Address { ifindex, .. } | HostEvent::AddressRemoved { ifindex, .. } => {
            *ifindex == preflight.facts.ifindex
        }
        HostEvent::Route(_)
        | HostEvent::RouteRemoved(_)
        | HostEvent::Neighbour(_)
        | HostEvent::NeighbourRemoved { .. } => false,
    }
}
