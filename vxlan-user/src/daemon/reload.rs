//! A new configuration for a running daemon: who asks for it, and taking it over whole or not at all.
//! What happens to the data plane is [`super::takeover`]'s matter.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    time::{Interval, interval},
};

use super::{
    Places,
    preflight::host as preflight,
    probing::Probing,
    reconcile::{
        ageing::{self, Ageing},
        reconciler::Follower,
        underlay::Underlay,
    },
    run,
    serve::{listeners::Shown, service_manager::Service},
    takeover::bring_up,
};
use crate::{
    config,
    daemon::Started,
    dataplane::LoadOptions,
    host::{Host, IcmpListener},
};

/// How often a watched file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The answer to who asked: an error is in the words that a person reads.
pub(super) type Outcome = Result<(), String>;

/// Where a request comes from, if somebody waits for the outcome.
pub(super) type Asked = oneshot::Sender<Outcome>;

/// Everything that can ask for a reload.
pub(super) struct Requests {
    hangup: Signal,
    asked: mpsc::Receiver<Asked>,
    watched: Option<Watched>,
}

impl Requests {
    /// `watch`: a change of the file is a request too.
    pub(super) fn new(
        hangup: Signal,
        config: &Path,
        watch: bool,
        asked: mpsc::Receiver<Asked>,
    ) -> Self {
        Self { hangup, asked, watched: watch.then(|| Watched::new(config)) }
    }

    /// The next one. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> Option<Asked> {
        let changed = async {
            match &mut self.watched {
                Some(watched) => watched.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.hangup.recv() => None,
            Some(asked) = self.asked.recv() => Some(asked),
            () = changed => None,
        }
    }

    /// What is there is being read now.
    pub(super) fn read(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.read = Stamp::of(&watched.path);
        }
    }
}

/// A file that is looked at now and then: that finds every way of replacing it, renames and links
/// included.
struct Watched {
    path: PathBuf,
    tick: Interval,
    /// As it was when it was read.
    read: Option<Stamp>,
    /// As it was at the latest look: what is still being written changes from look to look.
    seen: Option<Stamp>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// `None`: there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            file: (found.dev(), found.ino()),
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

impl Watched {
    fn new(path: &Path) -> Self {
        let now = Stamp::of(path);
        Self { path: path.to_owned(), tick: interval(LOOK), read: now, seen: now }
    }

    async fn changed(&mut self) {
        loop {
            self.tick.tick().await;
            let now = Stamp::of(&self.path);
            let settled = self.seen == now;
            self.seen = now;
            if settled && now.is_some() && now != self.read {
                return;
            }
        }
    }
}

/// What goes on under another configuration.
pub(super) struct Parts<'a, 'b> {
    pub(super) places: &'b Places,
    pub(super) host: &'b Host,
    pub(super) options: LoadOptions,
    pub(super) running: &'a mut Started,
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
                tracing::info!("the configuration {} is in force", self.places.config.display());
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
        let (places, host) = (self.places, self.host);
        // What was learned up to now is in the state that the next generation begins with.
        self.follower.save(self.running);
        let findings = preflight::inspect(places, host).await?;
        let before = &self.running.findings;
        let listener = match same_listener(&before.config, &findings.config) {
            true => None,
            false => Some(preflight::bind_metrics(&findings.config).await?),
        };
        let icmp = match before.underlay.name == findings.underlay.name {
            true => None,
            false => Some(IcmpListener::open(&findings.underlay.name)?),
        };
        for warning in &findings.warnings {
            tracing::warn!("{warning}");
        }
        let next =
            bring_up::bring_up(places, host, findings, self.options, Some(self.running)).await?;
        let former = std::mem::replace(self.running, next);
        self.hand_over(&former, icmp, listener).await.context(
            "the new configuration is in force, but the daemon cannot follow it: restart it",
        )
    }

    /// From here on the new configuration is in force.
    async fn hand_over(
        &mut self,
        former: &Started,
        icmp: Option<IcmpListener>,
        listener: Option<TcpListener>,
    ) -> anyhow::Result<()> {
        let Self { places, running, probing, follower, .. } = self;
        self.underlay.reload(running, icmp);
        follower.reload(former, running);
        probing.reload(places, &former.findings.config, running, follower)?;
        *self.ageing = ageing::start(&places.pins, running)?;
        run::forward_log(running, self.options)?;
        self.shown.reload(places, running, probing, listener)
    }
}

fn same_listener(before: &config::Config, now: &config::Config) -> bool {
    before.metrics.listen.value == now.metrics.listen.value
}
