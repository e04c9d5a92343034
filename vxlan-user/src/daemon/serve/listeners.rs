//! What others can see of the daemon: the metrics page, and the socket of the command line. Both go on
//! under another configuration.

use tokio::{net::TcpListener, sync::mpsc, task::AbortHandle};

use super::api::Api;
use crate::{
    daemon::{
        directories::Directories, probing::Probing, reload_requests::Asked, running::ActivePlane,
    },
    metrics::{self, Published, SharedUnderlay, SnapshotSource},
};

/// Requests for a reload that may wait; whoever asks waits for the outcome.
const WAITING: usize = 16;

/// The servers, which answer until this is dropped.
pub(in crate::daemon) struct Shown {
    published: Published,
    underlay: SharedUnderlay,
    pages: AbortHandle,
    /// Absent: the socket could not be made.
    api: Option<Api>,
}

impl Shown {
    /// Begins. Requests for a reload come out of the second part.
    pub(in crate::daemon) fn start(
        directories: &Directories,
        running: &ActivePlane,
        probing: &Probing,
        underlay: SharedUnderlay,
        listener: TcpListener,
    ) -> anyhow::Result<(Self, mpsc::Receiver<Asked>)> {
        let published = Published::new(source(directories, running, probing, &underlay)?);
        let pages = serve(listener, published.clone());
        let (ask, asked) = mpsc::channel(WAITING);
        let socket = directories.run_dir.api_socket();
        let api = Api::serve(&socket, &running.state.node, probing.reports(), ask);
        let api = api
            .map_err(|error| tracing::warn!("the command line cannot ask this daemon: {error}"))
            .ok();
        Ok((Self { published, underlay, pages, api }, asked))
    }

    /// Another configuration is in force; with a listener, at another place too.
    pub(in crate::daemon) fn reload(
        &mut self,
        directories: &Directories,
        running: &ActivePlane,
        probing: &Probing,
        listener: Option<TcpListener>,
    ) -> anyhow::Result<()> {
        self.published.replace(source(directories, running, probing, &self.underlay)?);
        if let Some(listener) = listener {
            self.pages.abort();
            self.pages = serve(listener, self.published.clone());
        }
        if let Some(api) = &self.api {
            api.rename(&running.state.node);
        }
        Ok(())
    }

    /// A reload has failed.
    pub(in crate::daemon) fn failed(&self) {
        self.published.reload_failed();
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.pages.abort();
    }
}

fn source(
    directories: &Directories,
    running: &ActivePlane,
    probing: &Probing,
    underlay: &SharedUnderlay,
) -> anyhow::Result<SnapshotSource> {
    let reader = directories.reader(&running.state)?;
    Ok(SnapshotSource::new(reader, running.state.clone())
        .with_prober(probing.reports(), probing.round_trips())
        .with_underlay(underlay.clone()))
}

fn serve(listener: TcpListener, published: Published) -> AbortHandle {
    let task = tokio::spawn(async move {
        if let Err(error) = metrics::serve(listener, published).await {
            tracing::error!("the metrics server ended: {error}");
        }
    });
    task.abort_handle()
}
