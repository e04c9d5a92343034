//! Network namespaces that live as long as a thread, and the `ip` command inside them.

use std::{
    future::Future,
    net::IpAddr,
    panic,
    process::{Command, Output},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{Pid, gettid},
};
use serde_json::Value;

/// Long enough for a loaded machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in a fresh network namespace, which goes when its thread ends.
pub(crate) fn isolated<F, T>(test: F)
where
    F: FnOnce() -> T + Send + 'static,
    T: Future<Output = ()>,
{
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (run the tests as root)");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a tokio runtime");
        runtime.block_on(test());
    });
    if let Err(failure) = thread.join() {
        panic::resume_unwind(failure);
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A second namespace, for what must be on another host.
pub(crate) struct Elsewhere {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    /// What `ip link set DEV netns` takes.
    pub(crate) id: Pid,
}

impl Elsewhere {
    pub(crate) fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a second network namespace");
            ready.send(gettid()).expect("somebody waits for it");
            for job in queue {
                job();
            }
        });
        let id = is_ready.recv().expect("the second namespace came up");
        Self { jobs: Some(jobs), thread: Some(thread), id }
    }

    /// Runs `ip` there.
    pub(crate) fn ip(&self, arguments: &'static str) {
        self.run(move || ip(arguments));
    }

    /// Runs anything there, and waits for it.
    pub(crate) fn run(&self, work: impl FnOnce() + Send + 'static) {
        let (done, is_done) = mpsc::channel();
        let job = move || {
            work();
            done.send(()).expect("somebody waits for it");
        };
        self.jobs.as_ref().expect("open until dropped").send(Box::new(job)).expect("it listens");
        is_done.recv().expect("it succeeded in the second namespace");
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs `ip ARGUMENTS` in this thread's namespace.
pub(crate) fn ip(arguments: &str) {
    let output = try_ip(arguments);
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What `ip -j ARGUMENTS` says, as a list.
pub(crate) fn ip_json(arguments: &str) -> Vec<Value> {
    let output = try_ip(&format!("-j {arguments}"));
    assert!(
        output.status.success(),
        "ip -j {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let empty = output.stdout.iter().all(u8::is_ascii_whitespace);
    if empty { Vec::new() } else { serde_json::from_slice(&output.stdout).expect("JSON from ip") }
}

fn try_ip(arguments: &str) -> Output {
    Command::new("ip").args(arguments.split_whitespace()).output().expect("iproute2")
}

/// Waits for what the kernel does in its own time: carrier, link-local addresses, local routes.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        thread::yield_now();
    }
}

pub(crate) fn wait_until_running(name: &str) {
    eventually(name, || link(name)["operstate"] == "UP");
}

/// Whether `ip` knows such an interface.
pub(crate) fn exists(name: &str) -> bool {
    try_ip(&format!("link show dev {name}")).status.success()
}

/// The one entry of `ip -j -d link show dev NAME`.
pub(crate) fn link(name: &str) -> Value {
    ip_json(&format!("-d link show dev {name}")).remove(0)
}

/// `address/prefix` of all addresses of an interface, in the kernel's order.
pub(crate) fn addresses(name: &str) -> Vec<String> {
    let shown = ip_json(&format!("address show dev {name}"));
    let infos = shown[0]["addr_info"].as_array().expect("a list of addresses");
    let text = |info: &Value| {
        format!("{}/{}", info["local"].as_str().expect("an address"), info["prefixlen"])
    };
    infos.iter().map(text).collect()
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

pub(crate) fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn ifindex(name: &str) -> u32 {
    link(name)["ifindex"].as_u64().and_then(|index| index.try_into().ok()).expect("an ifindex")
}

/// The MAC address as `ip` writes it.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The interface that packets to an address leave by; `None`: they are dropped.
pub(crate) fn route_to(address: &str) -> Option<String> {
    let output = try_ip(&format!("-j route get {address}"));
    let routes: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
    let route = routes.first()?;
    // An IPv6 blackhole is shown, with the loopback interface.
    let is_blackhole = route["type"] == "blackhole" || route["dev"] == "lo";
    if is_blackhole { None } else { route["dev"].as_str().map(str::to_owned) }
}
