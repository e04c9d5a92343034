//! What runs in a guest: the script that the kernel starts, and the lines by which it reports on
//! the console how each job went. Starting guests belongs to `qemu`.

use std::time::Duration;

use super::job::{Job, quoted};
use crate::paths;

/// What a line of the console reports on the progress of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark<'l> {
    Begin(&'l str),
    /// The job of that name has ended with that exit code.
    End(&'l str, i32),
    /// Something the job should have removed.
    Left(&'l str),
    /// What the kernel complained of since the job began.
    Kernel(&'l str),
    /// What else the kernel logged that a reader of the outcome should know.
    Note(&'l str),
    /// All jobs are through.
    Done,
}

impl<'l> Mark<'l> {
    pub(crate) fn parse(line: &'l str) -> Option<Self> {
        let rest = line.strip_prefix("vm: ")?;
        let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "begin" => Some(Self::Begin(text)),
            "end" => {
                let (name, code) = text.rsplit_once(' ')?;
                Some(Self::End(name, code.parse().ok()?))
            }
            "left" => Some(Self::Left(text)),
            "kernel" => Some(Self::Kernel(text)),
            "note" => Some(Self::Note(text)),
            "done" => Some(Self::Done),
            _ => None,
        }
    }
}

/// What the kernel logs when something is wrong with it, as an extended regular expression.
const COMPLAINTS: &str = "WARNING: |BUG: |Oops|Call Trace|refcount_t|unregister_netdevice: waiting\
                          |hung_task|soft lockup|general protection|KASAN";

/// What a driver logs about queues and offloads when XDP does not get all it requests.
const NOTES: &str = "XDP request|Too few free|not.* support.*XDP";

/// The script that the guest's kernel starts. `environment` holds for every job.
pub(crate) fn init(jobs: &[Job], environment: &[(String, String)]) -> String {
    let mut script = format!(
        r#"#!/bin/bash
export PATH=/usr/sbin:/usr/bin HOME=/root TERM=dumb NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
ln -s /proc/self/fd /dev/fd
mkdir -p /dev/pts /dev/shm /dev/net
# Its module is loaded when it is opened; where there is udev, that makes it.
mknod /dev/net/tun c 10 200
mount -t devpts pts /dev/pts
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
ip link set lo up
# What there is of hardware, and then behind its buses; udev does this elsewhere.
for _ in bus card; do
    sort -u /sys/bus/*/devices/*/modalias | xargs modprobe -qab
done
mkdir -p {tree}
exec 2>&1
job() {{
    echo; echo "vm: begin $1"
    dmesg -c >/dev/null
    timeout -k 5 "$2" bash -c "$3" </dev/null
    local code=$?
    # What a test has printed last may lack the end of its line.
    echo
    for left in /run/netns/* /run/vxlan/* /run/vxlan-tests/vx* /sys/fs/bpf/*; do
        [ -e "$left" ] && echo "vm: left $left"
    done
    dmesg | grep -E '{COMPLAINTS}' | head -20 | sed 's/^/vm: kernel /'
    dmesg | grep -E '{NOTES}' | sed 's/^\[[^]]*\] *//' | sort -u | head | sed 's/^/vm: note /'
    echo "vm: end $1 $code"
}}
"#,
        tree = quoted(&paths::workspace().join("tests").to_string_lossy()),
    );
    for (key, value) in environment {
        script.push_str(&format!("export {key}={}\n", quoted(value)));
    }
    // Where cargo starts a test binary.
    script
        .push_str(&format!("cd {}\n", quoted(&paths::workspace().join("tests").to_string_lossy())));
    for Job { name, command, limit, .. } in jobs {
        let limit = limit.unwrap_or(Duration::from_secs(86_400)).as_secs();
        script.push_str(&format!("job {} {limit} {}\n", quoted(name), quoted(command)));
    }
    script.push_str("echo; echo 'vm: done'\npoweroff -f\n");
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_distinguished_from_what_tests_print() {
        assert_eq!(Mark::parse("vm: begin daemon"), Some(Mark::Begin("daemon")));
        assert_eq!(Mark::parse("vm: end daemon 101"), Some(Mark::End("daemon", 101)));
        assert_eq!(Mark::parse("vm: left /run/netns/x"), Some(Mark::Left("/run/netns/x")));
        assert_eq!(Mark::parse("vm: kernel [1.0] BUG: x y"), Some(Mark::Kernel("[1.0] BUG: x y")));
        assert_eq!(Mark::parse("vm: note eth0: XDP"), Some(Mark::Note("eth0: XDP")));
        assert_eq!(Mark::parse("vm: done"), Some(Mark::Done));
        for other in ["", "test a ... ok", "vm: end daemon", "vm: end x y", "vm: unknown"] {
            assert_eq!(Mark::parse(other), None, "{other}");
        }
    }
}
