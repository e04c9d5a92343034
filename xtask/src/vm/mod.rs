//! `cargo xtask vm`: the suites on the kernels of Debian 12 and 13, each in a guest of its own.
//!
//! Owns the order of things and the display. The kernels come from `kernel`, what is in a guest
//! from `initramfs`, what runs there from `suites` and `guest`; `qemu` starts it. Nothing of this
//! machine is changed: no kernel is installed, no network is touched, and no root is needed.
//!
//! Modules import only modules that stand before them here: cpio, job, kernel, modules, programs,
//! initramfs, qemu, guest, suites, tally, outcome, report, table.

mod cpio;
mod guest;
mod initramfs;
mod job;
mod kernel;
mod modules;
mod outcome;
mod programs;
mod qemu;
mod report;
mod suites;
mod table;
mod tally;

use std::{
    fs::{self, File},
    path::PathBuf,
    process::ExitCode,
    sync::mpsc::RecvTimeoutError,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use vxlan_tests::signals::Stop;

use crate::{build, paths, progress, required::Scope, setup};
use guest::Mark;
use initramfs::Contents;
use job::Job;
use kernel::{Kernel, Series};
use qemu::{Accel, Guest, Machine};
use report::Report;
use suites::Suite;

/// For both guests together, this much memory is taken.
const MEMORY_MIB: u32 = 3072;
/// The version that migrations are tested with, in a guest.
const OTHER_LAYOUT: &str = "/usr/bin/vxlan-other-layout";
const TICK: Duration = Duration::from_millis(200);
/// How long a guest may print nothing, by our clock.
const SILENCE: Duration = Duration::from_secs(20 * 60);
/// How long a job may take, by our clock: that of a guest whose kernel is stuck may stand still.
const PATIENCE: Duration = Duration::from_secs(4 * 60 * 60);
/// How often a guest is started that does not get as far as a job.
const BOOTS: usize = 3;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Every suite, instead of the part that CI runs
    #[arg(long)]
    all: bool,
    /// On this kernel only
    #[arg(long, value_enum)]
    kernel: Option<Series>,
    /// These suites, whole
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// A command to run in the guest instead, by its shell; the suites are in /suites
    #[arg(last = true)]
    command: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(cfg!(target_arch = "x86_64"), "the guests are x86-64, and so must this machine be");
    let record = setup::ensure(Scope::Vm)?;
    let promtool = record.promtool.context("setup left no promtool in its record")?;
    let cache = paths::cache()?;
    let series = args.kernel.map_or(Series::ALL.to_vec(), |series| vec![series]);
    let kernels: Vec<_> =
        series.into_iter().map(|series| kernel::ensure(series, &cache)).collect::<Result<_>>()?;

    // What few tests need is built only when they may run.
    let quick = !args.all && args.suite.is_empty() && args.command.is_empty();
    let other = if quick { None } else { Some(build::vxlan_with_other_layout()?) };
    let vxlan = build::vxlan()?;
    let suites = suites::build()?;

    let stop = Stop::install()?;
    let mut ours = vec![("/usr/bin/vxlan", vxlan)];
    ours.extend(other.map(|program| (OTHER_LAYOUT, program)));
    let programs = Programs::gather(&suites, &ours, promtool)?;
    let first = kernels.first().context("no kernel")?;
    let (accel, why) = qemu::probe(first, &cache)?;
    progress::note(&format!("guests run by {}: {why}", accel.name()));
    let jobs = jobs(args, &suites, accel == Accel::Kvm)?;
    if accel == Accel::Emulated {
        progress::note(&suites::without_long());
    }

    let environment = [
        ("VXLAN_BIN", "/usr/bin/vxlan"),
        ("VXLAN_OTHER_BIN", OTHER_LAYOUT),
        ("PROMTOOL", "/usr/bin/promtool"),
        ("VXLAN_TEST_CARDS", &qemu::CARDS.join(",")),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let live = !args.command.is_empty();
    let one = |kernel: &Kernel| -> Result<Report> {
        let machine = Machine {
            accel,
            cpus: cpus(accel, kernel.series),
            memory_mib: MEMORY_MIB,
            cards: true,
        };
        let log = paths::target_dir().join(format!("vm-{}.log", kernel.series.name()));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        progress::note(&format!("{:<5} console: {}", kernel.series.name(), log.display()));
        let mut report = Report::new(kernel, live, Some(file));
        let mut boot = 1;
        loop {
            // A guest that dies takes the job with it that is at work, and no other.
            let left = report.remaining(&jobs);
            let init = guest::init(&left, &environment);
            let contents = Contents { kernel, programs: &programs.files, init: &init };
            let initrd = initramfs::make(&contents, &cache)?;
            report.boots();
            watch(Guest::boot(kernel, &initrd, machine)?, &mut report, &left, &stop)?;
            let still = report.remaining(&jobs);
            boot = if still.len() < left.len() { 1 } else { boot + 1 };
            if still.is_empty() || boot > BOOTS || stop.requested()? {
                report.close(&still);
                return Ok(report);
            }
            progress::note(&format!("{:<5} once more, for what is left", kernel.series.name()));
        }
    };
    // Side by side: an emulated guest keeps one processor busy.
    let reports: Vec<Result<Report>> = thread::scope(|scope| {
        let threads: Vec<_> = kernels.iter().map(|kernel| scope.spawn(|| one(kernel))).collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    drop(programs);
    let reports = reports.into_iter().collect::<Result<Vec<_>>>()?;
    if stop.requested()? {
        bail!("interrupted");
    }
    table::print(&reports);
    let good = reports.iter().all(Report::is_good);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The jobs of each guest.
fn jobs(args: &Args, suites: &[Suite], long: bool) -> Result<Vec<Job>> {
    if !args.command.is_empty() {
        let command = args.command.join(" ");
        return Ok(vec![Job { name: "command".to_owned(), command, limit: None, tests: None }]);
    }
    if !args.suite.is_empty() {
        let find = |name: &String| {
            let found = suites.iter().find(|suite| suite.name == *name);
            let names: Vec<_> = suites.iter().map(|suite| &*suite.name).collect();
            found.with_context(|| format!("no suite {name}; there are {}", names.join(", ")))
        };
        return args
            .suite
            .iter()
            .map(|name| find(name).map(|suite| suites::whole(suite, long)))
            .collect();
    }
    let mut jobs = vec![suites::lab(if args.all { 64 } else { 4 })];
    if args.all {
        jobs.extend(suites.iter().map(|suite| suites::whole(suite, long)));
    } else {
        jobs.extend(suites::quick(suites)?);
    }
    Ok(jobs)
}

/// Emulated, Linux 6.1 does not get past the start of a second processor when time is counted in
/// instructions. So only 6.12 has two there.
fn cpus(accel: Accel, series: Series) -> u32 {
    match (accel, series) {
        (Accel::Kvm, _) | (Accel::Emulated, Series::V6_12) => 2,
        (Accel::Emulated, Series::V6_1) => 1,
    }
}

/// Reads the console of a guest to its end.
fn watch(mut guest: Guest, report: &mut Report, jobs: &[Job], stop: &Stop) -> Result<()> {
    let mut last_line = Instant::now();
    let mut last_mark = last_line;
    loop {
        match guest.console.recv_timeout(TICK) {
            Ok(line) => {
                last_line = Instant::now();
                report.log(&line);
                match Mark::parse(&line) {
                    Some(mark) => {
                        last_mark = last_line;
                        report.mark(&mark, jobs);
                    }
                    None => report.line(line),
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let status = guest.wait()?;
                report.ended(&format!("qemu ended with {status}"));
                return Ok(());
            }
        }
        if stop.requested()? {
            report.ended("interrupted");
            return Ok(());
        }
        for (what, since, limit) in
            [("nothing new", last_line, SILENCE), ("at one job", last_mark, PATIENCE)]
        {
            if since.elapsed() > limit {
                report.ended(&format!("{what} for {} s, so it was ended", limit.as_secs()));
                return Ok(());
            }
        }
    }
}

/// The programs for the guests, and the directory of their stripped copies, which goes with it.
struct Programs {
    files: Vec<(String, PathBuf)>,
    _work: tempfile::TempDir,
}

impl Programs {
    fn gather(suites: &[Suite], vxlan: &[(&str, PathBuf)], promtool: PathBuf) -> Result<Self> {
        let target = paths::target_dir();
        fs::create_dir_all(&target)?;
        let work = tempfile::tempdir_in(&target).context("making a directory for the guests")?;
        // Copied by its open file, not by its path: building the suites may have put a newer build
        // of this program there.
        let this = work.path().join("running");
        fs::create_dir(&this).context("making a directory for this program")?;
        let this = this.join("xtask");
        fs::copy("/proc/self/exe", &this).context("copying this program")?;
        let mut files = vec![("/usr/bin/promtool".to_owned(), promtool)];
        let ours = vxlan.iter().map(|(path, file)| ((*path).to_owned(), file.clone()));
        let this = ("/usr/bin/xtask".to_owned(), this);
        let suites = suites.iter().map(|suite| (suite.path(), suite.program.clone()));
        for (path, file) in ours.chain([this]).chain(suites) {
            files.push((path, programs::stripped(&file, work.path())?));
        }
        Ok(Self { files, _work: work })
    }
}
