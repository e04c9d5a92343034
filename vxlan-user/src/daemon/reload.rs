//! Applies a new configuration to a running daemon, whole or not at all, once it is prepared
//! ([`super::reload_preparation`]). [`super::takeover`] changes the data plane; this module hands
//! all other parts of the daemon over to the new data plane.

use tokio::net::TcpListener;

use super::{
    directories::Directories,
    interrupt::Interrupt,
    parts::{Parts, latest_reader},
    preflight,
    probing::Probing,
    reconcile::{
        Reconciler,
        ageing::{self, Ageing},
        underlay::UnderlayReconciler,
    },
    reload_requests::ReloadOutcome,
    running::ActivePlane,
    serve::{listeners::Listeners, program_log::ProgramLog, service_manager::ServiceManager},
    takeover::{Prepared, Takeover, take_over},
};
use crate::{
    config,
    dataplane::LoadOptions,
    host::{Host, IcmpListener},
};

/// The parts of a running daemon that carry on under another configuration.
pub(super) struct Reload<'a, 'b> {
    pub(super) directories: &'b Directories,
    pub(super) host: &'b Host,
    pub(super) options: LoadOptions,
    pub(super) interrupt: &'a Interrupt,
    pub(super) running: &'a mut ActivePlane,
    pub(super) probing: &'a mut Probing,
    pub(super) reconciler: &'a mut Reconciler<'b>,
    pub(super) underlay: &'a mut UnderlayReconciler<'b>,
    pub(super) ageing: &'a mut Ageing,
    pub(super) listeners: &'a mut Listeners,
}

impl Reload<'_, '_> {
    /// Applies what was prepared, or leaves everything as it is and returns why. Notifies the
    /// service manager and the metrics.
    pub(super) async fn run(
        &mut self,
        prepared: anyhow::Result<Prepared>,
        service_manager: &mut ServiceManager,
    ) -> ReloadOutcome {
        let result = self.apply(prepared).await;
        service_manager.notify_ready(self.running, &self.probing.reports().latest());
        match result {
            Ok(changes) => {
                tracing::info!(
                    "the configuration {} is in force: {changes}",
                    self.directories.config.display()
                );
                Ok(())
            }
            Err(error) => {
                self.listeners.reload_failed();
                tracing::error!("the previous configuration stays in force: {error:#}");
                Err(format!("{error:#}"))
            }
        }
    }

    async fn apply(
        &mut self,
        prepared: anyhow::Result<Prepared>,
    ) -> anyhow::Result<config::Changes> {
        let (directories, host) = (self.directories, self.host);
        let mut prepared = prepared?;
        // Since then the daemon may have learned something, and somebody may have removed pins.
        self.reconciler.save(self.running);
        self.running.plane.restore_pins(&directories.pins, self.running.generation())?;
        prepared.refresh(&self.running.state)?;
        let preflight = &prepared.preflight;
        let before = &self.running.preflight;
        let listener = match same_listener(&before.config, &preflight.config) {
            true => None,
            false => Some(preflight::bind_metrics(&preflight.config).await?),
        };
        let icmp = match before.underlay.name == preflight.underlay.name {
            true => None,
            false => Some(IcmpListener::open(&preflight.underlay.name)?),
        };
        let known = |warning: &&String| before.warnings.contains(*warning);
        for warning in preflight.warnings.iter().filter(|warning| !known(warning)) {
            tracing::warn!("{warning}");
        }
        let (interrupt, options) = (self.interrupt, self.options);
        let with = Takeover { directories, host, interrupt, running: Some(self.running) };
        let round_trips = self.probing.round_trips();
        let open_parts =
            |next: &mut ActivePlane| Parts::open(directories, next, options, Some(round_trips));
        let (next, parts) = match take_over(with, prepared, open_parts).await {
            Ok(taken) => taken,
            Err(error) => {
                // What cannot be opened is attached again by the next look at the hooks.
                let _attached_again_later = self.running.plane.hold_pinned();
                return Err(error);
            }
        };
        let previous = std::mem::replace(self.running, next);
        self.hand_over(&previous, parts, icmp, listener);
        let (before, now) = (&previous.preflight.config, &self.running.preflight.config);
        Ok(config::Changes::between(before, now))
    }

    /// Hands the parts over to the new generation. The new configuration is in force, so nothing
    /// can fail any more.
    fn hand_over(
        &mut self,
        previous: &ActivePlane,
        parts: Parts,
        icmp: Option<IcmpListener>,
        listener: Option<TcpListener>,
    ) {
        let Self { directories, running, probing, reconciler, .. } = self;
        let reader = latest_reader(directories, running, parts.reader);
        self.underlay.reload(running, icmp);
        reconciler.reload(previous, running);
        probing.reload(parts.probing, &previous.preflight.config, running, reconciler);
        *self.ageing = ageing::start(parts.ageing, &directories.pins, running);
        parts.program_log.into_iter().for_each(ProgramLog::forward);
        self.listeners.reload(reader, running, probing, listener);
    }
}

fn same_listener(before: &config::Config, now: &config::Config) -> bool {
    before.metrics.listen.value == now.metrics.listen.value
}
