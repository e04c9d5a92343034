//! Network namespaces: making, entering and deleting them, and running programs and closures
//! inside. Only the network namespace is entered: `ip netns exec` would also remount /sys and with
//! it hide a bpffs.

use std::{
    fs::{self, File},
    ops::Deref,
    os::{
        fd::AsFd as _,
        unix::{fs::MetadataExt as _, process::CommandExt as _},
    },
    path::Path,
    process::Command,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cmd,
    kernel::{self, Feature},
};

/// Where `ip netns` keeps its names.
pub(crate) const DIR: &str = "/run/netns";

/// A handle on a namespace; clones are cheap and own nothing.
#[derive(Debug, Clone)]
pub struct Ns {
    name: String,
    file: Arc<File>,
}

/// A namespace that is deleted, with every process in it, on drop.
#[derive(Debug)]
pub struct Netns(Ns);

impl Netns {
    /// Makes a namespace of exactly this name, with `lo` up. Prefer [`crate::Run::netns`], whose
    /// names can be swept.
    pub fn create(name: &str) -> Result<Self> {
        cmd::run(Command::new("ip").args(["netns", "add", name]))?;
        let file = match File::open(Path::new(DIR).join(name)) {
            Ok(file) => file,
            Err(error) => {
                delete(name)?;
                return Err(error).with_context(|| format!("opening the namespace {name}"));
            }
        };
        let netns = Self(Ns { name: name.to_owned(), file: Arc::new(file) });
        netns.run("ip link set lo up")?;
        // Addresses are usable at once, and no router can add any.
        for scope in ["all", "default"] {
            for key in ["accept_dad", "accept_ra"] {
                netns.sysctl(&format!("net.ipv6.conf.{scope}.{key}"), "0")?;
            }
            netns.sysctl(&format!("net.ipv4.conf.{scope}.accept_redirects"), "0")?;
            netns.sysctl(&format!("net.ipv4.conf.{scope}.send_redirects"), "0")?;
            netns.sysctl(&format!("net.ipv4.conf.{scope}.rp_filter"), "0")?;
        }
        // A ring of a veth pair has 256 places, and drops what does not fit if its sender does not
        // wait: so what is on its way must be less.
        if !kernel::has(Feature::VethBackpressure)? {
            netns.sysctl("net.ipv4.tcp_rmem", "4096 65536 131072")?;
        }
        Ok(netns)
    }
}

impl Deref for Netns {
    type Target = Ns;

    fn deref(&self) -> &Ns {
        &self.0
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = delete(&self.name) {
            eprintln!("harness: cannot delete the namespace {}: {error:#}", self.name);
        }
    }
}

impl Ns {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A program that will run in this namespace, and otherwise in the caller's world.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let file = Arc::clone(&self.file);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; the closure makes
        // one system call on a descriptor it owns, and allocates nothing.
        unsafe { command.pre_exec(move || Ok(setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?)) };
        command
    }

    /// Runs a command line (words split at white space) and returns its stdout; fails unless the
    /// program exits with 0.
    pub fn run(&self, line: &str) -> Result<String> {
        cmd::run(&mut self.line(line)?).with_context(|| format!("in namespace {}", self.name))
    }

    /// Like [`Ns::run`], with `input` on stdin.
    pub fn run_with_input(&self, line: &str, input: &str) -> Result<String> {
        cmd::run_with_input(&mut self.line(line)?, input)
            .with_context(|| format!("in namespace {}", self.name))
    }

    /// Like [`Ns::run`], but any exit code is an answer.
    pub fn output(&self, line: &str) -> Result<cmd::Output> {
        cmd::output(&mut self.line(line)?).with_context(|| format!("in namespace {}", self.name))
    }

    fn line(&self, line: &str) -> Result<Command> {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().context("an empty command line")?);
        command.args(words);
        Ok(command)
    }

    /// Runs a closure on a new thread inside the namespace and waits for it. Sockets it makes
    /// belong to the namespace for ever, whichever thread uses them.
    pub fn exec<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| self.enter().map(|()| work()));
            crate::wait::joined(thread.join())
        })
    }

    /// Like [`Ns::exec`], without waiting.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let ns = self.clone();
        thread::spawn(move || ns.enter().map(|()| work()))
    }

    /// Moves the calling thread into the namespace, for good.
    fn enter(&self) -> Result<()> {
        setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("entering the namespace {}", self.name))
    }

    /// Sets a sysctl of the namespace, named with dots. Not for names with dots inside a word.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        self.exec(|| fs::write(&path, value))?
            .with_context(|| format!("setting {key} to {value} in {}", self.name))
    }

    /// What `ip -j link show` says of an interface.
    fn link(&self, interface: &str) -> Result<serde_json::Value> {
        let text = self.run(&format!("ip -s -j link show dev {interface}"))?;
        let mut links: Vec<serde_json::Value> = serde_json::from_str(&text)?;
        links.pop().with_context(|| format!("no interface {interface} in {}", self.name))
    }

    /// The MAC address of an interface.
    pub fn mac(&self, interface: &str) -> Result<[u8; 6]> {
        let link = self.link(interface)?;
        let text = link["address"].as_str().context("an interface without an address")?;
        let mut mac = [0; 6];
        for (byte, word) in mac.iter_mut().zip(text.split(':')) {
            *byte = u8::from_str_radix(word, 16).with_context(|| format!("MAC address {text}"))?;
        }
        Ok(mac)
    }

    pub fn ifindex(&self, interface: &str) -> Result<u32> {
        let index = self.link(interface)?["ifindex"].as_u64();
        Ok(u32::try_from(index.context("an interface without an index")?)?)
    }

    pub fn has_interface(&self, interface: &str) -> Result<bool> {
        Ok(self.output(&format!("ip link show dev {interface}"))?.success())
    }

    /// Counters of an interface, as JSON, for `conserve`.
    pub(crate) fn link_json(&self, interface: &str) -> Result<serde_json::Value> {
        self.link(interface)
    }

    /// Processes in the namespace.
    pub fn pids(&self) -> Result<Vec<i32>> {
        pids(&self.name)
    }
}

/// Kills every process in the namespace, waits until they are gone, deletes it.
pub(crate) fn delete(name: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let pids = pids(name)?;
        if pids.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            bail!("processes {pids:?} in {name} do not die");
        }
        for pid in pids {
            // It may have died in the meantime, which is what we want.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        // A death of somebody else's child cannot be waited for.
        thread::sleep(Duration::from_millis(2));
    }
    cmd::run(Command::new("ip").args(["netns", "del", name])).map(drop)
}

/// Processes whose network namespace is the one called `name`, without this one.
fn pids(name: &str) -> Result<Vec<i32>> {
    let path = Path::new(DIR).join(name);
    let wanted = fs::metadata(&path).with_context(|| format!("namespace {name}"))?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // Gone, a zombie, or a kernel thread: none of them is in the way.
        let Ok(theirs) = fs::metadata(entry.path().join("ns/net")) else { continue };
        let same = theirs.dev() == wanted.dev() && theirs.ino() == wanted.ino();
        if same && pid != std::process::id().cast_signed() {
            found.push(pid);
        }
    }
    Ok(found)
}
