//! Answers scrapes over HTTP. What a page costs is bounded by [`super::page`], what clients cost by
//! [`crate::http`].

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State as Shared,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::Mutex, time::Instant};

use super::{
    accept_encoding::accepts_gzip,
    page::{Page, RenderBudget},
    published::{Published, Version},
    render::render,
    snapshot::Snapshot,
};
use crate::http::{self, Limits};

/// The type of the text exposition format, version 0.0.4.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const LIMITS: Limits = Limits {
    connections: 64,
    request: Duration::from_secs(10),
    // Longer than the interval between two scrapes mostly is.
    idle: Duration::from_secs(60),
    response: Duration::from_secs(30),
};

/// Answers scrapes until the future is dropped.
pub async fn serve(listener: TcpListener, published: Published) {
    let pages = Arc::new(Pages { published, latest: Mutex::default() });
    let app =
        Router::new().route("/metrics", get(metrics)).route("/", get(front)).with_state(pages);
    http::serve(listener, app, LIMITS).await;
}

/// What pages are made from. One is made at a time.
struct Pages {
    published: Published,
    latest: Mutex<Latest>,
}

#[derive(Default)]
struct Latest {
    /// The latest page, and what it was made from.
    page: Option<(Page, Version)>,
    budget: RenderBudget,
}

impl Pages {
    /// Returns the latest page, or makes one.
    async fn page(&self, request: Instant) -> Result<Page, String> {
        let mut latest = self.latest.lock().await;
        let (source, reload, version) = self.published.latest();
        let now = Instant::now();
        if let Some((page, made_from)) = &latest.page
            && *made_from == version
            && latest.budget.reuses(page, request, now)
        {
            return Ok(page.clone());
        }
        // Reading maps takes many system calls, which must not block the threads that serve.
        let made = tokio::task::spawn_blocking(move || {
            let snapshot = source.snapshot().map_err(|error| error.to_string())?;
            let snapshot = Snapshot { reload: Some(reload), ..snapshot };
            let text = render(&snapshot).map_err(|error| error.to_string())?;
            Page::new(&text, now).map_err(|error| error.to_string())
        });
        let made = made.await.map_err(|error| error.to_string())?;
        latest.budget.spend(now.elapsed(), Instant::now());
        latest.page = made.as_ref().ok().map(|page| (page.clone(), version));
        made
    }
}

async fn metrics(Shared(pages): Shared<Arc<Pages>>, headers: HeaderMap) -> Response {
    let request = Instant::now();
    let page = match pages.page(request).await {
        Ok(page) => page,
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    };
    let mut accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    let gzip = accepted.any(|field| field.to_str().is_ok_and(accepts_gzip));
    let (length, body) = if gzip {
        (page.gzip().len(), Body::from(page.gzip()))
    } else {
        (page.length(), Body::from_stream(futures_util::stream::iter(page.pieces())))
    };
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, CONTENT_TYPE)
        .header(header::CONTENT_LENGTH, length)
        .header(header::VARY, "Accept-Encoding");
    if gzip {
        response = response.header(header::CONTENT_ENCODING, "gzip");
    }
    if let Some(age) = page.age_at(request) {
        response = response.header(header::AGE, age.as_secs());
    }
    response.body(body).unwrap_or_else(|error| {
        (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
    })
}

async fn front() -> Html<&'static str> {
    Html(
        "<title>vxlan</title><p>The counters of this data plane: \
         <a href=\"/metrics\">metrics</a>.\n",
    )
}
