//! `vxlan check`: tells whether the configuration is right and fits this host.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{count, output};
use crate::{
    attach_mode::AttachMode,
    daemon::{self, Directories},
    dataplane::AttachModes,
    host::Host,
};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Checks, prints the result and returns the exit code. 0: could run as it is. 1: could run, with
/// warnings. 2: could not run.
pub(super) async fn check(directories: &Directories, args: &Check) -> anyhow::Result<ExitCode> {
    if let Some(missing) = daemon::missing_rights() {
        return check_file(directories, args, &missing);
    }
    let host = Host::new()?;
    let preflight = match daemon::check(directories, &host).await {
        Ok(preflight) => preflight,
        Err(error) if args.json => {
            let text = json!({ "ok": false, "error": format!("{error:#}") });
            output::report(&format!("{text:#}\n"));
            return Ok(ExitCode::from(2));
        }
        Err(error) => return Err(error),
    };
    let clean = preflight.warnings.is_empty();
    let config = &preflight.config;
    if args.json {
        let modes = preflight.attach_modes.allowed.iter().map(|mode| mode.label());
        let networks = config.networks.iter().map(|network| {
            json!({
                "vni": network.vni.value.get(),
                "interface": network.interface.value,
                "mtu": preflight.overlay_mtu(network),
                "members": network.members.len(),
            })
        });
        let text = json!({
            "ok": true,
            "warnings": preflight.warnings,
            "underlay": preflight.underlay.name,
            "address": preflight.address,
            "addresses": preflight.facts.addresses().collect::<Vec<_>>(),
            "receive": modes.collect::<Vec<_>>(),
            "networks": networks.collect::<Vec<_>>(),
        });
        output::report(&format!("{text:#}\n"));
    } else {
        let warnings = preflight.warnings.iter();
        let mut text: String = warnings.map(|warning| format!("warning: {warning}\n")).collect();
        text += &format!(
            "{}: {}, {}; {} from {}\n",
            config.file.display(),
            count(config.peers.len(), "peer"),
            count(config.networks.len(), "network"),
            preflight.underlay.name,
            preflight.sends_from()
        );
        text += &format!("receive: {}\n", modes(&preflight.attach_modes));
        output::report(&text);
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Checks what needs no rights: the file alone. That is no more than a warning, as nothing is known
/// of this host.
fn check_file(directories: &Directories, args: &Check, missing: &str) -> anyhow::Result<ExitCode> {
    let config = match daemon::check_file(directories) {
        Ok(config) => config,
        Err(error) if args.json => {
            let text = json!({ "ok": false, "error": error.to_string() });
            output::report(&format!("{text:#}\n"));
            return Ok(ExitCode::from(2));
        }
        Err(error) => return Err(error.into()),
    };
    let warning =
        format!("only the file was checked, and not whether it fits this host: {missing}");
    let text = if args.json {
        format!("{:#}\n", json!({ "ok": true, "warnings": [warning] }))
    } else {
        format!(
            "warning: {warning}\n{}: {}, {}\n",
            config.file.display(),
            count(config.peers.len(), "peer"),
            count(config.networks.len(), "network")
        )
    };
    output::report(&text);
    Ok(ExitCode::from(1))
}

/// Lists the modes in the order in which they are tried.
fn modes(modes: &AttachModes) -> String {
    let name = |mode: &AttachMode| match mode {
        AttachMode::Native => "native XDP",
        AttachMode::Generic => "generic XDP",
        AttachMode::Off => "TC alone",
    };
    modes.allowed.iter().map(name).collect::<Vec<_>>().join(", else ")
}
