//! Carries out the steps that bring an overlay interface to what it shall be.

use std::collections::HashMap;

use ipnet::IpNet;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

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
        for steps in requests(steps) {
            // Together they are refused without telling which.
            if steps.len() > 1 && self.change_settings(&steps).await {
                continue;
            }
            for step in steps {
                match self.take_step(spec, step).await {
                    Ok(()) => changes.add(spec.vni, step),
                    Err(error) => {
                        refused.get_or_insert(error);
                    }
                }
            }
        }
        (changes, refused)
    }

    /// Changes several settings of one interface by one request. Returns whether the kernel has
    /// accepted all.
    async fn change_settings(&self, steps: &[&Step]) -> bool {
        let mut changes = Vec::new();
        let mut on = 0;
        for step in steps {
            let Step::Link { ifindex, change, .. } = step else { return false };
            on = *ifindex;
            changes.push(change);
        }
        self.change_link_settings(on, &changes).await
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
            .append_extra_attribute(LinkAttribute::Group(End::Hidden.group(spec.vni)));
        let hidden = one_queue(hidden).build();
        // udev replaces an address that the kernel has drawn, a moment after it was read here, and
        // leaves one that was requested (systemd.link(5), MACAddressPolicy=).
        let overlay = LinkVeth::new(&spec.name, &spec.hidden_name)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(hidden)))
            .mtu(spec.mtu)
            .address(spec.mac.to_vec())
            .append_extra_attribute(LinkAttribute::Group(End::Overlay.group(spec.vni)));
        self.handle.link().add(one_queue(overlay).build()).execute().await.during(|| {
            format!(
                "create overlay interface {} and its hidden port {} with MTU {}",
                spec.name, spec.hidden_name, spec.mtu
            )
        })
    }
}

/// Makes an interface with one queue for each direction, as an end of a pair has anyway: one that
/// has room for more gives them up in being made, and the kernel waits for all CPUs
/// (`veth_init_queues` in drivers/net/veth.c).
fn one_queue<T>(link: LinkMessageBuilder<T>) -> LinkMessageBuilder<T> {
    link.append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}

/// Puts the settings of an interface together that one request can change, in place of the last of
/// them: what is made of them does not hang on what comes between.
fn requests(steps: &[Step]) -> Vec<Vec<&Step>> {
    let setting = |step: &Step| match step {
        Step::Link { ifindex, change, .. } if change.is_setting() => Some(*ifindex),
        Step::Make
        | Step::Delete { .. }
        | Step::Link { .. }
        | Step::AddAddress { .. }
        | Step::RemoveAddress { .. }
        | Step::AddRoute { .. }
        | Step::AddBlackhole(_) => None,
    };
    let all = steps.iter().enumerate();
    let last: HashMap<u32, usize> =
        all.clone().filter_map(|(at, step)| Some((setting(step)?, at))).collect();
    let mut together: HashMap<u32, Vec<&Step>> = HashMap::new();
    let mut requests = Vec::new();
    for (at, step) in all {
        let Some(ifindex) = setting(step) else {
            requests.push(vec![step]);
            continue;
        };
        together.entry(ifindex).or_default().push(step);
        if last.get(&ifindex) == Some(&at) {
            requests.extend(together.remove(&ifindex));
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_an_interface_are_one_request_and_nothing_is_left_out() {
        let link = |ifindex, change| Step::Link { ifindex, name: format!("if{ifindex}"), change };
        let steps = [
            link(1, LinkChange::Alias("one".to_owned())),
            link(2, LinkChange::Alias("two".to_owned())),
            link(1, LinkChange::Mtu(1_400)),
            link(1, LinkChange::Ipv4 { proxy_arp: None }),
            link(1, LinkChange::Down),
            link(1, LinkChange::GenerateIpv6(true)),
            link(1, LinkChange::Up),
            Step::AddBlackhole("192.0.2.0/24".parse().unwrap()),
        ];
        let at = |at: usize| &steps[at];
        let expected = [
            vec![at(1)],
            vec![at(2)],
            vec![at(4)],
            vec![at(0), at(3), at(5)],
            vec![at(6)],
            vec![at(7)],
        ];
        assert_eq!(requests(&steps), expected);
    }
}
