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
mod redirecting;
mod result;
mod settings;
mod underlay_conflicts;

pub use self::result::Preflight;
pub(in crate::daemon) use self::{host::check_privileges, metrics_listener::bind_metrics};

use crate::{config, daemon::directories::Directories, host::Host, plan::UnderlayFacts};

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
    let mut preflight =
        Preflight { config, underlay, address, facts, attach_modes, keys, previous, warnings };
    let more = networks::check(&preflight, host).await?;
    preflight.warnings.extend(more);
    Ok(preflight)
}
