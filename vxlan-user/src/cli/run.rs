//! `vxlan run`: the foreground daemon.

use std::{net::SocketAddr, process::ExitCode};

use clap::Args;
use tracing::level_filters::LevelFilter;

use super::count;
use crate::{
    attach_mode::AttachMode,
    daemon::{self, ActivePlane, Directories},
    dataplane::LoadOptions,
};

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Apply the configuration file whenever it has changed.
    #[arg(long)]
    watch: bool,
}

pub(super) async fn run(
    directories: &Directories,
    log: LevelFilter,
    args: &Run,
) -> anyhow::Result<ExitCode> {
    let trace_packets = log >= LevelFilter::TRACE;
    let options = LoadOptions { trace_packets, ..LoadOptions::default() };
    daemon::run(directories, options, args.watch, report).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what was attached, where, and how.
fn report(active: &ActivePlane, metrics: SocketAddr) {
    let underlay = &active.preflight.underlay;
    let attachment = &active.attachment;
    let hook = active.state.underlay.tc.map_or("", |tc| tc.hook.label());
    let receive = match attachment.mode {
        mode @ (AttachMode::Native | AttachMode::Generic) => format!(
            "decap in XDP ({} mode, program {}), deliver in TC ingress ({hook})",
            mode.label(),
            attachment.program_id
        ),
        AttachMode::Off => {
            format!("decap_tc in TC ingress ({hook}, program {}), no XDP", attachment.program_id)
        }
    };
    println!("{}: {receive}; from {}", underlay.name, active.preflight.sends_from());
    for refused in &attachment.refused {
        println!("{}: no {} XDP: {}", underlay.name, refused.mode.label(), refused.reason);
        tracing::warn!("{}: no {} XDP: {}", underlay.name, refused.mode.label(), refused.reason);
    }
    for network in &active.state.networks {
        let addresses: Vec<_> = network.addresses.iter().map(ToString::to_string).collect();
        println!(
            "{}: VNI {}, {}, MTU {}, encap in TC egress, {}",
            network.interface,
            network.vni,
            addresses.join(" "),
            network.mtu,
            count(network.routes.len(), "route")
        );
    }
    println!("metrics: http://{metrics}/metrics");
    tracing::info!(node = %active.state.node, "ready");
}
