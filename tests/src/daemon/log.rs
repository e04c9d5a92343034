//! What a daemon writes to its two streams, line by line, and waiting for a line.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

#[derive(Debug, Default)]
pub(super) struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    /// Both streams, line by line as they came.
    text: String,
    stderr: Vec<String>,
    ended: bool,
}

impl Log {
    /// All lines so far.
    pub(super) fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Nothing more comes.
    pub(super) fn ended(&self) -> bool {
        self.lock().ended
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what a stream brings, until its end.
    pub(super) fn collect(
        self: &Arc<Self>,
        stream: Option<impl Read + Send + 'static>,
        is_stderr: bool,
    ) {
        let Some(stream) = stream else { return };
        let log = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut state = log.lock();
                state.text.push_str(&line);
                state.text.push('\n');
                if is_stderr {
                    state.stderr.push(line);
                }
                log.changed.notify_all();
            }
            if is_stderr {
                log.lock().ended = true;
                log.changed.notify_all();
            }
        });
    }

    /// False when time ran out or the stream ended without the text.
    pub(super) fn wait_for(&self, text: &str, timeout: Duration) -> bool {
        let found = |state: &LogState| state.stderr.iter().any(|line| line.contains(text));
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| !found(state) && !state.ended);
        found(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}
