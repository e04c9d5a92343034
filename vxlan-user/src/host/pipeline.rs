//! Many requests to the kernel at a time: it answers each in some microseconds, and waiting for
//! every answer before the next request would take most of the time.

use std::ops::ControlFlow;

use futures_util::stream::{self, FuturesUnordered, StreamExt as _};

/// Requests without an answer yet. Answers wait in the socket's buffer of 200 kB or so, in which
/// the longest take 4 kB each; what does not fit would be lost.
const AT_A_TIME: usize = 32;

/// Runs the requests, [`AT_A_TIME`] of them at a time, and passes each result to `done` as soon as
/// it is there. After [`ControlFlow::Break`] no further request is begun; those that were begun are
/// waited for all the same, since the kernel carries them out.
///
/// Only for requests with a single answer: the kernel refuses a second list while it makes one.
pub(super) async fn in_flight<F: Future>(
    requests: impl IntoIterator<Item = F>,
    mut done: impl FnMut(F::Output) -> ControlFlow<()>,
) {
    let mut requests = requests.into_iter();
    let mut running: FuturesUnordered<F> = requests.by_ref().take(AT_A_TIME).collect();
    let mut stopped = false;
    while let Some(answer) = running.next().await {
        stopped |= done(answer).is_break();
        if !stopped {
            running.extend(requests.next());
        }
    }
}

/// Runs all requests in the same manner, and returns the answers in the order of the requests.
pub(super) async fn all<F: Future>(requests: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    // Collected: a closure over borrowed items would keep the caller's future from being spawned.
    let requests: Vec<F> = requests.into_iter().collect();
    stream::iter(requests).buffered(AT_A_TIME).collect().await
}
