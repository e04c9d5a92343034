//! Writes the log in a thread of its own. A reader of the log that pauses holds up nobody else:
//! lines that there is no room for are dropped and counted.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

use crate::{host::capabilities, metrics::LostLines};

/// How many lines may wait to be written.
const MAX_LINES: usize = 1000;
/// How long the last lines may take at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
const FLUSH_POLL: Duration = Duration::from_millis(5);

enum Message {
    Line(Vec<u8>),
    /// Answered when all lines before it are written.
    Flush(Sender<()>),
}

/// The entrance to the thread. Clones write to the same one.
#[derive(Clone)]
pub(super) struct LogWriter {
    messages: SyncSender<Message>,
    lost: LostLines,
}

impl LogWriter {
    /// Starts the thread, which writes to `output` and counts in `lost`.
    pub(super) fn start(
        output: impl io::Write + Send + 'static,
        lost: LostLines,
    ) -> io::Result<Self> {
        let (messages, receiver) = sync_channel(MAX_LINES);
        let counter = lost.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            if let Err(error) = capabilities::keep_for_netlink() {
                tracing::error!("a thread has more rights than it needs: {error}");
            }
            write_lines(&receiver, output, &counter);
        })?;
        Ok(Self { messages, lost })
    }

    /// Writes a line, or counts it as lost.
    pub(super) fn line(&self, line: Vec<u8>) {
        if self.messages.try_send(Message::Line(line)).is_err() {
            self.lost.add(1);
        }
    }

    /// Waits, within a bound, until the lines so far are written.
    pub(super) fn flush(&self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let (done, written) = channel();
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(again)) = self.messages.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = again;
            thread::sleep(FLUSH_POLL);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let _too_slow = written.recv_timeout(left);
    }
}

/// Takes one line; the subscriber writes each as a whole.
impl io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Writes until nobody can send any more.
fn write_lines(messages: &Receiver<Message>, mut output: impl io::Write, lost: &LostLines) {
    let mut reported = 0;
    for message in messages {
        match message {
            Message::Line(line) => {
                if output.write_all(&line).and_then(|()| output.flush()).is_err() {
                    lost.add(1);
                }
            }
            Message::Flush(done) => {
                let _gave_up = done.send(());
            }
        }
        let now = lost.get();
        if now != reported {
            let lines = now - reported;
            let text = format!("{lines} lines of the log were lost: nobody took them in time\n");
            if output.write_all(text.as_bytes()).is_ok() {
                reported = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Writes nothing until it may.
    struct Gate {
        open: Receiver<()>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl io::Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Open for good once the other end is gone.
            let _ = self.open.recv();
            self.text.lock().expect("whole").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_takes_are_counted_and_named_later() {
        let (open, gate) = channel::<()>();
        let text = Arc::new(Mutex::new(Vec::new()));
        let lost = LostLines::default();
        let output = Gate { open: gate, text: Arc::clone(&text) };
        let writer = LogWriter::start(output, lost.clone()).expect("a thread");
        let lines = 2 * MAX_LINES as u64;
        for line in 0..lines {
            writer.line(format!("{line}\n").into_bytes());
        }
        // One line may be in the hands of the thread.
        let dropped = lost.get();
        assert!((lines - MAX_LINES as u64 - 1..=lines - MAX_LINES as u64).contains(&dropped));
        let begun = Instant::now();
        writer.flush();
        assert!(begun.elapsed() < 2 * FLUSH_TIMEOUT, "it does not wait for ever");
        drop(open);
        writer.flush();
        let text = String::from_utf8(text.lock().expect("whole").clone()).expect("text");
        assert!(text.starts_with("0\n"), "{text}");
        assert!(text.contains(&format!("{dropped} lines of the log were lost")), "{text}");
        assert_eq!(text.lines().count() as u64, lines - dropped + 1);
    }

    /// A full disk.
    struct Full;

    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let lost = LostLines::default();
        let writer = LogWriter::start(Full, lost.clone()).expect("a thread");
        for _ in 0..7 {
            writer.line(b"a line\n".to_vec());
        }
        writer.flush();
        assert_eq!(lost.get(), 7);
    }
}
