//! Prepares a reload beside the event loop, which goes on meanwhile: reads and checks configuration
//! and host, plans, and has the verifier pass the programs. Changes nothing. [`super::reload`]
//! applies the result.

use std::thread;

use anyhow::Context as _;
use tokio::{runtime::Builder, sync::oneshot};

use super::{
    directories::Directories,
    interrupt::Interrupted,
    preflight,
    reload_requests::{ReloadOutcome, ReloadRequest},
    takeover::{self, Prepared},
};
use crate::{
    dataplane::LoadOptions,
    host::{Host, HostEvent},
};

/// A reload that is being prepared.
pub(super) struct Preparation {
    prepared: oneshot::Receiver<anyhow::Result<Prepared>>,
    /// The host has changed since this began.
    host_changed: bool,
    /// Who waits for the outcome.
    requesters: Vec<ReloadRequest>,
}

impl Preparation {
    /// Begins, in a thread of its own: unlike the runtime's threads it has the rights to load
    /// programs.
    pub(super) fn begin(
        directories: &Directories,
        options: LoadOptions,
        requesters: Vec<ReloadRequest>,
    ) -> Self {
        let (sender, prepared) = oneshot::channel();
        let directories = directories.clone();
        let work = move || {
            let _daemon_ends = sender.send(prepare(&directories, options));
        };
        // Without a thread the sender is dropped, and the preparation has failed.
        if let Err(error) = thread::Builder::new().name("reload".to_owned()).spawn(work) {
            tracing::warn!("cannot start a thread for a reload: {error}");
        }
        Self { prepared, host_changed: false, requesters }
    }

    /// Waits until the preparation has ended. With `None` that is never.
    pub(super) async fn ended(this: &mut Option<Self>) -> anyhow::Result<Prepared> {
        match this {
            Some(this) => {
                let prepared = (&mut this.prepared).await.context("the reload was not prepared")?;
                prepared.map(|mut prepared| {
                    if this.host_changed {
                        prepared.forget_host();
                    }
                    prepared
                })
            }
            None => std::future::pending().await,
        }
    }

    /// Takes in news of the host: what was read of it may be out of date.
    pub(super) fn observe(&mut self, events: &[HostEvent]) {
        let concerns = |event: &HostEvent| match event {
            HostEvent::Neighbour(_) | HostEvent::NeighbourRemoved { .. } => false,
            HostEvent::Link { .. }
            | HostEvent::LinkRemoved { .. }
            | HostEvent::Address { .. }
            | HostEvent::AddressRemoved { .. }
            | HostEvent::Route(_)
            | HostEvent::RouteRemoved(_)
            | HostEvent::TrafficControl { .. }
            | HostEvent::Overrun => true,
        };
        self.host_changed |= events.iter().any(concerns);
    }

    /// Tells everybody who waits how the reload has ended.
    pub(super) fn report(self, outcome: &ReloadOutcome) {
        for requester in self.requesters {
            let _requester_is_gone = requester.send(outcome.clone());
        }
    }

    /// Gives the reload up, because the daemon ends.
    pub(super) fn give_up(self) {
        self.report(&Err(Interrupted.to_string()));
    }
}

fn prepare(directories: &Directories, options: LoadOptions) -> anyhow::Result<Prepared> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("cannot prepare a reload")?.block_on(async {
        // A connection of its own: the kernel makes one list at a time for each.
        let host = Host::new()?;
        let preflight = preflight::inspect(directories, &host).await?;
        let mut prepared = takeover::prepare(directories, preflight, options, None).await?;
        prepared.read_host(&host).await?;
        Ok(prepared)
    })
}
