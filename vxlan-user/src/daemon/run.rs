//! A running daemon: serves metrics, hears what changes, ends on a signal.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{
    directories::Directories,
    preflight,
    probing::Probing,
    reconcile::{
        ageing,
        reconciler::{self, Follower},
        underlay::{self, Underlay},
    },
    reload::Parts,
    reload_requests::Requests,
    running::ActivePlane,
    serve::{listeners::Shown, program_log, service_manager::Service},
    takeover::bring_up,
};
use crate::{
    dataplane::LoadOptions,
    host::{Host, HostEvent, IcmpListener},
};

/// How often the next hops of peers without a way are asked for again, and old news is looked for.
const RETRY: Duration = Duration::from_secs(1);

/// Starts, calls `started` once traffic can pass, and stays until SIGINT or SIGTERM. With `watch` a change
/// of the configuration file is applied, too.
///
/// Afterwards the data plane goes on without the daemon; [`super::down`] is what removes it.
pub async fn run(
    directories: &Directories,
    options: LoadOptions,
    watch: bool,
    started: impl FnOnce(&ActivePlane, std::net::SocketAddr),
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    // From now on it does not end the process, also if it comes during the start.
    let hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    preflight::privileges()?;
    let _lock = directories.run_dir.lock()?;
    let host = Host::new()?;
    // Watching begins before the host is read, so that no change falls between.
    let mut events = host.watch()?;
    let Beginning { mut running, listener, icmp } = match start(directories, &host, options).await {
        Ok(beginning) => beginning,
        Err(error) => {
            if !directories.run_dir.has_state() {
                directories.run_dir.clear()?;
            }
            return Err(error);
        }
    };
    let address = listener.local_addr().context("the metrics socket has no address")?;
    let mut probing = Probing::start(directories, &mut running)?;
    let mut underlay = Underlay::new(directories, &host, &running, icmp);
    let (mut shown, asked) =
        Shown::start(directories, &running, &probing, underlay.told(), listener)?;
    let mut requests = Requests::new(hangup, &directories.config, watch, asked);
    let mut ageing = ageing::start(&directories.pins, &running)?;
    program_log::forward(&mut running, options)?;
    started(&running, address);
    let mut service = Service::of_environment();
    service.ready(&running);

    let mut follower = Follower::new(directories, &host, &running);
    let mut retry = tokio::time::interval(RETRY);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            batch = events.next_batch() => match batch {
                Some(batch) => {
                    follower.note(&batch, &running);
                    if batch.iter().any(|event| underlay::concerns(event, &running)) {
                        underlay.look(&mut running, &mut probing).await;
                        follower.note(&[HostEvent::Overrun], &running);
                    }
                }
                None => {
                    events = host.watch().context("lost the kernel's news of routes")?;
                    underlay.look(&mut running, &mut probing).await;
                    follower.note(&[HostEvent::Overrun], &running);
                }
            },
            message = underlay.next_icmp() => {
                let message = message.context("cannot hear of packets that are too big")?;
                if let Some(narrowed) = follower.too_big(&mut running, &message)? {
                    probing.narrowed(&narrowed);
                }
            }
            event = probing.next() => {
                let event = event.context("cannot hear of probes")?;
                probing.handle(event, &mut running, &mut follower).await?;
            }
            asked = requests.next() => {
                let mut parts = Parts {
                    directories,
                    host: &host,
                    options,
                    running: &mut running,
                    probing: &mut probing,
                    follower: &mut follower,
                    underlay: &mut underlay,
                    ageing: &mut ageing,
                    shown: &mut shown,
                };
                let outcome = parts.reload(&mut requests, &mut service).await;
                if let Some(asked) = asked {
                    let _nobody_waits_any_more = asked.send(outcome);
                }
            }
            () = underlay.due() => {
                if underlay.has_carrier(&running).await {
                    follower.note(&[HostEvent::Overrun], &running);
                }
            }
            () = service.due() => service.alive(),
            _ = retry.tick() => {
                follower.save(&mut running);
                service.follow(&running);
                if running.state.underlay.lost.is_some() {
                    underlay.look(&mut running, &mut probing).await;
                    follower.note(&[HostEvent::Overrun], &running);
                }
                follower.forget();
                follower.retry(&running);
            }
            // As much as does not keep the others waiting.
            () = std::future::ready(()), if follower.has_work() => {
                follower.follow(&mut running).await?;
                probing.follow(&running, &follower);
            }
        }
    }
    service.stopping();
    follower.save(&mut running);
    reconciler::unname_next_hops(&mut running)?;
    tracing::info!("the daemon ends; traffic goes on. `vxlan down` removes the data plane");
    Ok(())
}

/// What a start makes.
struct Beginning {
    running: ActivePlane,
    listener: TcpListener,
    icmp: IcmpListener,
}

async fn start(
    directories: &Directories,
    host: &Host,
    options: LoadOptions,
) -> anyhow::Result<Beginning> {
    let preflight = preflight::inspect(directories, host).await?;
    tracing::debug!("start: configuration and host fit");
    let listener = preflight::bind_metrics(&preflight.config).await?;
    for warning in &preflight.warnings {
        tracing::warn!("{warning}");
    }
    let icmp = IcmpListener::open(&preflight.underlay.name)?;
    let running = bring_up::bring_up(directories, host, preflight, options, None).await?;
    Ok(Beginning { running, listener, icmp })
}
