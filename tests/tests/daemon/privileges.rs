//! What the daemon may do once it runs: four capabilities in the thread that needs them, one in the
//! others, none that it could get back; and nothing that depends on memory it may lock.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::daemon::{self, Daemon};

use crate::host::{CONFIG, Host, wait_until};

// Numbers of include/uapi/linux/capability.h.
const NET_ADMIN: u64 = 1 << 12;
const FOUR: u64 = NET_ADMIN | 1 << 13 | 1 << 38 | 1 << 39;

/// What `/proc/PID/task/TID/status` says of one thread.
#[derive(Debug, PartialEq, Eq)]
struct Rights {
    inheritable: u64,
    permitted: u64,
    effective: u64,
    bounding: u64,
    ambient: u64,
    no_new_privileges: bool,
}

impl Rights {
    fn from_bits(capabilities: u64) -> Self {
        Self {
            inheritable: 0,
            permitted: capabilities,
            effective: capabilities,
            bounding: FOUR,
            ambient: 0,
            no_new_privileges: true,
        }
    }

    fn read(status: &str) -> Result<Self> {
        let line = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.map(str::trim).with_context(|| format!("no {key} in:\n{status}"))
        };
        let mask = |key| -> Result<u64> { Ok(u64::from_str_radix(line(key)?, 16)?) };
        Ok(Self {
            inheritable: mask("CapInh")?,
            permitted: mask("CapPrm")?,
            effective: mask("CapEff")?,
            bounding: mask("CapBnd")?,
            ambient: mask("CapAmb")?,
            no_new_privileges: line("NoNewPrivs")? == "1",
        })
    }
}

/// Of the main thread, and of all others.
fn rights(pid: u32) -> Result<(Rights, Vec<Rights>)> {
    let status = |tid: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/status"));
    let main = Rights::read(&status(&pid.to_string())?)?;
    let mut others = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = entry?.file_name();
        let tid = name.to_str().context("a thread's number")?;
        if tid != pid.to_string() {
            others.push(Rights::read(&status(tid)?)?);
        }
    }
    Ok((main, others))
}

#[test]
fn every_thread_has_what_it_needs_and_no_more() -> Result<()> {
    let (host, other) = Host::up(&CONFIG)?;
    host.assert_ping("with few capabilities")?;
    let pid = host.daemon.pid().context("no daemon")?;
    // A thread that starts at this moment still has those of the one that started it.
    wait_until("all threads have given up what they do not need", || {
        let (main, others) = rights(pid)?;
        assert_eq!(main, Rights::from_bits(FOUR), "the event loop's thread");
        ensure!(!others.is_empty(), "no other thread");
        Ok(others.iter().all(|rights| *rights == Rights::from_bits(NET_ADMIN)))
    })?;
    host.daemon.metrics()?;
    host.daemon.stop()?;
    other.stop()
}

/// Kernels since 5.11 put maps on the account of the control group, so nothing has to be raised.
#[test]
fn no_memory_that_may_be_locked() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let other = host.start_peer()?;
    let wrapper = host.pair.run.write(
        "limited",
        &format!("#!/bin/sh\nexec prlimit --memlock=0:0 {} \"$@\"\n", daemon::binary()?.display()),
    )?;
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut limited =
        Daemon::prepare_with(wrapper, &host.pair.b, &host.pair.run, "limited", &CONFIG)?;
    limited.launch()?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", limited.pid().context("pid")?))?;
    let locked = limits.lines().find(|line| line.starts_with("Max locked memory"));
    let words: Vec<&str> = locked.context("no such limit")?.split_whitespace().collect();
    assert_eq!(words, ["Max", "locked", "memory", "0", "0", "bytes"]);
    host.assert_ping("without memory that may be locked")?;
    limited.stop()?;
    other.stop()
}
