//! The metrics page and the command line's socket. Both carry on under another configuration.

use tokio::{net::TcpListener, sync::mpsc, task::AbortHandle};

use super::api::Api;
use crate::{
    daemon::{
        directories::Directories, probing::Probing, reload_requests::ReloadRequest,
        running::ActivePlane,
    },
    dataplane::Reader,
    metrics::{self, DaemonStats, Published, SharedUnderlay, SnapshotSource},
};

/// How many requests for a reload may wait.
const MAX_REQUESTS: usize = 16;

/// The servers. They answer until this is dropped.
pub(in crate::daemon) struct Listeners {
    published: Published,
    underlay: SharedUnderlay,
    stats: DaemonStats,
    pages: AbortHandle,
    /// `None`: the socket could not be made.
    api: Option<Api>,
}

impl Listeners {
    /// Begins to serve. The returned channel receives requests for a reload.
    pub(in crate::daemon) fn start(
        directories: &Directories,
        reader: Reader,
        running: &ActivePlane,
        probing: &Probing,
        underlay: SharedUnderlay,
        stats: DaemonStats,
        listener: TcpListener,
    ) -> (Self, mpsc::Receiver<ReloadRequest>) {
        let source = source(reader, running, probing, &underlay);
        let published = Published::new(source.with_stats(stats.clone()));
        let pages = serve(listener, published.clone());
        let (sender, requests) = mpsc::channel(MAX_REQUESTS);
        let socket = directories.run_dir.api_socket();
        let api = Api::serve(
            &socket,
            &directories.config,
            &running.state.node,
            probing.reports(),
            sender,
        );
        let api = api
            .map_err(|error| tracing::warn!("the command line cannot reach this daemon: {error}"))
            .ok();
        (Self { published, underlay, stats, pages, api }, requests)
    }

    /// Serves the data of another configuration, at another address if there is a listener.
    pub(in crate::daemon) fn reload(
        &mut self,
        reader: Reader,
        running: &ActivePlane,
        probing: &Probing,
        listener: Option<TcpListener>,
    ) {
        let source = source(reader, running, probing, &self.underlay);
        self.published.replace(source.with_stats(self.stats.clone()));
        if let Some(listener) = listener {
            self.pages.abort();
            self.pages = serve(listener, self.published.clone());
        }
        if let Some(api) = &self.api {
            api.rename(&running.state.node);
        }
    }

    /// Publishes that a reload has failed.
    pub(in crate::daemon) fn reload_failed(&self) {
        self.published.reload_failed();
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.pages.abort();
    }
}

fn source(
    reader: Reader,
    running: &ActivePlane,
    probing: &Probing,
    underlay: &SharedUnderlay,
) -> SnapshotSource {
    SnapshotSource::new(reader, running.state.clone())
        .with_prober(probing.reports(), probing.round_trips())
        .with_underlay(underlay.clone())
}

fn serve(listener: TcpListener, published: Published) -> AbortHandle {
    tokio::spawn(metrics::serve(listener, published)).abort_handle()
}
