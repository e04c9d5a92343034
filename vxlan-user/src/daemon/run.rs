//! A running daemon: serves metrics, hears what changes, ends on a signal.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{
    Places, Started,
    preflight::host as preflight,
    probing::Probing,
    reconcile::{
        ageing,
        reconciler::{self, Follower},
        underlay::{self, Underlay},
    },
    reload::{Parts, Requests},
    serve::{listeners::Shown, service_manager::Service},
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
    places: &Places,
    options: LoadOptions,
    watch: bool,
    started: impl FnOnce(&Started, std::net::SocketAddr),
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    // From now on it does not end the process, also if it comes during the start.
    let hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    preflight::privileges()?;
    let _lock = places.run_dir.lock()?;
    let host = Host::new()?;
    // Watching begins before the host is read, so that no change falls between.
    let mut events = host.watch()?;
    let Beginning { mut running, listener, icmp } = match start(places, &host, options).await {
        Ok(beginning) => beginning,
        Err(error) => {
            if !places.run_dir.has_state() {
                places.run_dir.clear()?;
            }
            return Err(error);
        }
    };
    let address = listener.local_addr().context("the metrics socket has no address")?;
    let mut probing = Probing::start(places, &mut running)?;
    let mut underlay = Underlay::new(places, &host, &running, icmp);
    let (mut shown, asked) = Shown::start(places, &running, &probing, underlay.told(), listener)?;
    let mut requests = Requests::new(hangup, &places.config, watch, asked);
    let mut ageing = ageing::start(&places.pins, &running)?;
    forward_log(&mut running, options)?;
    started(&running, address);
    let mut service = Service::of_environment();
    service.ready(&running);

    let mut follower = Follower::new(places, &host, &running);
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
                    places,
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
    running: Started,
    listener: TcpListener,
    icmp: IcmpListener,
}

async fn start(places: &Places, host: &Host, options: LoadOptions) -> anyhow::Result<Beginning> {
    let findings = preflight::inspect(places, host).await?;
    tracing::debug!("start: configuration and host fit");
    let listener = preflight::bind_metrics(&findings.config).await?;
    for warning in &findings.warnings {
        tracing::warn!("{warning}");
    }
    let icmp = IcmpListener::open(&findings.underlay.name)?;
    let running = bring_up::bring_up(places, host, findings, options, None).await?;
    Ok(Beginning { running, listener, icmp })
}

/// Hands the programs' messages to the log.
pub(super) fn forward_log(running: &mut Started, options: LoadOptions) -> anyhow::Result<()> {
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
