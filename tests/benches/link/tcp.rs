//! Bulk TCP: so many connections send from one host to the other for a while. What counts is how
//! much arrives in a second, and how much CPU time both ends take for it.

use std::{
    ffi::OsString,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt::TcpCongestion};
use vxlan_tests::{
    Ns,
    bench::{Bench, Better},
    wait::joined,
};

use crate::{
    cpu,
    host::Carrier,
    pair::{Medium, Pair, Pairs, SharedPairs, shared},
    room::{Entry, Reading, Room, Size},
};

const FLOWS: [usize; 2] = [1, 4];
/// What is passed to one call of send or receive, as iperf3 does.
const BLOCK: usize = 128 << 10;
/// Until congestion windows are open.
const RAMP: Duration = Duration::from_millis(200);
/// A sample is void if a thread that could run waited for others for longer than this part of it.
const WAITED: f64 = 0.05;
/// So many ticks of the hypervisor's on both CPUs make no difference.
const STOLEN: u64 = 2;
const STALL: Duration = Duration::from_secs(10);

const ARMS: [Carrier; 6] = [
    Carrier::Native,
    Carrier::Generic,
    Carrier::Tc,
    Carrier::Kernel,
    Carrier::KernelXdp,
    Carrier::None,
];

pub(crate) fn entries() -> Vec<Entry> {
    let media = [Medium::Card, Medium::Wire, Medium::Plain];
    let of_medium = |medium: Medium| {
        let pairs = SharedPairs::default();
        FLOWS.map(|flows| {
            let pairs = Rc::clone(&pairs);
            Entry {
                name: name(medium, flows),
                make: Box::new(move |size| {
                    let pairs = shared(&pairs, medium, &ARMS)?;
                    Ok(Box::new(Bulk { medium, flows, size, pairs }))
                }),
            }
        })
    };
    media.into_iter().flat_map(of_medium).collect()
}

fn name(medium: Medium, flows: usize) -> String {
    format!("tcp/{}/{flows}-flow{}", medium.name(), if flows == 1 { "" } else { "s" })
}

struct Bulk {
    medium: Medium,
    flows: usize,
    size: Size,
    pairs: Rc<Pairs>,
}

impl Room for Bulk {
    fn benches(&self) -> Vec<Bench> {
        let name = name(self.medium, self.flows);
        let condition = format!(
            "{} TCP connection{} (cubic), inner MTU 1,450, senders on the first CPU, receivers on \
             the last; {}",
            self.flows,
            if self.flows == 1 { "" } else { "s" },
            self.medium.condition()
        );
        let bench = |metric: &str, of: &str, unit: &str, better| Bench {
            name: format!("{name}/{metric}"),
            condition: format!("{of}: {condition}"),
            unit: unit.to_owned(),
            better,
            baseline: Carrier::Kernel.arm().name,
            arms: Carrier::with_before(&ARMS).into_iter().map(Carrier::arm).collect(),
        };
        vec![
            bench("rate", "What arrives", "Gbit/s", Better::More),
            bench(
                "cpu",
                "CPU time of senders, receivers and their softirqs for what arrives",
                "s/Gbit",
                Better::Less,
            ),
        ]
    }

    fn check(&mut self, arm: &str) -> Result<()> {
        self.pairs.pair(arm)?.check()
    }

    fn measure(&mut self, arm: &str) -> Result<Reading> {
        let pair = self.pairs.pair(arm)?;
        let time = match self.size {
            Size::Full => Duration::from_millis(1_300),
            Size::Quick => Duration::from_millis(300),
        };
        let drops = pair.drops()?;
        let Load { bytes, wall, cpu, void } = load(pair, self.flows, time)?;
        let now = pair.drops()?;
        ensure!(now == drops, "dropped before {drops:?}, and after {now:?}");
        let gigabits = bytes as f64 * 8.0 / 1e9;
        Ok(Reading {
            values: vec![gigabits / wall.as_secs_f64(), cpu.as_secs_f64() / gigabits],
            void,
        })
    }
}

struct Load {
    bytes: u64,
    wall: Duration,
    cpu: Duration,
    void: Option<String>,
}

/// What all threads share.
#[derive(Default)]
struct Shared {
    sent: AtomicU64,
    received: AtomicU64,
    stop: AtomicBool,
}

/// Where one thread does its work.
struct Worker<'a> {
    /// Of /proc, for the time it has run and waited.
    schedstat: String,
    thread: ScopedJoinHandle<'a, Result<()>>,
}

fn load(pair: &Pair, flows: usize, time: Duration) -> Result<Load> {
    let shared = Shared::default();
    let connections = connections(&pair.a, &pair.b, pair, flows)?;
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for (sender, receiver) in connections {
            let shared = &shared;
            workers.push(worker(scope, cpu::measured()?, move || receive(receiver, shared))?);
            workers.push(worker(scope, 0, move || send(sender, shared))?);
        }
        thread::sleep(RAMP);
        let before = Usage::now(&workers, &shared)?;
        thread::sleep(time);
        let after = Usage::now(&workers, &shared)?;
        shared.stop.store(true, Ordering::Relaxed);
        for worker in workers {
            joined(worker.thread.join())?;
        }
        let [sent, received] = [&shared.sent, &shared.received].map(|n| n.load(Ordering::Relaxed));
        ensure!(sent == received, "{sent} bytes were sent, {received} arrived");
        Ok(after.since(&before))
    })
}

/// Connections from `a` to `b`, both ends of each.
fn connections(a: &Ns, b: &Ns, pair: &Pair, count: usize) -> Result<Vec<(TcpStream, TcpStream)>> {
    let address = pair.far_address();
    let listener = b.exec(|| TcpListener::bind((address, 0)))??;
    let to: SocketAddr = listener.local_addr()?;
    let one = |_| -> Result<_> {
        let sender = a.exec(|| TcpStream::connect_timeout(&to, STALL))??;
        let (receiver, _) = listener.accept()?;
        // Not the host's default: another one may pace, and then measures its timers. A namespace
        // cannot have it for default, a socket can.
        setsockopt(&sender, TcpCongestion, &OsString::from("cubic"))?;
        sender.set_write_timeout(Some(STALL))?;
        receiver.set_read_timeout(Some(STALL))?;
        Ok((sender, receiver))
    };
    (0..count).map(one).collect()
}

/// Starts a thread on a CPU, and waits until it says who it is.
fn worker<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    cpu: usize,
    work: impl FnOnce() -> Result<()> + Send + 'scope,
) -> Result<Worker<'scope>> {
    let (name, named) = std::sync::mpsc::channel();
    let thread = scope.spawn(move || {
        cpu::bind(cpu)?;
        // SAFETY: the call has no arguments, and cannot fail.
        let thread = unsafe { libc::gettid() };
        name.send(thread)?;
        work()
    });
    let thread_id = named.recv().context("a thread that could not be bound to its CPU")?;
    Ok(Worker { schedstat: format!("/proc/self/task/{thread_id}/schedstat"), thread })
}

fn send(mut to: TcpStream, shared: &Shared) -> Result<()> {
    let block = vec![0x5a; BLOCK];
    while !shared.stop.load(Ordering::Relaxed) {
        to.write_all(&block).context("sending")?;
        shared.sent.fetch_add(BLOCK as u64, Ordering::Relaxed);
    }
    Ok(())
}

fn receive(mut from: TcpStream, shared: &Shared) -> Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let length = from.read(&mut block).context("receiving")?;
        if length == 0 {
            return Ok(());
        }
        shared.received.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// What has arrived and been used up to a moment.
struct Usage {
    when: Instant,
    bytes: u64,
    /// Of threads, with the softirqs in their context, and of ksoftirqd.
    cpu: Duration,
    /// For how long each thread has waited for its CPU: of each connection the receiver, the
    /// sender.
    waited: Vec<Duration>,
    /// Of the senders' CPU, then of the receivers'.
    softirqs: Vec<cpu::Reading>,
}

impl Usage {
    fn now(workers: &[Worker<'_>], shared: &Shared) -> Result<Self> {
        let softirqs = [0, cpu::measured()?].map(cpu::Reading::now);
        let softirqs: Vec<_> = softirqs.into_iter().collect::<Result<_>>()?;
        let mut cpu = softirqs.iter().map(|reading| reading.softirqs).sum();
        let mut waited = Vec::new();
        for worker in workers {
            let (ran, wait) = schedule(&worker.schedstat)?;
            cpu += ran;
            waited.push(wait);
        }
        let bytes = shared.received.load(Ordering::Relaxed);
        Ok(Self { when: Instant::now(), bytes, cpu, waited, softirqs })
    }

    fn since(&self, before: &Self) -> Load {
        let wall = self.when - before.when;
        let stolen = self.softirqs.iter().zip(&before.softirqs);
        let stolen: u64 = stolen.map(|(now, then)| now.stolen - then.stolen).sum();
        let waited = self.waited_since(before).as_secs_f64() / wall.as_secs_f64();
        let void = if self.bytes == before.bytes {
            Some("nothing arrived".to_owned())
        } else if waited > WAITED {
            Some(format!("a thread waited for others for {:.0} % of the time", waited * 100.0))
        } else if stolen > STOLEN {
            Some(format!("the hypervisor ran something else for {stolen} ticks"))
        } else {
            None
        };
        Load { bytes: self.bytes - before.bytes, wall, cpu: self.cpu - before.cpu, void }
    }

    /// For how long a thread has waited for its CPU, and not for the softirqs there. Threads of
    /// several connections wait for each other, which cannot be told from others.
    fn waited_since(&self, before: &Self) -> Duration {
        let [receiver, sender] = self.waited[..] else { return Duration::ZERO };
        let since = |waited: Duration, thread: usize, cpu: usize| {
            let softirqs = self.softirqs[cpu].softirqs - before.softirqs[cpu].softirqs;
            (waited - before.waited[thread]).saturating_sub(softirqs)
        };
        since(receiver, 0, 1).max(since(sender, 1, 0))
    }
}

/// For how long a thread has run, and waited for a CPU.
fn schedule(path: &str) -> Result<(Duration, Duration)> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let mut words = text.split_whitespace().map(str::parse);
    let mut next = || -> Result<Duration> {
        Ok(Duration::from_nanos(words.next().with_context(|| path.to_owned())??))
    };
    Ok((next()?, next()?))
}
