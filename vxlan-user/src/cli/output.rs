//! What a command prints. Nothing here panics: whoever reads may have gone, and a disk may be full.

use std::io::{self, Write as _};

/// Prints the outcome of a command that has nothing else to do. A reader that has seen enough
/// (`| head`) is no error.
///
/// # Errors
/// The text could not be written.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match write_to_stdout(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("cannot write to stdout: {error}"))
        }
        _ => Ok(()),
    }
}

/// Prints what a command has done or found. Its exit code tells that too, so that it does not
/// depend on whether the text could be written.
pub(super) fn report(text: &str) {
    if let Err(error) = print(text) {
        complain(&format!("vxlan: {error}"));
    }
}

/// Prints a line to stderr. When that fails there is nobody left to tell.
pub(super) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn write_to_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
