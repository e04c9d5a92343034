//! `vxlan show`: peers, NAT, networks, underlay, drops; a file for each. Reads the pinned tables,
//! so it also works while no daemon runs; only the results of probes are requested from the daemon.

mod drops;
mod nat;
mod networks;
mod passive;
mod peers;
mod underlay;

use std::{process::ExitCode, sync::Arc};

use anyhow::bail;
use clap::{Args, ValueEnum};
use nix::unistd::geteuid;

use super::{api_client, output};
use crate::{
    daemon::Directories,
    metrics::{Snapshot, SnapshotSource},
    probe::NatReports,
    state::HostState,
};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// What to show.
    #[arg(value_enum, default_value_t = What::Peers)]
    what: What,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Drops: also the reasons that never happened.
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Traffic and NAT rewrites by peer and network.
    Peers,
    /// What NAT there is on the way to each peer, and how that is known.
    Nat,
    /// Networks with their interfaces and members.
    Networks,
    /// How packets are received: in which XDP mode, and why not in a better one.
    Underlay,
    /// Dropped packets by reason, peer and network.
    Drops,
}

pub(super) fn show(directories: &Directories, args: &Show) -> anyhow::Result<ExitCode> {
    let text = text(directories, args).map_err(|error| match geteuid().is_root() {
        true => error,
        // Run directory and pins are root's alone, and each refuses others in words of its own.
        false => error.context("`vxlan show` needs root"),
    })?;
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(directories: &Directories, args: &Show) -> anyhow::Result<String> {
    let watched = || directories.run_dir.is_locked();
    Ok(match args.what {
        What::Nat => {
            let reports = nat_reports(directories)?;
            if args.json { pretty(&serde_json::to_value(reports)?) } else { nat::table(&reports) }
        }
        What::Peers => {
            let mut snapshot = snapshot(directories)?;
            // What is counted is shown with or without a daemon that can say more.
            if let Ok(Some(reports)) = api_client::nat(&directories.run_dir.api_socket()) {
                snapshot.reports = reports.peers.into_iter().map(Arc::new).collect();
            }
            if args.json { pretty(&peers::json(&snapshot)) } else { peers::table(&snapshot) }
        }
        What::Networks if args.json => pretty(&networks::json(&snapshot(directories)?, watched())),
        What::Networks => networks::table(&snapshot(directories)?, watched()),
        What::Underlay => {
            let snapshot = snapshot(directories)?;
            let tag = underlay::tag(directories, &snapshot);
            if args.json {
                pretty(&underlay::json(&snapshot, tag))
            } else {
                underlay::table(&snapshot, tag)
            }
        }
        What::Drops if args.json => pretty(&drops::json(&snapshot(directories)?, args.all)),
        What::Drops => drops::table(&snapshot(directories)?, args.all),
    })
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

fn snapshot(directories: &Directories) -> anyhow::Result<Snapshot> {
    let mut state = state(directories)?;
    loop {
        let reader = directories.reader(&state);
        let now = self::state(directories)?;
        // A reload may have removed what the state named a moment ago.
        if reader.is_err() && now.generations != state.generations {
            state = now;
            continue;
        }
        return Ok(SnapshotSource::new(reader?, state).snapshot()?);
    }
}

fn state(directories: &Directories) -> anyhow::Result<HostState> {
    let Some(state) = directories.run_dir.load()? else {
        bail!(
            "no data plane was started here. Start one with `vxlan run`, or name its run directory \
             with --run-dir"
        );
    };
    Ok(state)
}

/// Returns the reports of the daemon, or those that can be made without a daemon.
fn nat_reports(directories: &Directories) -> anyhow::Result<NatReports> {
    if let Some(reports) = api_client::nat(&directories.run_dir.api_socket())? {
        return Ok(reports);
    }
    let snapshot = snapshot(directories)?;
    if directories.run_dir.is_locked() {
        bail!("the daemon has not finished its start yet: ask again in a moment");
    }
    Ok(passive::reports(&snapshot))
}
