//! A new configuration for a running daemon, taken over whole or not at all. What happens to the data
//! plane is [`super::takeover`]'s matter.

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{
    directories::Directories,
    preflight,
    probing::Probing,
    reconcile::{
        ageing::{self, Ageing},
        reconciler::Follower,
        underlay::Underlay,
    },
    reload_requests::{Outcome, Requests},
    running::ActivePlane,
    serve::{listeners::Shown, program_log, service_manager::Service},
    takeover::bring_up,
};
use crate::{
    config,
    dataplane::LoadOptions,
    host::{Host, IcmpListener},
};

/// What goes on under another configuration.
pub(super) struct Parts<'a, 'b> {
    pub(super) directories: &'b Directories,
    pub(super) host: &'b Host,
    pub(super) options: LoadOptions,
    pub(super) running: &'a mut ActivePlane,
    pub(super) probing: &'a mut Probing,
    pub(super) follower: &'a mut Follower<'b>,
    pub(super) underlay: &'a mut Underlay<'b>,
    pub(super) ageing: &'a mut Ageing,
    pub(super) shown: &'a mut Shown,
}

impl Parts<'_, '_> {
    /// Reads the file and applies it, or leaves everything as it is and says why. The service manager
    /// and the metrics hear of it.
    pub(super) async fn reload(
        &mut self,
        requests: &mut Requests,
        service: &mut Service,
    ) -> Outcome {
        service.reloading();
        requests.read();
        let done = self.apply().await;
        service.ready(self.running);
        match done {
            Ok(()) => {
                tracing::info!(
                    "the configuration {} is in force",
                    self.directories.config.display()
                );
                Ok(())
            }
            Err(error) => {
                self.shown.failed();
                tracing::error!("the former configuration stays in force: {error:#}");
                Err(format!("{error:#}"))
            }
        }
    }

    async fn apply(&mut self) -> anyhow::Result<()> {
        let (directories, host) = (self.directories, self.host);
        // What was learned up to now is in the state that the next generation begins with.
        self.follower.save(self.running);
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
            bring_up::bring_up(directories, host, preflight, self.options, Some(self.running))
                .await?;
        let former = std::mem::replace(self.running, next);
        self.hand_over(&former, icmp, listener).await.context(
            "the new configuration is in force, but the daemon cannot follow it: restart it",
        )
    }

    /// From here on the new configuration is in force.
    async fn hand_over(
        &mut self,
        former: &ActivePlane,
        icmp: Option<IcmpListener>,
        listener: Option<TcpListener>,
    ) -> anyhow::Result<()> {
        let Self { directories, running, probing, follower, .. } = self;
        self.underlay.reload(running, icmp);
        follower.reload(former, running);
        probing.reload(directories, &former.preflight.config, running, follower)?;
        *self.ageing = ageing::start(&directories.pins, running)?;
        program_log::forward(running, self.options)?;
        self.shown.reload(directories, running, probing, listener)
    }
}

fn same_listener(before: &config::Config, now: &config::Config) -> bool {
    before.metrics.listen.value == now.metrics.listen.value
}
