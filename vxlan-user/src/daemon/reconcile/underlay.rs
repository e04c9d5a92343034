//! Keeps the underlay interface usable, which may go, come back as another device, and change its
//! addresses: programs attached to it, sockets open on it, and whether packets can pass.
//!
//! The interface of the configured name counts, whichever device that is. While there is none, or
//! while it lacks a declared address, the daemon stays and packets to peers are `no_neighbour`.
//! Maps, counters and overlay interfaces are not touched. Paths and MTUs are
//! [`super::reconciler`]'s.

use std::{io, net::IpAddr};

use super::{
    hooks,
    underlay_publication::UnderlayPublication,
    underlay_reader::{Read, Receive, UnderlayReader, UnderlayView},
};
use crate::{
    daemon::{
        directories::Directories,
        preflight::{addresses, attach_modes},
        running::ActivePlane,
    },
    dataplane::{TcHook, detach_deliver_filter},
    host::{Host, HostError, HostEvent, IcmpListener, IcmpMessage, UnderlayLink},
    metrics::SharedUnderlay,
    plan::{self, UnderlayFacts},
};

/// A part of the daemon that sends over the underlay interface.
pub(in crate::daemon) trait UnderlayUser {
    /// Opens sockets again: the interface is another device.
    fn reopen(&mut self, running: &ActivePlane) -> Result<(), HostError>;
    /// Starts anew: what probes have found from the old addresses is not true of the new ones.
    fn restart(&mut self, running: &ActivePlane);
}

/// What [`UnderlayReconciler::next`] has waited for.
pub(in crate::daemon) enum News {
    /// The message of a router that a packet was too big.
    PacketTooBig(io::Result<IcmpMessage>),
    /// The interface was read, as it was requested.
    View(Box<UnderlayView>),
    /// The interface has carrier again.
    Carrier,
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
    publication: UnderlayPublication,
    reader: UnderlayReader,
}

impl<'a> UnderlayReconciler<'a> {
    /// Begins with the interface that a start has found. `reader` is a connection that nothing else
    /// uses.
    pub(in crate::daemon) fn new(
        directories: &'a Directories,
        (host, reader): (&'a Host, Host),
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
            publication: UnderlayPublication::new(&running.state),
            reader: UnderlayReader::new(reader),
        }
    }

    pub(in crate::daemon) fn status(&self) -> SharedUnderlay {
        self.publication.status()
    }

    /// Waits for news. Nothing is lost when the future is dropped before it is ready.
    pub(in crate::daemon) async fn next(&mut self, running: &ActivePlane) -> News {
        tokio::select! {
            message = self.icmp.next() => News::PacketTooBig(message),
            read = self.reader.next(self.directories, running) => match read {
                Read::View(view) => News::View(Box::new(view)),
                Read::Carrier => News::Carrier,
            },
        }
    }

    /// Has the interface read, which [`Self::reconcile`] then follows.
    pub(in crate::daemon) fn request(&mut self) {
        self.reader.request();
    }

    /// Continues under another configuration, with a new listener if the configuration names
    /// another interface.
    pub(in crate::daemon) fn reload(&mut self, running: &ActivePlane, icmp: Option<IcmpListener>) {
        if let Some(icmp) = icmp {
            self.icmp = icmp;
        }
        self.sockets_on = running.preflight.facts.ifindex;
        self.probed_from = running.preflight.facts.addresses().collect();
        self.publication.reload(&running.state);
        self.reader.reload();
    }

    /// Returns whether the interface is being read, so that what follows from it has to wait.
    pub(in crate::daemon) fn is_reading(&self) -> bool {
        self.reader.is_reading()
    }

    /// Brings what is attached, open and published in line with the interface as it was read. Logs
    /// a failure once; the next request is another try.
    pub(in crate::daemon) async fn reconcile(
        &mut self,
        UnderlayView { link, receive }: UnderlayView,
        running: &mut ActivePlane,
        user: &mut impl UnderlayUser,
    ) {
        let name = running.preflight.underlay.name.clone();
        let lost = match link {
            Ok(link) => self.reconcile_device(link, receive, running, user).err(),
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

    fn reconcile_device(
        &mut self,
        link: UnderlayLink,
        receive: Receive,
        running: &mut ActivePlane,
        user: &mut impl UnderlayUser,
    ) -> anyhow::Result<()> {
        let ifindex = link.ifindex;
        self.reader.poll_carrier(link.up && !link.carrier);
        match receive {
            Receive::Attached => {}
            Receive::Detached { has_clsact } => {
                // This device may allow more modes than the previous one, or fewer.
                let (config, pins) = (&running.preflight.config, &self.directories.pins);
                running.preflight.attach_modes = attach_modes::for_host(config, &link, pins)?;
                self.attach(running, &link.name, ifindex, has_clsact)?;
            }
            Receive::Unknown(error) => return Err(error),
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
    fn attach(
        &self,
        running: &mut ActivePlane,
        interface: &str,
        ifindex: u32,
        had_clsact: bool,
    ) -> anyhow::Result<()> {
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
    fn publish(&mut self, running: &mut ActivePlane, lost: Option<String>) {
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
    pub(in crate::daemon) fn publish_record(&mut self, running: &ActivePlane) {
        self.publication.publish(&self.directories.run_dir, &running.state);
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
