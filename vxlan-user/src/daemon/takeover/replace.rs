//! Replaces the active programs by those of the new generation, each hook in one step.
//! docs/lifecycle.md says in which order and why.

use vxlan_common::table::NetworkEntry;

use crate::{
    attach_mode::AttachMode,
    daemon::{
        directories::Directories,
        interrupt::Interrupt,
        preflight::{Preflight, attach_modes},
        redirect::take_redirected,
    },
    dataplane::{
        AttachTarget, Attachment, DataPlane, ReceiveTarget, TcHook, TcHooks, detach_deliver_filter,
    },
    plan::Plan,
    state::{HostState, NetworkRecord},
};

/// Attaches the programs of `plane` in place of the active ones, hook by hook. `networks` are the
/// records of the networks of the plan. A signal gives it up as long as only interfaces of this
/// program's own are touched.
pub(in crate::daemon) fn replace_programs(
    directories: &Directories,
    interrupt: &Interrupt,
    preflight: &Preflight,
    plane: &mut DataPlane,
    plan: &mut Plan,
    networks: &[NetworkRecord],
) -> anyhow::Result<Attachment> {
    let (config, pins) = (&preflight.config, &directories.pins);
    let (interface, ifindex) = (preflight.underlay.name.as_str(), preflight.facts.ifindex);
    let previous = preflight.previous.as_ref().map(|state| &state.underlay);
    let previous_hook = previous.and_then(|previous| previous.tc).map(|tc| tc.hook);
    let previous_here = previous.filter(|previous| previous.interface == interface);
    let hooks = TcHooks { now: attach_modes::tc_hook(config), previous: previous_hook };
    let on_underlay = TcHooks { previous: previous_here.and(previous_hook), ..hooks };
    let encap_before = preflight.previous.as_ref().map(HostState::encap_hooks).unwrap_or_default();
    let mut no_redirect: Vec<_> = preflight.attach_modes.no_redirect.iter().cloned().collect();
    for (index, network) in networks.iter().enumerate().take(plan.networks.len()) {
        // A link takes the kernel some milliseconds.
        interrupt.check()?;
        let NetworkEntry { ifindex, port, .. } = plan.networks[index];
        let on = AttachTarget { interface: &network.interface, ifindex };
        // Before `decap`, which redirects there.
        if port != 0
            && let Err(error) = take_redirected(plane, on, network.vni, pins)
        {
            plan.keep_from_redirect(index);
            plane.set_redirect(plan, index)?;
            no_redirect.push(format!("network {}: {error}", network.vni));
        }
        let previous = encap_before.get(&network.vni).copied();
        let hooks = TcHooks { now: network.tc.unwrap_or(hooks.now), previous };
        plane.attach_encap(on, network.vni, hooks, pins)?;
    }
    let (on, modes) = (AttachTarget { interface, ifindex }, &preflight.attach_modes);
    let previous_xdp = previous_here.and_then(|previous| previous.xdp.as_ref());
    let receive = ReceiveTarget { on, modes, previous: previous_xdp };
    let mut attachment = plane.attach_receive(receive, on_underlay, pins)?;
    if attachment.mode == AttachMode::Native {
        attachment.no_redirect = no_redirect;
    }
    let redirected = plan.names.networks.iter().zip(&plan.networks);
    let redirected: Vec<_> =
        redirected.filter(|(_, planned)| planned.port != 0).map(|(vni, _)| *vni).collect();
    plane.detach_arrived_except(&redirected, pins)?;
    plane.detach_encap_except(&plan.names.networks, pins)?;
    if let Some(old) = previous.filter(|previous| previous.interface != interface)
        && previous_hook == Some(TcHook::Netlink)
    {
        detach_deliver_filter(&old.interface);
    }
    Ok(attachment)
}
