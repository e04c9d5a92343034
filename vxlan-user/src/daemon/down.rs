//! Removes what a daemon made on this host, and nothing else.

use std::io;

use super::{directories::Directories, segmenter};
use crate::{
    dataplane::{TcHook, detach_deliver_filter},
    host::{Host, Made},
};

/// What [`down`] has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub interfaces: Vec<String>,
    pub routes: usize,
    pub pins: bool,
}

/// Removes the data plane of a daemon that no longer runs. Goes on after a failure, so that one
/// obstacle leaves one object behind; a second call can remove that object.
pub async fn down(directories: &Directories) -> anyhow::Result<Removed> {
    let lock = directories.run_dir.lock()?;
    let pins_lock = directories.pins.lock()?;
    let state = match directories.run_dir.load() {
        // The record is damaged, so the pins alone tell what there is to remove.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!("{error}");
            None
        }
        state => state?,
    };
    let host = Host::new()?;
    let mut removed = Removed::default();
    let mut problems = Vec::new();

    removed.pins = directories.pins.exist();
    // Without a record only the pins tell which networks the daemon made.
    let orphans = if state.is_none() { directories.pins.network_vnis() } else { Vec::new() };
    if let Err(error) = directories.pins.remove() {
        problems.push(error.to_string());
    }
    if let Some(underlay) = state.as_ref().map(|state| &state.underlay)
        && let Some(tc) = underlay.tc
    {
        if tc.hook == TcHook::Netlink {
            detach_deliver_filter(&underlay.interface);
        }
        if tc.made_clsact
            && let Ok(link) = host.underlay_link(&underlay.interface).await
            && let Err(error) = host.remove_clsact(link.ifindex).await
        {
            problems.push(error.to_string());
        }
    }
    if let Err(error) = host.delete_segmenter(&segmenter::names(directories)).await {
        problems.push(error.to_string());
    }
    let networks = state.as_ref().map_or(&[][..], |state| &state.networks);
    let routes = networks
        .iter()
        .flat_map(|network| network.routes.iter().map(|prefix| (*prefix, network.ifindex)));
    match host.remove_routes(&routes.collect::<Vec<_>>()).await {
        Ok(count) => removed.routes += count,
        Err(error) => problems.push(error.to_string()),
    }
    let blackholes = networks.iter().filter(|network| network.blackholes);
    let mut blackholes: Vec<_> = blackholes.flat_map(|network| network.routes.clone()).collect();
    if !orphans.is_empty() {
        // Unlike other routes, blackholes do not go with an interface.
        match host.own_blackholes().await {
            Ok(marked) => blackholes.extend(marked),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if let Err(error) = host.remove_blackholes(&blackholes).await {
        problems.push(error.to_string());
    }
    // Whatever names they have by now, and also if one end is in another namespace.
    let recorded = networks.iter().map(|network| (network.vni, network.made()));
    let pairs = recorded.chain(orphans.into_iter().map(|vni| (vni, Made::default())));
    match host.delete_made_pairs(&pairs.collect::<Vec<_>>()).await {
        Ok(vnis) => removed.interfaces.extend(vnis.into_iter().map(|vni| {
            let record = networks.iter().find(|network| network.vni == vni);
            record.map_or_else(|| format!("of VNI {vni}"), |record| record.interface.clone())
        })),
        Err(error) => problems.push(error.to_string()),
    }
    if problems.is_empty() {
        directories.run_dir.clear()?;
        drop((lock, pins_lock));
        return Ok(removed);
    }
    anyhow::bail!("not everything could be removed: {}", problems.join("; "))
}
