//! What the user sees while a slow step runs. Owns the display only; callers own the commands.
//!
//! On a terminal one line ticks with the seconds and the command's latest output. Elsewhere (CI)
//! a line comes at the start, now and then, and at the end. Output is kept and shown on failure.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _, stderr},
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Lines of output that are shown when a step fails.
const TAIL: usize = 40;
const TICK: Duration = Duration::from_millis(250);
/// Between two signs of life where no terminal is.
const QUIET: Duration = Duration::from_secs(10);

/// A line about something that takes no time.
pub(crate) fn note(text: &str) {
    eprintln!("xtask: {text}");
}

/// A heading above a command that prints for itself.
pub(crate) fn heading(text: &str) {
    eprintln!("\n==> {text}");
}

/// Runs `cmd` to its end under the name `what`; a failure carries the tail of its output.
pub(crate) fn step(what: &str, cmd: &mut Command) -> Result<()> {
    let start = Instant::now();
    let mut display = Display::new(what, start);

    let mut child = cmd
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{what}: cannot start {}", show(cmd)))?;

    let (sender, lines) = channel();
    let readers: Vec<_> = [
        child.stdout.take().map(|pipe| forward(pipe, sender.clone())),
        child.stderr.take().map(|pipe| forward(pipe, sender.clone())),
    ]
    .into_iter()
    .flatten()
    .collect();
    // The channel closes when both readers are through.
    drop(sender);

    let mut tail = VecDeque::with_capacity(TAIL);
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        display.tick(tail.back().map_or("", String::as_str));
    }
    for reader in readers {
        // A reader only forwards lines; if it panicked its output is lost, the step is not.
        let _ = reader.join();
    }
    let status = child.wait().with_context(|| format!("{what}: lost the child process"))?;

    if status.success() {
        display.end(&format!("done in {:.0?}", start.elapsed()));
        return Ok(());
    }
    display.end("failed");
    let tail: Vec<_> = tail.iter().map(|line| format!("    {line}")).collect();
    bail!("{what}: {} ended with {status}\n{}", show(cmd), tail.join("\n"))
}

/// The command as a person would type it, near enough to copy.
pub(crate) fn show(cmd: &Command) -> String {
    let vars = cmd.get_envs().filter_map(|(key, value)| {
        Some(format!("{}={}", key.to_string_lossy(), value?.to_string_lossy()))
    });
    let words = [cmd.get_program()].into_iter().chain(cmd.get_args());
    vars.chain(words.map(|word| word.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}

fn forward(pipe: impl Read + Send + 'static, to: Sender<String>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        // apt redraws a line with carriage returns: what stands after the last one is the news.
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end().rsplit('\r').next().unwrap_or_default();
            if !line.is_empty() && to.send(line.to_owned()).is_err() {
                return;
            }
        }
    })
}

struct Display<'a> {
    what: &'a str,
    start: Instant,
    terminal: bool,
    last: Instant,
}

impl<'a> Display<'a> {
    fn new(what: &'a str, start: Instant) -> Self {
        let display = Self { what, start, terminal: stderr().is_terminal(), last: start };
        if !display.terminal {
            note(&format!("{what} ..."));
        }
        display
    }

    fn tick(&mut self, line: &str) {
        let every = if self.terminal { TICK } else { QUIET };
        if self.last.elapsed() < every {
            return;
        }
        self.last = Instant::now();
        let text =
            format!("{} ... {} s  {}", self.what, self.start.elapsed().as_secs(), line.trim());
        if self.terminal {
            // Cut to a width every terminal has: a wrapped line could not be drawn over.
            let text: String = text.chars().filter(|c| !c.is_control()).take(72).collect();
            eprint!("\r\x1b[2Kxtask: {text}");
            let _ = stderr().flush();
        } else {
            note(&text);
        }
    }

    fn end(&self, how: &str) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
        note(&format!("{}: {how}", self.what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut cmd = Command::new("sh");
        cmd.args(["-c", script]);
        cmd
    }

    #[test]
    fn a_failing_step_carries_both_streams() {
        let err = step("try", &mut sh("echo to-stdout; echo to-stderr >&2; exit 3"))
            .expect_err("exit code 3")
            .to_string();
        assert!(err.contains("to-stdout") && err.contains("to-stderr"), "{err}");
        assert!(err.contains("exit status: 3"), "{err}");
    }

    #[test]
    fn the_tail_is_bounded_and_keeps_the_end() {
        let err = step("try", &mut sh("seq 1 1000; exit 1")).expect_err("exit code 1").to_string();
        assert!(err.ends_with("    1000"), "{err}");
        assert!(!err.contains("\n    960\n") && err.contains("\n    961\n"), "{err}");
    }

    #[test]
    fn a_good_step_is_ok() {
        assert!(step("try", &mut sh("true")).is_ok());
        assert!(step("try", &mut Command::new("/no/such/program")).is_err());
    }
}
