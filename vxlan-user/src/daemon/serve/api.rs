//! Answers the command line: HTTP over a Unix socket in the run directory, for root alone.
//!
//! `GET /nat` is a [`NatReports`] in JSON. `POST /reload` requests a reload, and answers
//! when that has ended: 200 and the file that was read, or 409 and the reason in a line.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    Router,
    extract::State as Shared,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use nix::sys::stat::{Mode, fchmod};
use tokio::{
    net::{UnixListener, UnixSocket},
    sync::{mpsc, oneshot},
    task::{self, AbortHandle},
};

use crate::{
    daemon::reload_requests::ReloadRequest,
    http::{self, Limits},
    probe::{NatReports, SharedReports},
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 16;

const LIMITS: Limits = Limits {
    connections: 64,
    request: Duration::from_secs(10),
    idle: Duration::from_secs(10),
    // A reload may wait for others, and loads programs.
    response: Duration::from_secs(120),
};

/// The socket. It answers until this is dropped, which removes its file too.
#[derive(Debug)]
pub struct Api {
    path: PathBuf,
    node: Arc<RwLock<String>>,
    task: AbortHandle,
}

impl Api {
    /// Answers at `path` for a daemon that reads `config`, within a tokio runtime. The caller holds
    /// the lock of the run directory, so a file that is there already was left by a daemon that is
    /// gone.
    pub fn serve(
        path: &Path,
        config: &Path,
        node: &str,
        reports: SharedReports,
        reloads: mpsc::Sender<ReloadRequest>,
    ) -> io::Result<Self> {
        let listener = listen(path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen at {}: {error}", path.display()))
        })?;
        let node = Arc::new(RwLock::new(node.to_owned()));
        let app = Router::new().route("/nat", get(nat)).route("/reload", post(reload)).with_state(
            ApiState {
                config: config.display().to_string(),
                node: Arc::clone(&node),
                reports,
                reloads,
            },
        );
        let task = tokio::spawn(http::serve(listener, app, LIMITS));
        Ok(Self { path: path.to_owned(), node, task: task.abort_handle() })
    }

    /// Sets the name of the node, after a reload.
    pub fn rename(&self, node: &str) {
        node.clone_into(&mut self.node.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
        let _gone_already = fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    // On Linux the file takes its mode from the socket (unix(7) leaves that to the system), so
    // that the file never exists with another mode.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket.bind(path)?;
    socket.listen(BACKLOG)
}

#[derive(Clone)]
struct ApiState {
    /// The file that a reload reads.
    config: String,
    node: Arc<RwLock<String>>,
    reports: SharedReports,
    reloads: mpsc::Sender<ReloadRequest>,
}

async fn nat(Shared(state): Shared<ApiState>) -> Response {
    let node = state.node.read().unwrap_or_else(PoisonError::into_inner).clone();
    // With thousands of peers that is work for a thread of its own.
    let written = task::spawn_blocking(move || {
        serde_json::to_vec(&NatReports { node, peers: state.reports.latest_full() })
    });
    let written = written.await.map_err(io::Error::other);
    match written.and_then(|text| text.map_err(io::Error::other)) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn reload(Shared(state): Shared<ApiState>) -> Response {
    let (answer, outcome) = oneshot::channel();
    let outcome = match state.reloads.send(answer).await {
        Ok(()) => outcome.await.ok(),
        Err(_) => None,
    };
    match outcome {
        Some(Ok(())) => state.config.into_response(),
        Some(Err(reason)) => (StatusCode::CONFLICT, reason).into_response(),
        None => (StatusCode::CONFLICT, "the daemon is ending".to_owned()).into_response(),
    }
}
