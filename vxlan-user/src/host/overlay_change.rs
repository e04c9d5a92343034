//! Carries out the steps that bring an overlay interface to what it shall be.

use ipnet::IpNet;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::{LinkUnspec, LinkVeth};

use super::{
    connection::Host,
    error::{During as _, HostError},
    overlay_owner::End,
    overlay_spec::OverlaySpec,
    overlay_step::{LinkChange, Step},
};

/// What the steps have done that a failed start must undo.
#[derive(Debug, Default, Clone)]
pub struct OverlayChanges {
    /// VNIs of the pairs that were made.
    pub pairs: Vec<u32>,
    /// Routes that were added where there was none of ours, with the index of the interface.
    pub routes: Vec<(IpNet, u32)>,
    pub blackholes: Vec<IpNet>,
}

impl OverlayChanges {
    pub(super) fn append(&mut self, other: Self) {
        self.pairs.extend(other.pairs);
        self.routes.extend(other.routes);
        self.blackholes.extend(other.blackholes);
    }

    fn add(&mut self, vni: u32, step: &Step) {
        match step {
            Step::Make => self.pairs.push(vni),
            Step::AddRoute { ifindex, route, replaces: false } => {
                self.routes.push((route.prefix, *ifindex));
            }
            Step::AddBlackhole(prefix) => self.blackholes.push(*prefix),
            Step::Delete { .. }
            | Step::Link { .. }
            | Step::AddAddress { .. }
            | Step::RemoveAddress { .. }
            | Step::AddRoute { .. } => {}
        }
    }
}

impl Host {
    /// Carries out steps in their order, all of them, also after one that fails. Returns what was
    /// done, and the first error.
    pub(super) async fn carry_out(
        &self,
        spec: &OverlaySpec,
        steps: &[Step],
    ) -> (OverlayChanges, Option<HostError>) {
        let mut changes = OverlayChanges::default();
        let mut refused = None;
        for step in steps {
            match self.take_step(spec, step).await {
                Ok(()) => changes.add(spec.vni, step),
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        (changes, refused)
    }

    async fn take_step(&self, spec: &OverlaySpec, step: &Step) -> Result<(), HostError> {
        let name = &spec.name;
        match step {
            Step::Make => self.make_pair(spec).await,
            Step::Delete { ifindex, name } => match self.delete_link(*ifindex, name).await {
                // It went with its other end.
                Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
                other => other,
            },
            Step::Link { ifindex, name: old, change } => {
                // A step before may have given the interface its name.
                let name = if matches!(change, LinkChange::EnableIpv6) { name } else { old };
                self.change_link(*ifindex, name, change).await
            }
            Step::AddAddress { ifindex, address } => {
                match self.add_address(*ifindex, name, *address).await {
                    // It did not go with its primary address.
                    Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
                    other => other,
                }
            }
            Step::RemoveAddress { ifindex, address } => {
                self.remove_address(*ifindex, name, *address).await
            }
            Step::AddRoute { ifindex, route, replaces } => {
                self.add_overlay_route(route, (*ifindex, name), *replaces).await
            }
            Step::AddBlackhole(prefix) => self.add_blackhole_route(*prefix).await,
        }
    }

    async fn make_pair(&self, spec: &OverlaySpec) -> Result<(), HostError> {
        let hidden = LinkUnspec::new_with_name(&spec.hidden_name)
            .mtu(spec.mtu)
            .append_extra_attribute(LinkAttribute::Group(End::Hidden.group(spec.vni)))
            .build();
        // udev replaces an address that the kernel has drawn, a moment after it was read here, and
        // leaves one that was requested (systemd.link(5), MACAddressPolicy=).
        let overlay = LinkVeth::new(&spec.name, &spec.hidden_name)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(hidden)))
            .mtu(spec.mtu)
            .address(spec.mac.to_vec())
            .append_extra_attribute(LinkAttribute::Group(End::Overlay.group(spec.vni)));
        self.handle.link().add(overlay.build()).execute().await.during(|| {
            format!(
                "create overlay interface {} and its hidden port {} with MTU {}",
                spec.name, spec.hidden_name, spec.mtu
            )
        })
    }
}
