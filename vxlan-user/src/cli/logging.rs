//! Where log lines go, and which of them: of the daemon through a thread of its own, of all other
//! commands directly.

use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt::MakeWriter, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::{log_writer::LogWriter, output};
use crate::metrics::LostLines;

/// The log of this process.
pub(super) struct Log {
    /// `None`: lines are written where they arise.
    writer: Option<LogWriter>,
    lost: LostLines,
}

impl Log {
    /// Begins to log to stderr; of a daemon without ever waiting for whoever reads it.
    pub(super) fn start(level: LevelFilter, daemon: bool) -> io::Result<Self> {
        let lost = LostLines::default();
        let writer = match daemon {
            true => Some(LogWriter::start(io::stderr(), lost.clone())?),
            false => None,
        };
        match &writer {
            Some(writer) => subscribe(level, writer.clone()),
            None => subscribe(level, io::stderr),
        }
        Ok(Self { writer, lost })
    }

    /// Returns the count of lines that were lost.
    pub(super) fn lost(&self) -> LostLines {
        self.lost.clone()
    }

    /// Writes the last line, and waits, within a bound, until all are written.
    pub(super) fn finish(self, last: Option<&str>) {
        match (&self.writer, last) {
            (Some(writer), Some(last)) => writer.line(format!("{last}\n").into_bytes()),
            (None, Some(last)) => output::complain(last),
            (_, None) => {}
        }
        if let Some(writer) = &self.writer {
            writer.flush();
        }
    }
}

/// Logs our own messages at the requested level, those of the BPF programs among them, and warnings
/// of other crates.
fn subscribe(level: LevelFilter, writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) {
    let others = level.min(LevelFilter::WARN);
    // It prints whole messages where an answer comes too late, of which only the reason matters.
    let netlink = if level >= LevelFilter::DEBUG { others } else { level.min(LevelFilter::ERROR) };
    let ours = Targets::new()
        .with_default(others)
        .with_target("netlink_proto", netlink)
        .with_target("vxlan", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        // A line that cannot be written must not be reported by a panic.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(ours)).init();
}
