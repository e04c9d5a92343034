//! The locks of the run directory and of the pins: root's alone, and held by whom the message says.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Stdio, id},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use vxlan_tests::cmd;

use crate::host::{CONFIG, Host, wait_until};

fn mode(path: &Path) -> Result<u32> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    Ok(metadata.permissions().mode() & 0o777)
}

/// Tries as a user without rights to take a lock by flock(2), which needs no right to write.
fn can_be_held_by_others(path: &Path) -> Result<bool> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "flock", "--nonblock"]);
    Ok(cmd::output(command.arg(path).arg("true"))?.success())
}

/// What a daemon makes for itself, started by hand with the umask of whoever starts it.
#[test]
fn nobody_else_can_hold_a_lock() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let (run_dir, pin_dir) = (host.daemon.run_dir(), host.daemon.pin_dir());
    for umask in ["0", "777"] {
        fs::remove_dir_all(run_dir)?;
        let command = host.daemon.command(&["run"]);
        let mut shell = host.ns().command("sh");
        shell.arg("-c").arg(format!("umask {umask}; exec \"$@\"")).arg("sh");
        shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        let mut daemon = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        wait_until("page and socket are there", || {
            ensure!(daemon.try_wait()?.is_none(), "the daemon has ended");
            Ok(host.daemon.metrics().is_ok() && run_dir.join("api.sock").exists())
        })?;
        for (path, expected) in [
            (run_dir.to_owned(), 0o700),
            (run_dir.join("lock"), 0o600),
            (run_dir.join("state.json"), 0o600),
            (run_dir.join("api.sock"), 0o600),
            (pin_dir.to_owned(), 0o700),
        ] {
            ensure!(mode(&path)? & !expected == 0, "umask {umask}: {}", path.display());
        }
        kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM)?;
        ensure!(daemon.wait()?.success());
        for path in [run_dir.join("lock"), pin_dir.to_owned()] {
            ensure!(!can_be_held_by_others(&path)?, "umask {umask}: {}", path.display());
        }
        ensure!(host.daemon.down()?.success());
        fs::create_dir_all(run_dir)?;
    }
    Ok(())
}

/// A program of root's that is no daemon, and has locked the file: it is named, by whatever the
/// file says.
#[test]
fn whoever_holds_the_lock_is_named() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let path = host.daemon.run_dir().join("lock");
    fs::write(&path, "1")?;
    let file = File::options().read(true).write(true).open(&path)?;
    let whole = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_SETLK(&whole))?;
    for verb in ["run", "down"] {
        let out = host.daemon.vxlan(&[verb])?;
        assert_eq!(out.status.code(), Some(2), "{verb}: {}", out.stderr);
        let holder = format!("/lock is locked by process {} (", id());
        ensure!(out.stderr.contains(&holder), "{verb}: {}", out.stderr);
        ensure!(out.stderr.contains("which is no daemon of ours"), "{verb}: {}", out.stderr);
    }
    drop(file);
    let out = host.daemon.vxlan(&["down"])?;
    ensure!(out.success(), "{}", out.stderr);
    Ok(())
}

/// A lock file of somebody else's would be held by somebody else.
#[test]
fn a_lock_file_of_another_user_is_refused() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let path = host.daemon.run_dir().join("lock");
    fs::write(&path, "")?;
    std::os::unix::fs::chown(&path, Some(65534), Some(65534))?;
    let out = host.daemon.vxlan(&["run"])?;
    assert_eq!(out.status.code(), Some(2), "{}", out.stderr);
    ensure!(out.stderr.contains("/lock"), "{}", out.stderr);
    fs::remove_file(&path)?;
    std::os::unix::fs::symlink("/dev/null", &path)?;
    let out = host.daemon.vxlan(&["run"])?;
    assert_eq!(out.status.code(), Some(2), "{}", out.stderr);
    Ok(())
}

/// Looking whether a daemon runs takes no lock that a start could fail at.
#[test]
fn a_look_does_not_disturb_a_start() -> Result<()> {
    let mut host = Host::launched(&CONFIG)?;
    host.daemon.terminate()?;
    let lock = fs::metadata(host.daemon.run_dir().join("lock"))?.ino();
    // Held up behind whatever call it makes for the lock.
    let show = host.daemon.command(&["show", "nat"]);
    let mut slow = host.ns().command("strace");
    slow.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock,fcntl"]);
    slow.args(["-e", "inject=flock,fcntl:delay_exit=300000"]);
    slow.arg(show.get_program()).args(show.get_args());
    let mut slow = slow.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    while slow.try_wait()?.is_none() {
        let locks = fs::read_to_string("/proc/locks")?;
        let of_it = locks.lines().find(|line| line.contains(&format!(":{lock} ")));
        ensure!(of_it.is_none(), "{of_it:?}");
    }
    ensure!(slow.wait()?.success());
    host.daemon.launch()?;
    host.daemon.stop()
}
