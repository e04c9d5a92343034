//! What shall be attached, held so that any thread can examine it: the kernel lets such questions
//! wait while it changes other interfaces. Changes nothing but the segmenter's pair.

use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    daemon::{directories::Directories, preflight::attach_modes, running::ActivePlane, segmenter},
    dataplane::{DataPlaneError, HeldHook, HookFault, TcHook, filter_fault, has_tcx_programs},
    host::{Host, HostError, Segmenter, SegmenterNames},
};

/// One place of a program.
#[derive(Debug)]
pub(super) enum Hook {
    Link(HeldHook),
    /// A filter is read by netlink.
    Filter {
        ifindex: u32,
        ingress: bool,
    },
}

/// The places of all programs.
#[derive(Debug)]
pub(super) struct HeldHooks {
    underlay: String,
    ifindex: u32,
    /// Of receive; none while there is no underlay interface.
    receive: Vec<(&'static str, Hook)>,
    /// Of `encap` and `arrived`, by network.
    networks: Vec<(usize, Hook)>,
    segmenter: SegmenterNames,
    segmented: Hook,
}

/// Where something is wrong.
#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) receive: bool,
    pub(super) networks: Vec<usize>,
    /// The pair, and whether the program is missing on it.
    pub(super) segmenter: Result<(Segmenter, bool), HostError>,
}

impl Hook {
    /// Returns the same with another interface that the program shall be on.
    pub(super) fn on(self, ifindex: u32) -> Self {
        match self {
            Self::Link(link) => Self::Link(link.on(ifindex)),
            Self::Filter { ingress, .. } => Self::Filter { ifindex, ingress },
        }
    }

    /// Examines a link. Of a filter this finds no more than links that come before it.
    pub(super) fn fault(&self) -> Result<Option<HookFault>, DataPlaneError> {
        match self {
            Self::Link(hook) => hook.fault(),
            Self::Filter { ifindex, ingress } => {
                Ok(has_tcx_programs(*ifindex, *ingress).then_some(HookFault::Behind))
            }
        }
    }
}

impl HeldHooks {
    pub(super) fn new(directories: &Directories, running: &ActivePlane) -> Self {
        let segmented = match attach_modes::tc_hook(&running.preflight.config) {
            TcHook::Tcx => Hook::Link(running.plane.segmented_hook(&directories.pins)),
            TcHook::Netlink => Hook::Filter { ifindex: 0, ingress: true },
        };
        Self {
            underlay: running.preflight.underlay.name.clone(),
            ifindex: running.preflight.facts.ifindex,
            receive: attached_receive(directories, running),
            networks: (0..running.plan.networks.len())
                .flat_map(|at| of_network(directories, running, at).map(move |hook| (at, hook)))
                .collect(),
            segmenter: segmenter::names(directories),
            segmented,
        }
    }

    /// Examines all of them, or fewer once it is to stop.
    pub(super) async fn examine(self, host: &Host, stop: watch::Receiver<bool>) -> Faulty {
        let Self { underlay, ifindex, receive, networks, segmenter, segmented } = self;
        // While there is no such device, that is what is reported.
        let receive = match host.underlay_link(&underlay).await {
            Ok(link) if link.ifindex == ifindex => is_faulty(host, receive).await,
            Ok(_) => !receive.is_empty(),
            Err(_) => false,
        };
        let segmenter = match host.ensure_segmenter(&segmenter).await {
            Ok(pair) => {
                let segmented = [("segmented", segmented.on(pair.exit))];
                Ok((pair, is_faulty(host, segmented).await))
            }
            Err(error) => Err(error),
        };
        let mut faulty = Vec::new();
        let (links, filters): (Vec<_>, Vec<_>) =
            networks.into_iter().partition(|(_, hook)| matches!(hook, Hook::Link(_)));
        for (network, hook) in filters {
            if *stop.borrow() {
                break;
            }
            if is_faulty(host, [(network, hook)]).await {
                faulty.push(network);
            }
        }
        let examine = move || links.into_iter().filter(|(_, hook)| is_wrong(hook));
        let links = spawn_blocking(move || examine().map(|(network, _)| network).collect());
        faulty.extend::<Vec<usize>>(links.await.unwrap_or_default());
        faulty.sort_unstable();
        faulty.dedup();
        Faulty { receive, networks: faulty, segmenter }
    }
}

/// Returns the places of receive, with the names of the programs.
pub(super) fn receive(
    directories: &Directories,
    running: &ActivePlane,
) -> Vec<(&'static str, Hook)> {
    let (plane, pins) = (&running.plane, &directories.pins);
    let (ifindex, mode) = (running.preflight.facts.ifindex, running.attachment.mode);
    let decap = plane.xdp_hook(ifindex, mode, pins).map(Hook::Link);
    let deliver = match attach_modes::tc_hook(&running.preflight.config) {
        TcHook::Tcx => Hook::Link(plane.ingress_hook(ifindex, mode, pins)),
        TcHook::Netlink => Hook::Filter { ifindex, ingress: true },
    };
    decap.map(|decap| ("decap", decap)).into_iter().chain([("deliver", deliver)]).collect()
}

/// Returns the places of receive; none while there is no underlay interface.
pub(super) fn attached_receive(
    directories: &Directories,
    running: &ActivePlane,
) -> Vec<(&'static str, Hook)> {
    match running.state.underlay.xdp {
        Some(_) => receive(directories, running),
        None => Vec::new(),
    }
}

/// Returns the place of `encap` of a network. `None`: it has none.
pub(super) fn transmit(
    directories: &Directories,
    running: &ActivePlane,
    network: usize,
) -> Option<Hook> {
    let record = running.state.networks.get(network)?;
    let ifindex = running.plan.networks.get(network)?.ifindex;
    Some(match record.tc? {
        TcHook::Tcx => {
            Hook::Link(running.plane.egress_hook(ifindex, record.vni, &directories.pins))
        }
        TcHook::Netlink => Hook::Filter { ifindex, ingress: false },
    })
}

/// Returns the places on the overlay interface of a network.
pub(super) fn of_network(
    directories: &Directories,
    running: &ActivePlane,
    network: usize,
) -> impl Iterator<Item = Hook> {
    let arrived = || {
        let planned = running.plan.networks.get(network).filter(|planned| planned.port != 0)?;
        let vni = running.state.networks.get(network)?.vni;
        Some(Hook::Link(running.plane.arrived_hook(planned.ifindex, vni, &directories.pins)))
    };
    let both = [transmit(directories, running, network), arrived()];
    both.into_iter().flatten()
}

/// Returns the first of these that is not as it shall be, and what is wrong with it.
pub(super) async fn first_fault<T>(
    host: &Host,
    hooks: impl IntoIterator<Item = (T, Hook)>,
) -> anyhow::Result<Option<(T, HookFault)>> {
    for (of, hook) in hooks {
        if let Hook::Filter { ifindex, ingress } = hook
            && let Some(fault) = filter_fault(&host.filters(ifindex, ingress).await?)
        {
            return Ok(Some((of, fault)));
        }
        if let Some(fault) = spawn_blocking(move || hook.fault()).await?? {
            return Ok(Some((of, fault)));
        }
    }
    Ok(None)
}

async fn is_faulty<T>(host: &Host, hooks: impl IntoIterator<Item = (T, Hook)>) -> bool {
    !matches!(first_fault(host, hooks).await, Ok(None))
}

/// Examines a link, as [`Hook::fault`] does.
pub(super) fn is_wrong(hook: &Hook) -> bool {
    !matches!(hook.fault(), Ok(None))
}
