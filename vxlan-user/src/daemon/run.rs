//! A running daemon, from start to end.
//!
//! One task, the event loop, owns the data plane and everything that changes it; what the loop
//! awaits in a branch is short, or does a bounded batch. Beside it run: the metrics page and the
//! command line's socket ([`Listeners`]), which read; the ageing of MAC addresses and the programs'
//! clock ([`ageing`]), which write maps of their own; and the programs' log. Dropping a handle ends
//! its task; the task of the log has none and lasts as long as the process. When the loop ends, the
//! data plane carries on.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{
    directories::Directories,
    interrupt::{Interrupt, Interrupted},
    open_files,
    parts::{Parts, latest_reader},
    preflight,
    probing::Probing,
    reconcile::{
        HostPass, Reconciler, ageing,
        reconciler::clear_next_hops,
        underlay::{self, News, UnderlayReconciler},
    },
    reload::Reload,
    reload_preparation::Preparation,
    reload_requests::ReloadRequests,
    running::ActivePlane,
    serve::{listeners::Listeners, program_log::ProgramLog, service_manager::ServiceManager},
    takeover::{Takeover, prepare, take_over},
    turns::Turns,
};
use crate::{
    dataplane::LoadOptions,
    host::{Host, HostEvent, IcmpListener},
    metrics::{DaemonStats, LostLines},
};

/// How often paths that may improve are resolved again, old path MTUs dropped, and the record
/// saved.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Starts, calls `on_ready` once traffic can pass, and stays until SIGINT or SIGTERM. With `watch`
/// a change of the configuration file is applied, too. `lost_lines` is shown on the metrics page.
///
/// Afterwards the data plane carries on without the daemon; [`super::down`] removes it.
pub async fn run(
    directories: &Directories,
    options: LoadOptions,
    watch: bool,
    lost_lines: LostLines,
    on_ready: impl FnOnce(&ActivePlane, std::net::SocketAddr),
) -> anyhow::Result<()> {
    let interrupt = Interrupt::watch()?;
    // From now on SIGHUP does not end the process, also if it comes during the start.
    let hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    preflight::check_privileges()?;
    open_files::raise_limit();
    let _lock = directories.run_dir.lock()?;
    // A connection for each that reads beside the others: the kernel makes one list at a time.
    let (host, reading) = (Host::new()?, Host::new()?);
    let (path_reader, underlay_reader) = (Host::new()?, Host::new()?);
    // Watching begins before the host is read, so that no change falls between.
    let mut events = host.watch()?;
    let started = start(directories, &host, options, &interrupt).await;
    let Start { mut running, parts, listener, address, icmp } = match started {
        Ok(start) => start,
        Err(error) => {
            if !directories.run_dir.has_state() {
                directories.run_dir.clear()?;
            }
            if error.is::<Interrupted>() {
                tracing::info!("{error}: the start is undone");
                return Ok(());
            }
            return Err(error);
        }
    };
    let Parts { probing, ageing: maps, reader, program_log } = parts;
    let reader = latest_reader(directories, &running, reader);
    let mut probing = Probing::start(probing, &running);
    let readers = (&host, underlay_reader);
    let mut underlay = UnderlayReconciler::new(directories, readers, &running, icmp);
    let mut turns = Turns::new();
    let mut host_pass = HostPass::new(directories, &host, reading, &running);
    let stats =
        DaemonStats { longest_turn: turns.longest(), lost_lines, networks: host_pass.status() };
    let (mut listeners, requests) = Listeners::start(
        directories,
        reader,
        &running,
        &probing,
        underlay.status(),
        stats,
        listener,
    );
    let mut requests = ReloadRequests::new(hangup, &directories.config, watch, requests);
    let mut ageing = ageing::start(maps, &directories.pins, &running);
    program_log.into_iter().for_each(ProgramLog::forward);
    on_ready(&running, address);
    let mut service_manager = ServiceManager::from_environment();
    service_manager.notify_ready(&running, &probing.reports().latest());

    let mut reconciler = Reconciler::new(directories, path_reader, &running);
    let mut retry = tokio::time::interval(RETRY_INTERVAL);
    let mut preparation = None;
    loop {
        turns.end();
        if reconciler.take_overlays_changed() {
            host_pass.request();
        }
        tokio::select! {
            () = interrupt.wait() => break,
            batch = events.next_batch() => match batch {
                Some(batch) => {
                    turns.begin("changes of the host");
                    reconciler.observe(&batch, &running);
                    host_pass.observe(&batch, &running);
                    preparation.iter_mut().for_each(|reload| reload.observe(&batch));
                    if batch.iter().any(|event| underlay::concerns(event, &running)) {
                        underlay.request();
                    }
                }
                None => {
                    turns.begin("watching the host anew");
                    events = host.watch().context("cannot watch the host any longer")?;
                    underlay.request();
                    reconciler.observe(&[HostEvent::Overrun], &running);
                    preparation.iter_mut().for_each(|reload| reload.observe(&[HostEvent::Overrun]));
                    host_pass.request();
                }
            },
            news = underlay.next(&running) => match news {
                News::PacketTooBig(message) => {
                    turns.begin("a packet that was too big");
                    let message = message.context("cannot receive reports of packets too big")?;
                    let probe = |peer, mtu| probing.suspect_mtu(peer, mtu);
                    reconciler.packet_too_big(&mut running, &message, probe)?;
                }
                News::View(view) => {
                    turns.begin("the underlay interface");
                    underlay.reconcile(*view, &mut running, &mut probing).await;
                    reconciler.observe(&[HostEvent::Overrun], &running);
                }
                News::Carrier => {
                    turns.begin("the carrier");
                    reconciler.observe(&[HostEvent::Overrun], &running);
                }
            },
            event = probing.next() => {
                turns.begin("probes");
                let event = event.context("cannot receive probes")?;
                probing.handle(event, &mut running, &mut reconciler);
            }
            request = requests.next(), if preparation.is_none() => {
                turns.begin("a request to reload");
                // All that wait by now ask for the same file.
                let waiting = request.into_iter().chain(requests.waiting()).collect();
                service_manager.notify_reloading();
                requests.record_file_version();
                // The next generation begins with the record and the pins.
                reconciler.save(&mut running);
                host_pass.restore_pins(&mut running);
                preparation = Some(Preparation::begin(directories, options, waiting));
            }
            prepared = Preparation::ended(&mut preparation) => {
                turns.begin("a reload");
                let mut reload = Reload {
                    directories,
                    host: &host,
                    options,
                    interrupt: &interrupt,
                    running: &mut running,
                    probing: &mut probing,
                    reconciler: &mut reconciler,
                    underlay: &mut underlay,
                    ageing: &mut ageing,
                    listeners: &mut listeners,
                };
                host_pass.pause().await;
                let outcome = reload.run(prepared, &mut service_manager).await;
                host_pass.reload(&running);
                // What was prepared was read before the latest news.
                underlay.request();
                reconciler.observe(&[HostEvent::Overrun], &running);
                preparation.take().into_iter().for_each(|ended| ended.report(&outcome));
            }
            () = host_pass.due() => {
                turns.begin("what the daemon made on the host");
                if host_pass.run(&mut running).await {
                    match ageing::open(&directories.pins, running.generation()) {
                        Ok(maps) => ageing = ageing::start(maps, &directories.pins, &running),
                        Err(error) => tracing::warn!("MAC addresses do not age: {error}"),
                    }
                }
                underlay.publish_record(&running);
            }
            () = service_manager.watchdog_due() => service_manager.notify_watchdog(),
            _ = retry.tick() => {
                turns.begin("what is due each second");
                reconciler.save(&mut running);
                service_manager.update_status(&running, &probing.reports());
                host_pass.glance(&running);
                if running.state.underlay.lost.is_some() {
                    underlay.request();
                }
                reconciler.expire_path_mtus();
                reconciler.mark_improvable();
            }
            // Some at a time, so that the other branches have their turn.
            paths = reconciler.next_paths(&running),
                if reconciler.has_work() && !underlay.is_reading() =>
            {
                turns.begin("paths to peers");
                let peers = reconciler.apply_paths(&mut running, paths)?;
                probing.set_paths(&peers, &running, &reconciler);
            }
        }
    }
    service_manager.notify_stopping();
    host_pass.pause().await;
    preparation.into_iter().for_each(Preparation::give_up);
    reconciler.finish(&mut running);
    clear_next_hops(&mut running)?;
    tracing::info!("the daemon ends; traffic goes on. `vxlan down` removes the data plane");
    Ok(())
}

/// What a start makes and opens.
struct Start {
    running: ActivePlane,
    parts: Parts,
    listener: TcpListener,
    address: std::net::SocketAddr,
    icmp: IcmpListener,
}

/// Makes the data plane. Everything that the daemon needs beside it is opened before that is at
/// work.
async fn start(
    directories: &Directories,
    host: &Host,
    options: LoadOptions,
    interrupt: &Interrupt,
) -> anyhow::Result<Start> {
    let preflight = tokio::select! {
        biased;
        () = interrupt.wait() => return Err(Interrupted.into()),
        preflight = preflight::inspect(directories, host) => preflight?,
    };
    tracing::debug!("start: configuration and host fit");
    let listener = preflight::bind_metrics(&preflight.config).await?;
    let address = listener.local_addr().context("the metrics socket has no address")?;
    for warning in &preflight.warnings {
        tracing::warn!("{warning}");
    }
    let icmp = IcmpListener::open(&preflight.underlay.name)?;
    let prepared = prepare(directories, preflight, options, Some(interrupt)).await?;
    let with = Takeover { directories, host, interrupt, running: None };
    let open_parts = |next: &mut ActivePlane| Parts::open(directories, next, options, None);
    let (running, parts) = take_over(with, prepared, open_parts).await?;
    Ok(Start { running, parts, listener, address, icmp })
}
