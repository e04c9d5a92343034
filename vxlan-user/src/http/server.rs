//! Accepts connections and has a router answer them, each within its time.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
};
use hyper::{
    Request,
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    connections::{Connection, Connections, Phase, Response},
    listener::{Accept, Stream},
};

/// The largest head of a request: its first line and its header fields.
const MAX_HEAD: usize = 8 << 10;
const MAX_HEADER_FIELDS: usize = 64;
/// How long to wait before the next try where the kernel had no file descriptor to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// For a connection that there is no room for.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n";

/// What a server allows its clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many connections may be open. When one more comes, the one that has waited longest for
    /// a request is closed; if none waits, the new one is answered 503.
    pub(crate) connections: usize,
    /// Time from the beginning of a connection to the end of the head of its first request.
    pub(crate) request: Duration,
    /// Time from a response to the end of the head of the next request.
    pub(crate) idle: Duration,
    /// Time from the end of a head until the response is made and sent.
    pub(crate) response: Duration,
}

impl Limits {
    fn of(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Request => self.request,
            Phase::Idle => self.idle,
            Phase::Response => self.response,
        }
    }
}

/// Serves until the future is dropped. Connections that are open then end by themselves.
pub(crate) async fn serve(listener: impl Accept, router: Router, limits: Limits) {
    let connections = Connections::default();
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                // Out of file descriptors, or the client has gone already.
                if is_exhausted(&error) && !connections.evict() {
                    sleep(ACCEPT_PAUSE).await;
                }
                tokio::task::yield_now().await;
                continue;
            }
        };
        let Some(connection) = connections.open(limits.connections) else {
            let _gone_already = stream.try_send(BUSY);
            continue;
        };
        let id = connection.id();
        let task = tokio::spawn(serve_one(stream, router.clone(), limits, connection));
        Connection::set_task(&connections, id, task.abort_handle());
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|errno| exhausted.contains(&errno))
}

/// Serves one connection to its end, or until it has taken too long.
async fn serve_one(stream: impl Stream, router: Router, limits: Limits, connection: Connection) {
    let connection = Arc::new(connection);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request: Request<Incoming>| {
        let response = connection.begin_response();
        let answer = router.call(request);
        async move {
            let answer = answer.await;
            answer.map(|answer| answer.map(|body| Body::new(Sent { body, _response: response })))
        }
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_HEADER_FIELDS);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let deadline = || {
        let (phase, since) = connection.phase();
        since + limits.of(phase)
    };
    loop {
        tokio::select! {
            // What went wrong with one client is not the daemon's matter.
            _ = &mut served => return,
            () = sleep_until(deadline()) => if deadline() <= Instant::now() { return },
        }
    }
}

/// The body of a response. The response ends when hyper has taken all of it.
struct Sent {
    body: Body,
    _response: Response,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
