//! `vxlan run`: the foreground daemon.

use std::{net::SocketAddr, process::ExitCode, sync::mpsc::channel, thread, time::Duration};

use clap::Args;
use tracing::level_filters::LevelFilter;

use super::{count, output};
use crate::{
    attach_mode::AttachMode,
    daemon::{self, ActivePlane, Directories},
    dataplane::LoadOptions,
    metrics::LostLines,
};

/// How long a start waits until its report is printed.
const PRINT_TIMEOUT: Duration = Duration::from_secs(1);

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
    lost_lines: LostLines,
) -> anyhow::Result<ExitCode> {
    let trace_packets = log >= LevelFilter::TRACE;
    let options = LoadOptions { trace_packets, ..LoadOptions::default() };
    daemon::run(directories, options, args.watch, lost_lines, report).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what was attached, where, and how. The daemon goes on whatever becomes of the text.
fn report(active: &ActivePlane, metrics: SocketAddr) {
    for refused in &active.attachment.refused {
        let name = &active.preflight.underlay.name;
        tracing::warn!("{name}: no {} XDP: {}", refused.mode.label(), refused.reason);
    }
    let text = summary(active, metrics);
    let (done, printed) = channel();
    let print = move || {
        if let Err(error) = output::print(&text) {
            tracing::warn!("{error}");
        }
        let _gave_up = done.send(());
    };
    // Whoever reads stdout may have paused.
    match thread::Builder::new().name("stdout".to_owned()).spawn(print) {
        Ok(_) => drop(printed.recv_timeout(PRINT_TIMEOUT)),
        Err(error) => tracing::warn!("cannot start a thread for stdout: {error}"),
    }
    tracing::info!(node = %active.state.node, "ready");
}

fn summary(active: &ActivePlane, metrics: SocketAddr) -> String {
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
    let name = &underlay.name;
    let mut lines = vec![format!("{name}: {receive}; from {}", active.preflight.sends_from())];
    for refused in &attachment.refused {
        lines.push(format!("{name}: no {} XDP: {}", refused.mode.label(), refused.reason));
    }
    for network in &active.state.networks {
        let addresses: Vec<_> = network.addresses.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "{}: VNI {}, {}, MTU {}, encap in TC egress, {}",
            network.interface,
            network.vni,
            addresses.join(" "),
            network.mtu,
            count(network.routes.len(), "route")
        ));
    }
    lines.push(format!("metrics: http://{metrics}/metrics\n"));
    lines.join("\n")
}
