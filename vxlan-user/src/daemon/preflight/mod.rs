//! Everything that can be known to be wrong before anything is changed: is the configuration right for
//! this host? Reads only.

pub(in crate::daemon) mod addresses;
pub(in crate::daemon) mod attach_modes;
mod host;
pub(in crate::daemon) mod keys;
mod metrics_listener;
mod networks;
mod result;

pub use self::result::Preflight;
pub(in crate::daemon) use self::{host::privileges, metrics_listener::bind_metrics};

use crate::{config, daemon::directories::Directories, host::Host, plan::UnderlayFacts};

/// Would a start succeed, as far as can be known without one? Changes nothing.
pub async fn check(directories: &Directories, host: &Host) -> anyhow::Result<Preflight> {
    let preflight = inspect(directories, host).await?;
    // A daemon that runs has the port, and keeps it for the next one.
    if !directories.run_dir.is_locked() {
        bind_metrics(&preflight.config).await?;
    }
    Ok(preflight)
}

/// Reads configuration and host; changes nothing.
pub(in crate::daemon) async fn inspect(
    directories: &Directories,
    host: &Host,
) -> anyhow::Result<Preflight> {
    privileges()?;
    host::preemption()?;
    let config = config::load(&directories.config)?;
    let keys = keys::load(&config)?;
    let underlay = host::read_underlay(&config, host).await?;
    let (v4, v6) = addresses::to_send_from(&config, &underlay)?;
    let former = directories.run_dir.load()?;
    // Without pins our own programs look foreign.
    directories.pins.check()?;
    let ladder = attach_modes::of(&config, &underlay, &directories.pins)?;
    host::foreign_pins(directories, former.as_ref())?;
    let facts = UnderlayFacts { ifindex: underlay.ifindex, mtu: underlay.mtu, v4, v6 };
    let Some(address) = facts.addresses().next() else {
        return Err(addresses::none_at_all(&config, &underlay).into());
    };
    let mut warnings = host::warnings(&config, &underlay);
    warnings.extend(attach_modes::warnings(&ladder));
    let preflight = Preflight { config, underlay, address, facts, ladder, keys, former, warnings };
    networks::all(&preflight, host).await?;
    Ok(preflight)
}
