//! Runs external programs and turns a failure into an error that shows the command and all it said.
//! Which network namespace a command runs in is decided by `netns`.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The programs the harness needs, and the Debian package each comes from.
pub const TOOLS: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ethtool", "ethtool"),
    ("ping", "iputils-ping"),
    ("conntrack", "conntrack"),
];

/// What a program did, whether it succeeded or not.
#[derive(Debug, Clone)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

/// Runs to the end and hands back everything, also for an exit code other than 0.
pub fn output(command: &mut Command) -> Result<Output> {
    run_with(command, None)
}

/// Runs to the end and returns stdout; an exit code other than 0 is an error.
pub fn run(command: &mut Command) -> Result<String> {
    succeed(command, None)
}

/// Like [`run`], with `input` on stdin.
pub fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    succeed(command, Some(input))
}

fn succeed(command: &mut Command, input: Option<&str>) -> Result<String> {
    let out = run_with(command, input)?;
    if !out.success() {
        bail!(
            "`{}` failed with {}\n{}{}{}",
            line(command),
            out.status,
            out.stdout,
            out.stderr,
            input.map(|text| format!("its input was:\n{text}")).unwrap_or_default(),
        );
    }
    Ok(out.stdout)
}

fn run_with(command: &mut Command, input: Option<&str>) -> Result<Output> {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // Its own process group: Ctrl-C at the terminal is for us, and must not cut a clean-up short.
    command.process_group(0);
    let mut child = command.spawn().with_context(|| explain(command))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(text.as_bytes()).with_context(|| format!("writing to {command:?}"))?;
    }
    let out = child.wait_with_output().with_context(|| format!("waiting for {command:?}"))?;
    Ok(Output {
        status: out.status,
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    })
}

fn explain(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    match TOOLS.iter().find(|(tool, _)| *tool == program) {
        Some((_, package)) => {
            format!("cannot start `{program}`; if it is missing: apt-get install {package}")
        }
        None => format!("cannot start `{program}`"),
    }
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy()));
    words.join(" ")
}
