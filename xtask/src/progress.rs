//! What the user sees while a slow step runs. Owns the display and the log file; callers own the
//! commands.
//!
//! On a terminal a spinner stands beside the command's latest output. Elsewhere (CI) a step is one
//! line, with a sign of life each minute. All output goes to the log file, and the end of it into
//! the error when the step fails.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _, stderr},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// Lines of output that are shown when a step fails.
const TAIL: usize = 40;
const TICK: Duration = Duration::from_millis(250);
/// Between two signs of life where no terminal is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// The log file of this run of xtask; none in unit tests, and none where the file cannot be made.
static LOG: OnceLock<(PathBuf, File)> = OnceLock::new();

/// Makes `path` the log file of all steps from here on, and empties it.
pub(crate) fn log_to(path: PathBuf) {
    // Where there is no target directory (in a guest), nothing is built, and nothing is to be
    // logged.
    let made = path.parent().is_some_and(|dir| fs::create_dir_all(dir).is_ok());
    if let (true, Ok(file)) = (made, File::create(&path)) {
        LOG.get_or_init(|| (path, file));
    }
}

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
    let mut step = Step::start(what, cmd);
    let mut child = step.spawn(cmd)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let output = Mutex::new(&mut step);
    thread::scope(|scope| {
        scope.spawn(|| forward(out, &output));
        forward(err, &output);
    });
    step.end(child.wait(), cmd)
}

/// As [`step`]. What the command writes to stdout is for a program: it is returned, not displayed.
pub(crate) fn step_with_stdout(what: &str, cmd: &mut Command) -> Result<Vec<u8>> {
    let mut step = Step::start(what, cmd);
    let mut child = step.spawn(cmd)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut stdout = Vec::new();
    let read = thread::scope(|scope| {
        let reader = scope.spawn(|| out.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut stdout)));
        forward(err, &Mutex::new(&mut step));
        reader.join()
    });
    step.end(child.wait(), cmd)?;
    read.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        .with_context(|| format!("{what}: reading the output of {}", show(cmd)))?;
    Ok(stdout)
}

/// The command as a person would type it, near enough to copy.
pub(crate) fn show(cmd: &Command) -> String {
    let vars = cmd.get_envs().filter_map(|(key, value)| {
        Some(format!("{}={}", key.to_string_lossy(), value?.to_string_lossy()))
    });
    let words = [cmd.get_program()].into_iter().chain(cmd.get_args());
    vars.chain(words.map(|word| word.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}

/// One command at work.
struct Step<'a> {
    what: &'a str,
    start: Instant,
    tail: VecDeque<String>,
    /// On a terminal.
    bar: Option<ProgressBar>,
    /// Elsewhere: when something was printed last, and whether that line has not ended yet.
    printed: Instant,
    line_is_open: bool,
}

impl<'a> Step<'a> {
    fn start(what: &'a str, cmd: &Command) -> Self {
        write_log(&format!("==> {what}: {}", show(cmd)));
        let start = Instant::now();
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_prefix(what.to_owned());
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix} ({elapsed}) {wide_msg:.dim}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        if bar.is_none() {
            eprint!("xtask: {what} ...");
        }
        let line_is_open = bar.is_none();
        Self { what, start, tail: VecDeque::new(), bar, printed: start, line_is_open }
    }

    fn spawn(&mut self, cmd: &mut Command) -> Result<std::process::Child> {
        cmd.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        cmd.spawn().with_context(|| {
            self.finish("failed");
            format!("{}: cannot start {}", self.what, show(cmd))
        })
    }

    fn line(&mut self, line: String) {
        write_log(&line);
        if let Some(bar) = &self.bar {
            bar.set_message(line.clone());
        } else if self.printed.elapsed() >= SIGN_OF_LIFE {
            let end = if std::mem::take(&mut self.line_is_open) { "\n" } else { "" };
            eprintln!("{end}xtask: {:.0?}: {}", self.start.elapsed(), line.trim());
            self.printed = Instant::now();
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    fn end(
        mut self,
        status: std::io::Result<std::process::ExitStatus>,
        cmd: &Command,
    ) -> Result<()> {
        let what = self.what;
        let status = status.with_context(|| format!("{what}: lost the child process"))?;
        if status.success() {
            self.finish(&format!("done in {:.0?}", self.start.elapsed()));
            return Ok(());
        }
        self.finish("failed");
        let tail: Vec<_> = self.tail.iter().map(|line| format!("    {line}")).collect();
        let log = LOG.get().map_or_else(String::new, |(path, _)| {
            format!("; the whole output is in {}", path.display())
        });
        bail!("{what}: {} ended with {status}{log}\n{}", show(cmd), tail.join("\n"))
    }

    fn finish(&mut self, outcome: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if std::mem::take(&mut self.line_is_open) {
            eprintln!(" {outcome}");
        } else {
            eprintln!("xtask: {}: {outcome}", self.what);
        }
    }
}

/// Passes on every line of `pipe`.
fn forward(pipe: Option<impl Read>, step: &Mutex<&mut Step<'_>>) {
    let Some(pipe) = pipe else { return };
    // `\r` too: progress bars end their lines with it.
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        if !text.trim().is_empty() {
            step.lock().unwrap_or_else(PoisonError::into_inner).line(text.to_owned());
        }
    }
}

fn write_log(line: &str) {
    if let Some((_, mut file)) = LOG.get().map(|(path, file)| (path, file)) {
        // A full disk is no failure of the step.
        let _ = writeln!(file, "{line}");
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

    #[test]
    fn output_for_a_program_is_returned_whole_and_messages_are_not_in_it() {
        let out = step_with_stdout("try", &mut sh("seq 1 1000; echo message >&2")).expect("exit 0");
        let text = String::from_utf8(out).expect("digits");
        assert_eq!(text.lines().count(), 1000);
        let err = step_with_stdout("try", &mut sh("echo data; echo why >&2; exit 1"))
            .expect_err("exit code 1")
            .to_string();
        assert!(err.contains("    why") && !err.contains("    data"), "{err}");
    }
}
