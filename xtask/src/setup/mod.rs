//! `cargo xtask setup`: what builds the BPF programs, and the tools of the lab and the tests.
//!
//! Looks first and changes nothing when nothing is missing. Installs packages only as root on
//! Debian or Ubuntu; elsewhere it prints the commands. What it brings itself is in our cache.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    apt, linker, paths, progress, promtool,
    record::{self, Record},
    rustup,
    toolchain::{self, Choice, Compiler, DEBIAN_BOOTSTRAP, DEBIAN_PREFIX, Kind, Rustc},
};

/// How much a verb needs. Each includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// To build everything.
    Build,
    /// To bring up the lab.
    Lab,
    /// To run every test.
    Test,
    /// To run them in guests, on other kernels.
    Vm,
}

/// The programs that the lab and the suites call, and the packages that have them.
const LAB_TOOLS: [(&str, &str); 10] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ethtool", "ethtool"),
    ("ping", "iputils-ping"),
    ("tcpdump", "tcpdump"),
    ("iperf3", "iperf3"),
    ("conntrack", "conntrack"),
    ("faketime", "faketime"),
    ("systemd-analyze", "systemd"),
    ("strace", "strace"),
];

/// The programs that make guests and run them, and the packages that have them.
const VM_TOOLS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("strip", "binutils"),
];

/// The programs that the lab and the suites call.
pub(crate) fn lab_tools() -> impl Iterator<Item = &'static str> {
    LAB_TOOLS.into_iter().map(|(program, _)| program)
}

pub(crate) fn run() -> Result<ExitCode> {
    let record = ensure(Scope::Test)?;
    progress::note(&format!("BPF programs are built by {}", record.rustc));
    progress::note(&format!("and linked by {}/bpf-linker", record.bpf_linker_dir.display()));
    progress::note("everything is there");
    Ok(ExitCode::SUCCESS)
}

/// Sees to it that `scope` is there, and that the record for `vxlan-user/build.rs` is right.
pub(crate) fn ensure(scope: Scope) -> Result<Record> {
    let cache = paths::cache()?;
    let _lock = lock(&cache)?;

    let tools = missing_tools(scope);
    let mut choice = survey(&cache)?;
    if apt::may_install() {
        let mut rounds = 0;
        // The packages of a compiler first; only then is it known which LLVM it has.
        while let Choice::Install(packages) = &choice {
            rounds += 1;
            if rounds > 3 {
                bail!("{} are installed and still do not serve: {}", packages.join(" "), found()?);
            }
            apt::install(packages)?;
            choice = survey(&cache)?;
        }
        if !tools.is_empty() {
            apt::install(&tools)?;
        }
    }

    let compiler = match choice {
        Choice::Use(compiler) => compiler,
        Choice::Install(packages) => return Err(advice(&[packages, tools].concat(), true)?),
        Choice::Nothing => return Err(advice(&tools, true)?),
    };
    let record = install(compiler, &cache, scope)?;
    // The record is written by now: building works even where the lab does not.
    match missing_tools(scope) {
        missing if !missing.is_empty() => Err(advice(&missing, false)?),
        _ => Ok(record),
    }
}

/// Links, builds and writes down what `compiler` needs.
fn install(compiler: Compiler, cache: &Path, scope: Scope) -> Result<Record> {
    let rustup = paths::which("rustup").is_some();
    let (toolchain, bin_dir, rustc_bootstrap) = match &compiler.kind {
        Kind::Nightly(name) => (Some(name.clone()), None, None),
        Kind::Debian if rustup => {
            rustup::link(Path::new(DEBIAN_PREFIX))?;
            (Some(rustup::OUR_NAME.to_owned()), None, Some(DEBIAN_BOOTSTRAP.to_owned()))
        }
        Kind::Debian => (None, Some(toolchain::debian_bin()), Some(DEBIAN_BOOTSTRAP.to_owned())),
    };
    let label = compiler.label();
    let bpf_linker_dir = match compiler.linker {
        linker::Plan::Ready(dir) => dir,
        linker::Plan::Build { prefix, major } => linker::build(&prefix, major, cache)?,
        linker::Plan::Packages(_) | linker::Plan::No(_) => {
            bail!("{label} was chosen without a bpf-linker for it: this is a mistake in setup")
        }
    };
    let mut record = Record {
        toolchain,
        bin_dir,
        rustc: compiler.rustc.name,
        rustc_bootstrap,
        bpf_linker_dir,
        promtool: promtool::find(cache),
    };
    write(paths::workspace(), &record)?;
    if scope >= Scope::Test && record.promtool.is_none() {
        record.promtool = Some(promtool::ensure(cache)?);
        write(paths::workspace(), &record)?;
    }
    Ok(record)
}

/// What there is, and the choice among it.
fn survey(cache: &Path) -> Result<Choice> {
    let (compilers, _) = compilers(cache)?;
    let usable = compilers.iter().any(|compiler| !matches!(compiler.linker, linker::Plan::No(_)));
    // Asking apt takes a second: only when there is nothing else.
    let packages = if !usable && apt::available() && !has_debian(&compilers) {
        debian_packages()
    } else {
        Vec::new()
    };
    Ok(toolchain::choose(compilers, packages))
}

fn has_debian(compilers: &[Compiler]) -> bool {
    compilers.iter().any(|compiler| compiler.kind == Kind::Debian)
}

/// Debian's compiler, and the LLVM that it will turn out to need; empty where apt has none.
fn debian_packages() -> Vec<String> {
    if !toolchain::DEBIAN_PACKAGES.iter().all(|name| apt::has_candidate(name)) {
        return Vec::new();
    }
    let mut packages = toolchain::DEBIAN_PACKAGES.map(str::to_owned).to_vec();
    if let Some(major) = apt::llvm_major_of(toolchain::DEBIAN_PACKAGES[0]) {
        packages.extend(linker::packages(major));
    }
    packages
}

/// Every compiler that can compile for BPF, in the order of preference; and what was found besides.
fn compilers(cache: &Path) -> Result<(Vec<Compiler>, Vec<String>)> {
    let mut found = Vec::new();
    let mut others = Vec::new();
    let mut add = |kind, prefix: &Path| match Rustc::of(prefix) {
        Ok(rustc) => {
            let linker = linker::plan(rustc.llvm_major, cache);
            found.push(Compiler { kind, rustc, linker });
        }
        Err(err) => others.push(format!("a compiler that does not answer: {err:#}")),
    };
    let known = rustup::toolchains()?.unwrap_or_default();
    for nightly in toolchain::nightlies(&known) {
        add(Kind::Nightly(nightly.name.clone()), &nightly.path);
    }
    if toolchain::debian_is_complete(Path::new(DEBIAN_PREFIX)) {
        add(Kind::Debian, Path::new(DEBIAN_PREFIX));
    }
    for tool in known.iter().filter(|tool| tool.is_nightly() && !tool.has_rust_src()) {
        others.push(format!("rustup's {}: has no rust-src", tool.name));
    }
    Ok((found, others))
}

/// What was found and why it does not serve, for an error message.
fn found() -> Result<String> {
    let (compilers, mut lines) = compilers(&paths::cache()?)?;
    for compiler in &compilers {
        if let linker::Plan::No(why) = &compiler.linker {
            lines.push(format!("{}: {why}", compiler.label()));
        }
    }
    if lines.is_empty() {
        lines.push("no rustup nightly with rust-src, no Debian rustc-web with BPF core".to_owned());
    }
    Ok(lines.join("; "))
}

fn missing_tools(scope: Scope) -> Vec<String> {
    let lab = LAB_TOOLS.iter().filter(|_| scope >= Scope::Lab);
    lab.chain(VM_TOOLS.iter().filter(|_| scope >= Scope::Vm))
        .filter(|(program, _)| paths::which(program).is_none())
        .map(|(_, package)| (*package).to_owned())
        .collect()
}

/// The error for what setup may not do by itself: what is missing, and the commands that bring it.
fn advice(packages: &[String], compiler_missing: bool) -> Result<anyhow::Error> {
    let why_not = if !apt::available() {
        "setup installs packages only on Debian and Ubuntu"
    } else if !apt::may_install() {
        "setup installs packages only as root"
    } else {
        "apt has nothing that would do"
    };
    let mut text = if compiler_missing {
        format!("nothing here can build the BPF programs, and {why_not}\n  found: {}", found()?)
    } else {
        format!("the lab and the tests need {}, and {why_not}", packages.join(", "))
    };
    if !packages.is_empty() {
        let command = if apt::available() {
            apt::command_line(packages)
        } else {
            format!("install what your distribution calls {}", packages.join(", "))
        };
        text.push_str(&format!("\n  do:    {command}"));
    }
    if compiler_missing {
        let or = if packages.is_empty() { "do:   " } else { "or:   " };
        text.push_str(&format!(
            "\n  {or} rustup toolchain install nightly --component rust-src\n         \
             (and a bpf-linker in PATH, or LLVM's development files of the nightly's version)"
        ));
    }
    text.push_str("\n  then:  cargo xtask setup");
    Ok(anyhow!(text))
}

/// Writes the record, only when it differs: its age decides whether the BPF crate is built again.
fn write(workspace: &Path, record: &Record) -> Result<()> {
    // One that cannot be read is replaced.
    if matches!(record::read(workspace), Ok(Some(old)) if old == *record) {
        return Ok(());
    }
    let text = format!(
        "# Written by `cargo xtask setup` for vxlan-user/build.rs. Describes this machine only.\n{}",
        toml::to_string(record).context("the toolchain record does not fit into TOML")?
    );
    let file = workspace.join(record::FILE);
    // A build that runs meanwhile sees the old record or the new one, never half of one.
    let new = file.with_extension("toml.new");
    fs::write(&new, text).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, &file).with_context(|| format!("cannot write {}", file.display()))
}

/// One setup at a time. Released when dropped.
fn lock(cache: &Path) -> Result<File> {
    let path = cache.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress::note("another setup is at work, waiting for it");
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Err(TryLockError::Error(err)) => {
            return Err(err).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn record() -> Record {
        Record {
            toolchain: Some("vxlan-bpf".into()),
            bin_dir: None,
            rustc: "rustc 1.96.0 (x)".into(),
            rustc_bootstrap: Some("aya_ebpf".into()),
            bpf_linker_dir: "/a \"quoted\" dir/bin".into(),
            promtool: None,
        }
    }

    struct Workspace(std::path::PathBuf);
    impl Workspace {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            fs::create_dir_all(dir.join(".cargo")).expect("temporary directory");
            Self(dir)
        }
        fn changed(&self) -> SystemTime {
            let meta = fs::metadata(self.0.join(record::FILE)).expect("the record is there");
            meta.modified().expect("a modification time")
        }
    }
    impl Drop for Workspace {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_record_comes_back_as_written() {
        let ws = Workspace::new("back");
        assert_eq!(record::read(&ws.0).expect("no record is no error"), None);
        write(&ws.0, &record()).expect("writes");
        assert_eq!(record::read(&ws.0).expect("reads"), Some(record()));
    }

    #[test]
    fn the_record_is_touched_only_when_it_changes() {
        let ws = Workspace::new("touch");
        write(&ws.0, &record()).expect("writes");
        let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        let file = File::options().append(true).open(ws.0.join(record::FILE)).expect("opens");
        file.set_modified(old).expect("sets the time");
        write(&ws.0, &record()).expect("writes");
        assert_eq!(ws.changed(), old);
        write(&ws.0, &Record { rustc: "rustc 1.97.0".into(), ..record() }).expect("writes");
        assert_ne!(ws.changed(), old);
    }

    #[test]
    fn a_record_of_another_shape_says_what_to_do() {
        let ws = Workspace::new("shape");
        fs::write(ws.0.join(record::FILE), "toolchain = 3\n").expect("writes");
        let err = format!("{:#}", record::read(&ws.0).expect_err("3 is no name"));
        assert!(err.contains("run `cargo xtask setup`"), "{err}");
        write(&ws.0, &record()).expect("replaces it");
        assert_eq!(record::read(&ws.0).expect("reads"), Some(record()));
    }
}
