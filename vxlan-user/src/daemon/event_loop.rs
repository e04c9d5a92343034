//! A running daemon: serves metrics, follows routes and neighbours, ends on a signal.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use vxlan_common::addr::Address;

use super::{
    Places,
    bring_up::{self, Started},
    checks, ways,
};
use crate::{
    dataplane::{LoadOptions, Reader},
    host::{Host, HostEvent},
    metrics, plan,
};

/// How often the next hops of peers without a way are asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// Starts, calls `started` once traffic can pass, and stays until SIGINT or SIGTERM.
///
/// Afterwards the data plane goes on without the daemon; [`super::down`] is what removes it.
pub async fn run(
    places: &Places,
    options: LoadOptions,
    started: impl FnOnce(&Started, std::net::SocketAddr),
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    checks::privileges()?;
    let _lock = places.run_dir.lock()?;
    let host = Host::new()?;
    // Watching begins before the host is read, so that no change falls between.
    let mut events = host.watch()?;
    let (mut running, listener) = match start(places, &host, options).await {
        Ok(started) => started,
        Err(error) => {
            if !places.run_dir.has_state() {
                places.run_dir.clear()?;
            }
            return Err(error);
        }
    };
    let address = listener.local_addr().context("the metrics socket has no address")?;
    serve_metrics(places, &running, listener)?;
    forward_log(&mut running, options)?;
    started(&running, address);

    let mut retry = tokio::time::interval(RETRY);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            batch = events.next_batch() => match batch {
                Some(batch) => {
                    if let Some(gone) = batch.iter().find_map(|event| lost_link(event, &running)) {
                        bail!("{gone}");
                    }
                    if batch.iter().any(|event| concerns_ways(event, &running)) {
                        follow(&mut running, &host).await?;
                    }
                }
                None => events = host.watch().context("lost the kernel's news of routes")?,
            },
            _ = retry.tick() => {
                if ways::may_improve(&running.findings.config, &running.plan.peers) {
                    follow(&mut running, &host).await?;
                }
            }
        }
    }
    unname_next_hops(&mut running)?;
    tracing::info!("the daemon ends; traffic goes on. `vxlan down` removes the data plane");
    Ok(())
}

async fn start(
    places: &Places,
    host: &Host,
    options: LoadOptions,
) -> anyhow::Result<(Started, TcpListener)> {
    let findings = checks::inspect(places, host).await?;
    let listener = checks::bind_metrics(&findings.config).await?;
    for warning in &findings.warnings {
        tracing::warn!("{warning}");
    }
    Ok((bring_up::bring_up(places, host, findings, options).await?, listener))
}

fn serve_metrics(places: &Places, running: &Started, listener: TcpListener) -> anyhow::Result<()> {
    let reader = Reader::open(&places.pins)?;
    let source = metrics::Source::new(reader, running.state.clone());
    tokio::spawn(async move {
        if let Err(error) = metrics::serve(listener, source).await {
            tracing::error!("the metrics server ended: {error}");
        }
    });
    Ok(())
}

/// Hands the programs' messages to the log.
fn forward_log(running: &mut Started, options: LoadOptions) -> anyhow::Result<()> {
    let Some(logger) = running.plane.logger(options) else { return Ok(()) };
    // SAFETY: the logger owns the map whose descriptor it hands out, hands out the same one every
    // time, and is itself owned by the registration until that ends.
    let mut logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }
        .context("cannot wait for the programs' messages")?;
    tokio::spawn(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
    Ok(())
}

/// Is the underlay interface gone? Its programs went with it, and a start is what brings new ones.
fn lost_link(event: &HostEvent, running: &Started) -> Option<String> {
    if let HostEvent::LinkRemoved { ifindex, name } = event
        && *ifindex == running.findings.facts.ifindex
    {
        return Some(format!(
            "the underlay interface {name} is gone, and what was attached to it; start again when \
             it is back"
        ));
    }
    None
}

/// Can this event change the way to a peer?
fn concerns_ways(event: &HostEvent, running: &Started) -> bool {
    let underlay = running.findings.facts.ifindex;
    match event {
        HostEvent::Overrun | HostEvent::Route(_) | HostEvent::RouteRemoved(_) => true,
        HostEvent::Link { ifindex, .. }
        | HostEvent::LinkRemoved { ifindex, .. }
        | HostEvent::Address { ifindex, .. }
        | HostEvent::AddressRemoved { ifindex, .. }
        | HostEvent::NeighbourRemoved { ifindex, .. } => *ifindex == underlay,
        HostEvent::Neighbour(neighbour) => neighbour.ifindex == underlay,
    }
}

/// From now on nobody tells when a next hop stops to answer: the kernel shall look it up each time.
fn unname_next_hops(running: &mut Started) -> anyhow::Result<()> {
    for (index, peer) in running.plan.peers.iter_mut().enumerate() {
        peer.gateway = Address::ZERO;
        running.plane.set_peer(index as u32, peer)?;
    }
    Ok(())
}

/// Brings the peers' entries in line with the host's routes and neighbours.
async fn follow(running: &mut Started, host: &Host) -> anyhow::Result<()> {
    let ways = ways::all(&running.findings, host, Some(&running.plan.peers)).await;
    running.findings.facts.mtu = ways.mtu;
    let config = &running.findings.config;
    for (index, (peer, way)) in config.peers.iter().zip(&ways.to_peers).enumerate() {
        let old = running.plan.peers[index];
        let facts = &running.findings.facts;
        let new = plan::peer_entry(peer, facts, way.as_ref().ok(), old.slot);
        if new == old {
            continue;
        }
        running.plane.set_peer(index as u32, &new)?;
        running.plan.peers[index] = new;
        match way {
            Ok(way) if old.ifindex == 0 => {
                tracing::info!(peer = %peer.name, "now by way of {}", way.gateway);
            }
            Ok(way) => tracing::debug!(peer = %peer.name, "the way is now {way:?}"),
            Err(reason) => tracing::warn!(peer = %peer.name, "not reachable: {reason}"),
        }
    }
    Ok(())
}
