//! Checks, before anything is changed, whether the configuration is right for this host. Reads
//! only.
//!
//! [`inspect`] stops at the first fault and returns what it has read as a [`Preflight`].

pub(in crate::daemon) mod addresses;
pub(in crate::daemon) mod attach_modes;
mod host;
pub(in crate::daemon) mod keys;
mod metrics_listener;
mod networks;
mod result;

pub use self::result::Preflight;
pub(in crate::daemon) use self::{host::check_privileges, metrics_listener::bind_metrics};

use crate::{config, daemon::directories::Directories, host::Host, plan::UnderlayFacts};

/// Checks whether a start would succeed, as far as that can be known without one.
pub async fn check(directories: &Directories, host: &Host) -> anyhow::Result<Preflight> {
    let mut preflight = inspect(directories, host).await?;
    let hooks = preflight.previous.iter().flat_map(|previous| &previous.underlay.hooks.faults);
    preflight.warnings.extend(hooks.cloned().collect::<Vec<_>>());
    if let Some(state) = preflight.previous.as_ref().filter(|_| directories.run_dir.is_locked()) {
        let networks = state.networks.iter().filter_map(|network| {
            let reason = network.lost.as_ref()?;
            Some(format!("no packet of network {} can pass: {reason}", network.vni))
        });
        let running: Vec<String> = state.underlay.lost.iter().cloned().chain(networks).collect();
        preflight.warnings.extend(running);
    }
    // A running daemon has bound the port itself; a start after that daemon has ended can bind it.
    if !directories.run_dir.is_locked() {
        bind_metrics(&preflight.config).await?;
    }
    Ok(preflight)
}

/// Reads configuration and host, and checks that they fit.
pub(in crate::daemon) async fn inspect(
    directories: &Directories,
    host: &Host,
) -> anyhow::Result<Preflight> {
    check_privileges()?;
    host::check_preemption()?;
    let config = config::load(&directories.config)?;
    let keys = keys::load(&config)?;
    let previous = directories.run_dir.load()?;
    let (underlay, (v4, v6)) = host::read_underlay(&config, host, previous.as_ref()).await?;
    // Comes before the attach modes: without pins this daemon's own programs look foreign.
    directories.pins.check()?;
    let attach_modes = attach_modes::for_host(&config, &underlay, &directories.pins)?;
    host::check_foreign_pins(directories, previous.as_ref())?;
    let facts = UnderlayFacts { ifindex: underlay.ifindex, mtu: underlay.mtu, v4, v6 };
    let Some(address) = facts.addresses().next() else {
        return Err(addresses::no_address(&config, &underlay).into());
    };
    let mut warnings = host::warnings(&config, &underlay);
    warnings.extend(attach_modes::warnings(&attach_modes));
    let preflight =
        Preflight { config, underlay, address, facts, attach_modes, keys, previous, warnings };
    networks::check(&preflight, host).await?;
    Ok(preflight)
}
