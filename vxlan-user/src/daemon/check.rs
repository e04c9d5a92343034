//! `check`: whether a start would succeed, and what it would warn of. Does all that a start does
//! before it changes something, and looks further.

use std::net::IpAddr;

use nix::unistd::geteuid;

use super::{
    directories::Directories,
    preflight::{self, Preflight},
    takeover,
};
use crate::{
    config::{self, Config, ConfigErrors},
    dataplane::LoadOptions,
    host::{Host, HostError},
};

/// Checks whether a start would succeed, as far as that can be known without one.
///
/// # Errors
/// It would not, and why.
pub async fn check(directories: &Directories, host: &Host) -> anyhow::Result<Preflight> {
    let mut preflight = preflight::inspect(directories, host).await?;
    let hooks = preflight.previous.iter().flat_map(|previous| &previous.underlay.hooks.faults);
    preflight.warnings.extend(hooks.cloned().collect::<Vec<_>>());
    let is_running = directories.run_dir.is_locked();
    if let Some(state) = preflight.previous.as_ref().filter(|_| is_running) {
        let networks = state.networks.iter().filter_map(|network| {
            let reason = network.lost.as_ref()?;
            Some(format!("no packet of network {} can pass: {reason}", network.vni))
        });
        let running: Vec<String> = state.underlay.lost.iter().cloned().chain(networks).collect();
        preflight.warnings.extend(running);
    }
    // A running daemon has bound the port itself; a start after that daemon has ended can bind it.
    if !is_running {
        preflight::bind_metrics(&preflight.config).await?;
    }
    let unrouted = unrouted(&preflight, host).await?;
    preflight.warnings.extend(unrouted);
    takeover::rehearse(directories, preflight, LoadOptions::default()).await
}

/// Checks the file alone, which needs no rights.
///
/// # Errors
/// What is wrong with it.
pub fn check_file(directories: &Directories) -> Result<Config, ConfigErrors> {
    config::load(&directories.config)
}

/// Returns what an ordinary user lacks for more than the file, as a sentence. `None`: this is root,
/// or a service with the capabilities.
pub fn missing_rights() -> Option<String> {
    let missing = preflight::check_privileges().err().map(|error| error.to_string());
    missing.filter(|_| !geteuid().is_root())
}

/// Looks for the path to each endpoint.
///
/// # Errors
/// An endpoint is an address of this host, or of no single host.
async fn unrouted(preflight: &Preflight, host: &Host) -> anyhow::Result<Option<String>> {
    let Preflight { config, underlay, facts, .. } = preflight;
    if !underlay.up || !underlay.carrier {
        // Its routes are gone, which is warned of already.
        return Ok(None);
    }
    let endpoints: Vec<_> = config
        .peers
        .iter()
        .flat_map(|peer| peer.endpoints.iter().map(move |endpoint| (peer, endpoint)))
        .collect();
    let source = |to: IpAddr| facts.addresses().find(|from| from.is_ipv4() == to.is_ipv4());
    let questions: Vec<_> =
        endpoints.iter().map(|(_, endpoint)| (endpoint.ip(), source(endpoint.ip()))).collect();
    let answers = host.next_hops(&questions, underlay.ifindex).await;
    let mut missing = Vec::new();
    for ((peer, endpoint), answer) in endpoints.into_iter().zip(answers) {
        match answer {
            Err(error @ HostError::NotAnotherHost { .. }) => {
                let message = format!("endpoint {endpoint} of peer \"{}\": {error}.", peer.name);
                return Err(config.error(endpoint, message).into());
            }
            Err(error) => missing.push(format!("peer \"{}\": {error}", peer.name)),
            Ok(_) => {}
        }
    }
    let others = match missing.len() {
        0 | 1 => String::new(),
        all => format!(" (and {} endpoints more)", all - 1),
    };
    Ok(missing.into_iter().next().map(|first| first + &others))
}
