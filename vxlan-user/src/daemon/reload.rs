//! Applies a new configuration to a running daemon, whole or not at all. [`super::takeover`]
//! changes the data plane; this module hands all other parts of the daemon over to the new data
//! plane.

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{
    directories::Directories,
    preflight,
    probing::Probing,
    reconcile::{
        Reconciler,
        ageing::{self, Ageing},
        underlay::UnderlayReconciler,
    },
    reload_requests::{ReloadOutcome, ReloadRequests},
    running::ActivePlane,
    serve::{listeners::Listeners, program_log, service_manager::ServiceManager},
    takeover::take_over,
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
    pub(super) running: &'a mut ActivePlane,
    pub(super) probing: &'a mut Probing,
    pub(super) reconciler: &'a mut Reconciler<'b>,
    pub(super) underlay: &'a mut UnderlayReconciler<'b>,
    pub(super) ageing: &'a mut Ageing,
    pub(super) listeners: &'a mut Listeners,
}

impl Reload<'_, '_> {
    /// Reads the configuration file and applies it, or leaves everything as it is and returns why.
    /// Notifies the service manager and the metrics.
    pub(super) async fn run(
        &mut self,
        requests: &mut ReloadRequests,
        service_manager: &mut ServiceManager,
    ) -> ReloadOutcome {
        service_manager.notify_reloading();
        requests.record_file_version();
        let result = self.apply().await;
        service_manager.notify_ready(self.running, &self.probing.reports().latest());
        match result {
            Ok(()) => {
                tracing::info!(
                    "the configuration {} is in force",
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

    async fn apply(&mut self) -> anyhow::Result<()> {
        let (directories, host) = (self.directories, self.host);
        // The next generation begins with the record, which must hold what was learned up to now.
        self.reconciler.save(self.running);
        // Without pins the programs at work would look like somebody else's.
        self.running.plane.restore_pins(&directories.pins, self.running.generation())?;
        let preflight = preflight::inspect(directories, host).await?;
        let before = &self.running.preflight;
        let listener = match same_listener(&before.config, &preflight.config) {
            true => None,
            false => Some(preflight::bind_metrics(&preflight.config).await?),
        };
        let icmp = match before.underlay.name == preflight.underlay.name {
            true => None,
            false => Some(IcmpListener::open(&preflight.underlay.name)?),
        };
        for warning in &preflight.warnings {
            tracing::warn!("{warning}");
        }
        let next =
            take_over(directories, host, preflight, self.options, Some(self.running)).await?;
        let previous = std::mem::replace(self.running, next);
        self.hand_over(&previous, icmp, listener).await.context(
            "the new configuration is in force, but the daemon cannot work with it: restart the \
             daemon",
        )
    }

    /// Hands the parts over to the new generation. From here on the new configuration is in force.
    async fn hand_over(
        &mut self,
        previous: &ActivePlane,
        icmp: Option<IcmpListener>,
        listener: Option<TcpListener>,
    ) -> anyhow::Result<()> {
        let Self { directories, running, probing, reconciler, .. } = self;
        self.underlay.reload(running, icmp);
        reconciler.reload(previous, running);
        probing.reload(directories, &previous.preflight.config, running, reconciler)?;
        *self.ageing = ageing::start(&directories.pins, running)?;
        program_log::forward(running, self.options)?;
        self.listeners.reload(directories, running, probing, listener)
    }
}

fn same_listener(before: &config::Config, now: &config::Config) -> bool {
    before.metrics.listen.value == now.metrics.listen.value
}
