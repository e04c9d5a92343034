//! The CPU that the measured work is bound to: how long it has worked, and who else was there.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use vxlan_tests::{Ns, cmd};

/// A sample with more packets of others on its CPU than this part of its own is void.
const OTHERS: f64 = 0.02;

/// The last CPU: interrupts of cards tend to be on the first.
pub(crate) fn measured() -> Result<usize> {
    let cpus = std::thread::available_parallelism().context("how many CPUs are there?")?;
    Ok(cpus.get() - 1)
}

/// Binds the calling thread to a CPU, and has it run before what else would.
pub(crate) fn bind(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("binding to CPU {cpu}"))?;
    // SAFETY: no pointers are passed; on Linux a thread has a nice value of its own.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    nix::errno::Errno::result(result).context("raising the priority")?;
    Ok(())
}

/// Where sessions are scheduled as groups, a thread's priority counts within its own alone. So this
/// session goes before others, until this is dropped: the shell that it began with outlives us.
pub(crate) struct SessionPriority {
    before: Option<String>,
}

impl SessionPriority {
    const FILE: &str = "/proc/self/autogroup";

    pub(crate) fn raise() -> Self {
        // As in `/autogroup-12 nice 0`. No kernel need have it.
        let text = fs::read_to_string(Self::FILE).unwrap_or_default();
        let before = text.split_whitespace().last().map(str::to_owned);
        let _ = fs::write(Self::FILE, "-20");
        Self { before }
    }
}

impl Drop for SessionPriority {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = fs::write(Self::FILE, before);
        }
    }
}

/// Has the calling thread preempt all that runs with normal priority on its CPU, whenever there is
/// something to do for it.
pub(crate) fn run_first() -> Result<()> {
    run_thread_first(0)
}

/// The same with another thread.
pub(crate) fn run_thread_first(thread: libc::pid_t) -> Result<()> {
    let parameter = libc::sched_param { sched_priority: 1 };
    // SAFETY: the pointer is to a whole parameter.
    let result =
        unsafe { libc::sched_setscheduler(thread, libc::SCHED_FIFO, &raw const parameter) };
    nix::errno::Errno::result(result).context("scheduling a thread as real-time")?;
    Ok(())
}

/// An error on a kernel that does not count softirqs as time of the thread that they interrupt:
/// what is measured here would then not have them.
pub(crate) fn check_kernel() -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let beside = fs::read_to_string(format!("/boot/config-{}", release.trim())).ok();
    let built_in = || cmd::run(Command::new("zcat").arg("/proc/config.gz")).ok();
    // Where the kernel does not tell, most do not.
    let config = beside.or_else(built_in).unwrap_or_default();
    ensure!(
        !config.lines().any(|line| line == "CONFIG_IRQ_TIME_ACCOUNTING=y"),
        "this kernel was built with IRQ_TIME_ACCOUNTING: CPU time of softirqs is counted apart, \
         and too coarsely; run the benchmarks on one without"
    );
    Ok(())
}

/// CPU time of the calling thread, with that of softirqs in its context.
pub(crate) fn thread_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// What a CPU had done at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    cpu: usize,
    /// CPU time of `ksoftirqd`, where softirqs go on that take too long.
    pub(crate) softirqs: Duration,
    /// Packets that have passed the kernel's core on that CPU.
    packets: u32,
    /// Ticks in which the hypervisor ran something else.
    pub(crate) stolen: u64,
}

impl Reading {
    pub(crate) fn now(cpu: usize) -> Result<Self> {
        Ok(Self { cpu, softirqs: ksoftirqd(cpu)?, packets: softnet(cpu)?, stolen: stolen(cpu)? })
    }

    /// What `ksoftirqd` has worked since.
    pub(crate) fn softirqs(&self) -> Result<Duration> {
        Ok(ksoftirqd(self.cpu)?.saturating_sub(self.softirqs))
    }

    /// Why what was measured since does not count, where each of so many packets passes the core a
    /// whole number of times.
    pub(crate) fn void(&self, sent: Option<u64>) -> Result<Option<String>> {
        let now = Self::now(self.cpu)?;
        if now.stolen > self.stolen {
            return Ok(Some("the hypervisor ran something else".to_owned()));
        }
        let Some(sent) = sent else { return Ok(None) };
        let passed = f64::from(now.packets.wrapping_sub(self.packets)) / sent.max(1) as f64;
        let others = (passed - passed.round()).abs();
        Ok((others > OTHERS)
            .then(|| format!("others' packets were there: {:.0} %", others * 100.0)))
    }
}

/// By /proc/PID/schedstat: nanoseconds on the CPU come first.
fn ksoftirqd(cpu: usize) -> Result<Duration> {
    use std::sync::OnceLock;
    static PIDS: OnceLock<Vec<(String, String)>> = OnceLock::new();
    let pids = PIDS.get_or_init(|| {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let pid = entry.file_name().into_string().ok()?;
            name.starts_with("ksoftirqd/").then(|| (name.trim().to_owned(), pid))
        });
        names.collect()
    });
    let wanted = format!("ksoftirqd/{cpu}");
    let (_, pid) = pids.iter().find(|(name, _)| *name == wanted).context(wanted)?;
    let path = format!("/proc/{pid}/schedstat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let time = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Ok(Duration::from_nanos(time.context(path)?))
}

fn softnet(cpu: usize) -> Result<u32> {
    const FILE: &str = "/proc/net/softnet_stat";
    let text = fs::read_to_string(FILE).context(FILE)?;
    let word = text.lines().nth(cpu).and_then(|line| line.split_whitespace().next());
    u32::from_str_radix(word.context(FILE)?, 16).context(FILE)
}

fn stolen(cpu: usize) -> Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let name = format!("cpu{cpu}");
    let mut lines = text.lines().map(|line| line.split_whitespace());
    let mut line = lines.find(|line| line.clone().next() == Some(&name)).context(name)?;
    let word = line.nth(8).context("/proc/stat without stolen time")?;
    Ok(word.parse()?)
}

/// What a piece of work has cost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cost {
    pub(crate) sent: u64,
    pub(crate) time: Duration,
    pub(crate) void: Option<String>,
}

/// Does work in a namespace on the measured CPU, waits until what it has begun is done, and says
/// what it cost there. The work returns how many packets it has sent. Where none of them is merged,
/// packets of others can be told from them.
pub(crate) fn cost(
    ns: &Ns,
    unmerged: bool,
    work: impl FnOnce() -> Result<u64> + Send,
    settled: impl FnOnce(u64) -> Result<()>,
) -> Result<Cost> {
    let cpu = measured()?;
    let before = Reading::now(cpu)?;
    let (sent, time) = ns.exec(|| -> Result<_> {
        bind(cpu)?;
        let start = thread_time()?;
        let sent = work()?;
        Ok((sent, thread_time()? - start))
    })??;
    ensure!(sent > 0, "nothing was sent");
    settled(sent)?;
    let time = time + before.softirqs()?;
    Ok(Cost { sent, time, void: before.void(unmerged.then_some(sent))? })
}
