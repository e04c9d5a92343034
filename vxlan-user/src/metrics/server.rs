//! Serves the metrics page over HTTP. The counters are read at every scrape.

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::State as Shared,
    http::{StatusCode, header},
    response::{Html, IntoResponse},
    routing::get,
};
use bytes::Bytes;
use tokio::{net::TcpListener, sync::Mutex};

use super::{published::Published, render::render, snapshot::Snapshot};

/// The type of the text exposition format, version 0.0.4.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers scrapes until the task is dropped.
///
/// # Errors
/// The listening socket broke.
pub async fn serve(listener: TcpListener, published: Published) -> io::Result<()> {
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/", get(front))
        .with_state(Arc::new(Page { published, turn: Mutex::new(()) }));
    axum::serve(listener, app).await
}

/// What the page is made from. One scrape is answered at a time.
struct Page {
    published: Published,
    turn: Mutex<()>,
}

async fn metrics(Shared(page): Shared<Arc<Page>>) -> impl IntoResponse {
    let _turn = page.turn.lock().await;
    let (source, reload) = page.published.latest();
    // Reading maps takes many system calls, which must not block the threads that serve.
    let page = tokio::task::spawn_blocking(move || {
        let snapshot = source.snapshot().map_err(|error| error.to_string())?;
        let snapshot = Snapshot { reload: Some(reload), ..snapshot };
        render(&snapshot).map_err(|error| error.to_string())
    });
    let text = match page.await {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], Bytes::from(text)).into_response()
}

async fn front() -> Html<&'static str> {
    Html(
        "<title>vxlan</title><p>The counters of this data plane: \
         <a href=\"/metrics\">metrics</a>.\n",
    )
}
