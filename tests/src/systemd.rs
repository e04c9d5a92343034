//! A systemd of its own for a host of the tests: process 1 of its own process, mount, control
//! group, IPC and UTS namespaces, in the host's network namespace, on a copy-on-write view of this
//! machine's files. What a unit allows, systemd and the kernel decide there, as on a real host.
//!
//! Owns the machine and the way into it, not what runs there.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{cmd, netns::Ns, run::Run};

const BOOTED_WITHIN: Duration = Duration::from_secs(60);

/// Of the machine: nothing but what any unit needs.
const TARGET: &str = "vxlan-tests.target";

/// Outside: a control group for the machine, which goes with it. `$1` is the machine's directory,
/// `$2` its name. The shell stays, as only it can remove the group.
const OUTSIDE: &str = r#"
set -eu
mount --make-rprivate /
mkdir -p "$1/cgroup" "$1/box"
mount -t cgroup2 cgroup2 "$1/cgroup"
parent="$1/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)"
group="$parent/$2"
mkdir "$group"
echo $$ > "$group/cgroup.procs"
unshare --mount --pid --fork --kill-child --ipc --uts --cgroup sh -c "$3" inside "$1" &
echo $$ > "$parent/cgroup.procs"
trap 'kill -9 $! 2>/dev/null || :' TERM
wait || :
wait || :
find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || :
"#;

/// Inside, until systemd takes over as process 1.
const INSIDE: &str = r#"
set -eu
box="$1/box"
mount -t tmpfs tmpfs "$box"
mkdir "$box/up" "$box/work" "$box/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$box/up,workdir=$box/work" "$box/root"
root="$box/root"
mount -t proc proc "$root/proc"
# Read-only: so systemd knows that there is no hardware to manage.
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t bpf -o mode=700 bpf "$root/sys/fs/bpf"
mount --rbind /dev "$root/dev"
# The kernel's log is this machine's, and not to be read into the journal there.
mount --bind /dev/null "$root/dev/kmsg"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
cp -r "$1/files/." "$root/"
mkdir -p "$root/old"
cd "$root"
pivot_root . old
umount -l /old
exec env -i container=vxlan-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=vxlan-tests.target --log-target=console --log-level=warning
"#;

/// A running machine. Dropping it ends it with all that runs there.
#[derive(Debug)]
pub struct Systemd {
    outside: Child,
    /// Process 1 of the machine, as it is called out here.
    pid: u32,
}

impl Systemd {
    /// Starts one in this namespace, with these files besides this machine's own: where they shall
    /// be there, and where they are.
    pub fn boot(ns: &Ns, run: &Run, files: &[(&str, &Path)]) -> Result<Self> {
        let dir = run.dir().join("systemd");
        let put = |to: &str| -> Result<PathBuf> {
            let path = dir.join("files").join(to.trim_start_matches('/'));
            fs::create_dir_all(path.parent().context("a directory")?)?;
            Ok(path)
        };
        for (to, from) in files {
            let place = put(to)?;
            fs::copy(from, &place).with_context(|| format!("copying {}", from.display()))?;
        }
        let target = put(&format!("/etc/systemd/system/{TARGET}"))?;
        fs::write(target, "[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\n")?;
        let mut command = ns.command("unshare");
        command.args(["--mount", "sh", "-c", OUTSIDE, "outside"]).arg(&dir);
        command.arg(format!("{}-systemd", run.prefix())).arg(INSIDE);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut outside = command.spawn().context("starting `unshare`")?;
        let stderr = outside.stderr.take().context("stderr")?;
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("systemd: {line}");
            }
        });
        let mut machine = Self { outside, pid: 0 };
        machine.wait_until_booted()?;
        Ok(machine)
    }

    fn wait_until_booted(&mut self) -> Result<()> {
        let deadline = Instant::now() + BOOTED_WITHIN;
        loop {
            if let Some(status) = self.outside.try_wait()? {
                bail!("the machine ended with {status}; is systemd installed?");
            }
            if self.pid == 0 {
                self.pid = process_one(self.outside.id()).unwrap_or(0);
            }
            if self.pid != 0 {
                let state = self.systemctl(&["is-active", TARGET])?;
                if state.stdout.trim() == "active" {
                    return Ok(());
                }
            }
            ensure!(Instant::now() < deadline, "no systemd after {BOOTED_WITHIN:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A program that will run in the machine, outside of every unit.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--all", "--wd=/", program]);
        command.args(arguments);
        command
    }

    /// `systemctl`; any exit code is an answer.
    pub fn systemctl(&self, arguments: &[&str]) -> Result<cmd::Output> {
        cmd::output(&mut self.command("systemctl", arguments))
    }

    /// The value of a property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> Result<String> {
        let out = self.systemctl(&["show", "--value", "--property", name, unit])?;
        ensure!(out.success(), "systemctl show {unit}: {}", out.stderr);
        Ok(out.stdout.trim().to_owned())
    }

    /// What a unit has logged.
    pub fn journal(&self, unit: &str) -> Result<String> {
        let arguments = ["--no-pager", "--output=cat", "--unit", unit];
        Ok(cmd::output(&mut self.command("journalctl", &arguments))?.stdout)
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // The shell outside ends when process 1 has, and with it everything in the machine.
        let killed = Command::new("kill").args(["-9", &self.pid.to_string()]).status();
        if self.pid == 0 || !killed.is_ok_and(|status| status.success()) {
            let _ = self.outside.kill();
        }
        let _ = self.outside.wait();
    }
}

/// The grandchild of the shell outside: its child is `unshare`, whose child is process 1.
fn process_one(shell: u32) -> Option<u32> {
    let child = |of: u32| -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    let found = child(child(shell)?)?;
    // Until it has taken over, it is a shell.
    let name = fs::read_to_string(format!("/proc/{found}/comm")).ok()?;
    (name.trim() == "systemd").then_some(found)
}
