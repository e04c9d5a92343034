//! Keeps the underlay interface usable, which may go, come back as another device, and change its
//! addresses: programs attached to it, sockets open on it, and whether packets can pass.
//!
//! The interface of the configured name counts, whichever device that is. While there is none, or
//! while it lacks a declared address, the daemon stays and packets to peers are `no_neighbour`.
//! Maps, counters and overlay interfaces are not touched. Paths and MTUs are
//! [`super::reconciler`]'s.

use std::{io, net::IpAddr, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::hooks;

use crate::{
    daemon::{
        directories::Directories,
        preflight::{addresses, attach_modes},
        running::ActivePlane,
    },
    dataplane::{HookFault, TcHook, detach_deliver_filter},
    host::{Host, HostError, HostEvent, IcmpListener, IcmpMessage, UnderlayLink},
    metrics::SharedUnderlay,
    plan::{self, UnderlayFacts},
};

/// How long the kernel may delay the event for the second change of a link within a second
/// (net/core/link_watch.c). Carrier is polled for as long, once it was absent.
const MAX_LINK_EVENT_DELAY: Duration = Duration::from_secs(2);
/// How often carrier is polled.
const CARRIER_POLL: Duration = Duration::from_millis(50);

/// A part of the daemon that sends over the underlay interface.
pub(in crate::daemon) trait UnderlayUser {
    /// Opens sockets again: the interface is another device.
    fn reopen(&mut self, running: &ActivePlane) -> Result<(), HostError>;
    /// Starts anew: what probes have found from the old addresses is not true of the new ones.
    fn restart(&mut self, running: &ActivePlane);
}

/// The underlay interface as the programs and sockets have it.
pub(in crate::daemon) struct UnderlayReconciler<'a> {
    directories: &'a Directories,
    host: &'a Host,
    icmp: IcmpListener,
    /// The device that sockets are open on.
    sockets_on: u32,
    /// The addresses that probes name as their source.
    probed_from: Vec<IpAddr>,
    status: SharedUnderlay,
    /// When carrier is polled next, and until when.
    carrier_poll: Option<(Instant, Instant)>,
}

impl<'a> UnderlayReconciler<'a> {
    /// Begins with the interface that a start has found.
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
            status: SharedUnderlay::new(running.state.underlay.clone()),
            carrier_poll: None,
        }
    }

    pub(in crate::daemon) fn status(&self) -> SharedUnderlay {
        self.status.clone()
    }

    pub(in crate::daemon) async fn next_icmp(&self) -> io::Result<IcmpMessage> {
        self.icmp.next().await
    }

    /// Continues under another configuration, with a new listener if the configuration names
    /// another interface.
    pub(in crate::daemon) fn reload(&mut self, running: &ActivePlane, icmp: Option<IcmpListener>) {
        if let Some(icmp) = icmp {
            self.icmp = icmp;
        }
        self.sockets_on = running.preflight.facts.ifindex;
        self.probed_from = running.preflight.facts.addresses().collect();
        self.status.put(&running.state.underlay);
    }

    /// Waits until it is time to [poll carrier](Self::poll_carrier).
    pub(in crate::daemon) async fn carrier_poll_due(&self) {
        match self.carrier_poll {
            Some((next, until)) if next < until => sleep_until(next).await,
            _ => std::future::pending().await,
        }
    }

    /// Polls carrier, and returns whether the interface has it.
    pub(in crate::daemon) async fn poll_carrier(&mut self, running: &ActivePlane) -> bool {
        let link = self.host.underlay_link(&running.preflight.underlay.name).await;
        let has_carrier = link.is_ok_and(|link| link.carrier);
        let until = self.carrier_poll.map(|(_, until)| until);
        self.carrier_poll =
            until.filter(|_| !has_carrier).map(|until| (Instant::now() + CARRIER_POLL, until));
        has_carrier
    }

    /// Brings what is attached, open and published in line with the interface as it is now. Logs a
    /// failure once, and tries again with the next call.
    pub(in crate::daemon) async fn reconcile(
        &mut self,
        running: &mut ActivePlane,
        user: &mut impl UnderlayUser,
    ) {
        let name = running.preflight.underlay.name.clone();
        let lost = match self.host.underlay_link(&name).await {
            Ok(link) => self.reconcile_device(link, running, user).await.err(),
            Err(HostError::UnknownInterface { .. }) => {
                self.detach(running).await;
                Some(anyhow::anyhow!(
                    "it is gone; packets pass again when one of that name is there"
                ))
            }
            Err(error @ HostError::NotEthernet { .. }) => {
                self.detach(running).await;
                Some(error.into())
            }
            Err(error) => Some(error.into()),
        };
        self.publish(running, lost.map(|reason| format!("underlay interface {name}: {reason:#}")));
    }

    async fn reconcile_device(
        &mut self,
        link: UnderlayLink,
        running: &mut ActivePlane,
        user: &mut impl UnderlayUser,
    ) -> anyhow::Result<()> {
        let ifindex = link.ifindex;
        let awaits_carrier = link.up && !link.carrier;
        self.carrier_poll = awaits_carrier
            .then(|| (Instant::now() + CARRIER_POLL, Instant::now() + MAX_LINK_EVENT_DELAY));
        let fault = hooks::receive_fault(self.directories, self.host, running, ifindex).await?;
        if matches!(fault, Some((_, HookFault::Detached))) {
            // This device may allow more modes than the previous one, or fewer.
            running.preflight.attach_modes =
                attach_modes::for_host(&running.preflight.config, &link, &self.directories.pins)?;
            self.attach(running, &link.name, ifindex).await?;
        }
        let (config, in_use) = (&running.preflight.config, running.state.underlay.in_use());
        let (v4, v6, missing) = addresses::choose_available(config, &link, &in_use);
        // The MTU stays the known one; the reconciler of paths applies another one in its order.
        let mtu = running.preflight.facts.mtu;
        running.preflight.facts = UnderlayFacts { ifindex, mtu, v4, v6 };
        running.preflight.underlay = UnderlayLink { mtu, ..link };
        self.apply_addresses(running)?;
        if self.sockets_on != ifindex {
            self.icmp = IcmpListener::open(&running.preflight.underlay.name)?;
            user.reopen(running)?;
            self.sockets_on = ifindex;
        }
        let from: Vec<IpAddr> = running.preflight.facts.addresses().collect();
        if !from.is_empty() && from != self.probed_from {
            user.restart(running);
            self.probed_from = from;
        }
        missing.into_iter().next().map_or(Ok(()), |missing| Err(missing.into()))
    }

    /// Attaches the programs of the previous device to the device that is the underlay interface
    /// now.
    async fn attach(
        &self,
        running: &mut ActivePlane,
        interface: &str,
        ifindex: u32,
    ) -> anyhow::Result<()> {
        let had_clsact = self.host.has_clsact(ifindex).await?;
        hooks::attach_receive(self.directories, running, interface, ifindex)?;
        if let Some(tc) = &mut running.state.underlay.tc {
            tc.made_clsact = tc.hook == TcHook::Netlink && !had_clsact;
        }
        let mode = running.attachment.mode.label();
        tracing::info!("underlay interface {interface}: attached, XDP {mode}");
        Ok(())
    }

    /// Detaches what is still attached: the device may live on, under another name or in another
    /// namespace, where the indices of the overlay interfaces belong to other interfaces.
    async fn detach(&mut self, running: &mut ActivePlane) {
        let underlay = &mut running.state.underlay;
        if underlay.xdp.take().is_none() {
            return;
        }
        if let Err(error) = running.plane.detach_from_underlay(&self.directories.pins) {
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

    /// Writes the addresses of the interface into the settings of the programs.
    fn apply_addresses(&self, running: &mut ActivePlane) -> anyhow::Result<()> {
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

    /// Reports in log, record and metrics whether packets can pass, if that has changed.
    fn publish(&self, running: &mut ActivePlane, lost: Option<String>) {
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
        self.publish_record(running);
    }

    /// Puts what is known of the interface and the hooks into record and metrics.
    pub(in crate::daemon) fn publish_record(&self, running: &ActivePlane) {
        if self.status.latest() == running.state.underlay {
            return;
        }
        // In this order a status that the metrics report is in `vxlan show`, too.
        if let Err(error) = self.directories.run_dir.store(&running.state) {
            tracing::warn!("{error}");
        }
        self.status.put(&running.state.underlay);
    }
}

/// Returns whether an event can change what [`UnderlayReconciler::reconcile`] reads.
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
        | HostEvent::NeighbourRemoved { .. }
        | HostEvent::TrafficControl { .. } => false,
    }
}
