//! Which compiler builds the BPF crate: what there is, and the choice among it.
//!
//! Owns the order of preference. Whether a bpf-linker fits a compiler is decided in `linker`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{linker::LinkerPlan, rustup};

/// Debian's compiler, and its `core` for BPF.
pub(crate) const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];
/// Where Debian puts it.
pub(crate) const DEBIAN_PREFIX: &str = "/usr";

/// What `rustc -vV` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rustc {
    /// The first line, for people and for the record.
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) llvm_major: u32,
}

impl Rustc {
    /// Runs `rustc -vV` of the compiler under `prefix`.
    pub(crate) fn from_prefix(prefix: &Path) -> Result<Self> {
        let rustc = prefix.join("bin/rustc");
        let out = Command::new(&rustc)
            .arg("-vV")
            .output()
            .with_context(|| format!("cannot run {}", rustc.display()))?;
        if !out.status.success() {
            bail!("`{} -vV` ended with {}", rustc.display(), out.status);
        }
        Self::parse(&String::from_utf8_lossy(&out.stdout))
            .with_context(|| format!("`{} -vV`", rustc.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::trim)
                .ok_or_else(|| anyhow!("no line `{name}: ...` in {text:?}"))
        };
        let name = text.lines().next().unwrap_or_default().trim();
        if !name.starts_with("rustc ") {
            bail!("does not open with `rustc `: {text:?}");
        }
        let llvm = field("LLVM version")?;
        let major = llvm.split('.').next().unwrap_or_default();
        let llvm_major = major.parse().with_context(|| format!("LLVM version {llvm:?}"))?;
        Ok(Self { name: name.to_owned(), host: field("host")?.to_owned(), llvm_major })
    }
}

/// One compiler that can compile for BPF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiler {
    pub(crate) kind: CompilerKind,
    pub(crate) rustc: Rustc,
    pub(crate) linker: LinkerPlan,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CompilerKind {
    /// A rustup nightly with `rust-src`, by its name.
    Nightly(String),
    Debian,
}

impl Compiler {
    pub(crate) fn label(&self) -> String {
        match &self.kind {
            CompilerKind::Nightly(name) => format!("rustup's {name} ({})", self.rustc.name),
            CompilerKind::Debian => format!("Debian's rustc-web ({})", self.rustc.name),
        }
    }
}

/// The nightlies of rustup that have `rust-src`, plain `nightly` first.
pub(crate) fn nightlies(known: &[rustup::Toolchain]) -> Vec<&rustup::Toolchain> {
    let mut found: Vec<_> =
        known.iter().filter(|tool| tool.is_nightly() && tool.has_rust_src()).collect();
    // `nightly-x86_64-...` is what the user calls `nightly`; a dated one comes after it.
    found.sort_by_key(|tool| tool.name.strip_prefix("nightly-").is_some_and(starts_with_digit));
    found
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// True when Debian's compiler is complete: rustc, cargo, and `core` for BPF.
pub(crate) fn debian_is_complete(prefix: &Path) -> bool {
    let endian = if cfg!(target_endian = "big") { "bpfeb" } else { "bpfel" };
    let lib = prefix.join(format!("lib/rustlib/{endian}-unknown-none/lib"));
    let has_core = fs::read_dir(lib).is_ok_and(|entries| {
        entries.filter_map(Result::ok).any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        })
    });
    has_core && ["rustc", "cargo"].iter().all(|tool| prefix.join("bin").join(tool).exists())
}

/// The outcome of the choice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This compiler, and its bpf-linker is there or can be built now.
    Use(Compiler),
    /// Packages must come first; then choose again.
    Install(Vec<String>),
    /// Nothing here will do.
    Nothing,
}

/// The first compiler that can be served with a bpf-linker, nightlies before Debian's; else the
/// packages of Debian's (`debian_packages`, empty where apt has none).
pub(crate) fn choose(compilers: Vec<Compiler>, debian_packages: Vec<String>) -> Choice {
    for compiler in compilers {
        match &compiler.linker {
            LinkerPlan::Ready(_) | LinkerPlan::Build { .. } => return Choice::Use(compiler),
            LinkerPlan::Packages(packages) => return Choice::Install(packages.clone()),
            LinkerPlan::No(_) => {}
        }
    }
    if debian_packages.is_empty() { Choice::Nothing } else { Choice::Install(debian_packages) }
}

/// The directory of the compiler's programs, for where no rustup stands between.
pub(crate) fn debian_bin() -> PathBuf {
    Path::new(DEBIAN_PREFIX).join("bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\n\
        binary: rustc\ncommit-hash: ac68faa20c58\ncommit-date: 2026-05-25\n\
        host: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n";

    fn compiler(kind: CompilerKind, linker: LinkerPlan) -> Compiler {
        let rustc = Rustc { name: "rustc 1".into(), host: "h".into(), llvm_major: 22 };
        Compiler { kind, rustc, linker }
    }
    fn nightly(linker: LinkerPlan) -> Compiler {
        compiler(CompilerKind::Nightly("nightly".into()), linker)
    }
    fn ready() -> LinkerPlan {
        LinkerPlan::Ready("/l".into())
    }
    fn build() -> LinkerPlan {
        LinkerPlan::Build { prefix: "/usr/lib/llvm-22".into(), major: 22 }
    }
    fn no() -> LinkerPlan {
        LinkerPlan::No("why".into())
    }
    fn packages() -> Vec<String> {
        vec!["rustc-web".into()]
    }

    #[test]
    fn the_version_is_read() {
        let rustc = Rustc::parse(DEBIAN).expect("a real answer");
        assert_eq!(rustc.llvm_major, 22);
        assert_eq!(rustc.host, "x86_64-unknown-linux-gnu");
        assert_eq!(rustc.name, "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)");
    }

    #[test]
    fn a_strange_version_is_an_error_that_quotes_it() {
        let no_llvm = DEBIAN.replace("LLVM version: 22.1.8\n", "");
        let err = Rustc::parse(&no_llvm).expect_err("no LLVM line").to_string();
        assert!(err.contains("LLVM version"), "{err}");
        assert!(Rustc::parse(&DEBIAN.replace("22.1.8", "unknown")).is_err());
        assert!(Rustc::parse("gcc 12").is_err());
        assert!(Rustc::parse("").is_err());
    }

    #[test]
    fn a_nightly_goes_before_debian() {
        let (a, b) = (nightly(build()), compiler(CompilerKind::Debian, ready()));
        assert_eq!(choose(vec![a.clone(), b], packages()), Choice::Use(a));
    }

    #[test]
    fn a_nightly_that_no_linker_fits_is_passed_over() {
        let debian = compiler(CompilerKind::Debian, ready());
        let got = choose(vec![nightly(no()), debian.clone()], packages());
        assert_eq!(got, Choice::Use(debian));
    }

    #[test]
    fn a_nightly_that_lacks_only_llvm_gets_it_before_debian_is_taken() {
        let llvm = vec!["llvm-22-dev".to_owned()];
        let debian = compiler(CompilerKind::Debian, ready());
        let got = choose(vec![nightly(LinkerPlan::Packages(llvm.clone())), debian], packages());
        assert_eq!(got, Choice::Install(llvm));
    }

    #[test]
    fn without_a_compiler_debians_is_installed_where_apt_has_it() {
        assert_eq!(choose(vec![], packages()), Choice::Install(packages()));
        assert_eq!(choose(vec![nightly(no())], packages()), Choice::Install(packages()));
        assert_eq!(choose(vec![nightly(no())], vec![]), Choice::Nothing);
    }

    #[test]
    fn plain_nightly_goes_before_a_dated_one() {
        let dir = Path::new("/tmp").join(format!("xtask-nightlies-{}", std::process::id()));
        let tool = |name: &str, src: bool| {
            let path = dir.join(name);
            let core = path.join("lib/rustlib/src/rust/library/core/src");
            fs::create_dir_all(&core).expect("temporary directory");
            if src {
                fs::write(core.join("lib.rs"), "").expect("temporary file");
            }
            rustup::Toolchain { name: name.into(), path }
        };
        let known = [
            tool("nightly-2026-01-01-x86_64-unknown-linux-gnu", true),
            tool("nightly-x86_64-unknown-linux-gnu", true),
            tool("nightly-2026-02-02-x86_64-unknown-linux-gnu", false),
            tool("stable-x86_64-unknown-linux-gnu", true),
        ];
        let names: Vec<_> = nightlies(&known).iter().map(|tool| tool.name.clone()).collect();
        fs::remove_dir_all(&dir).expect("temporary directory");
        assert_eq!(
            names,
            ["nightly-x86_64-unknown-linux-gnu", "nightly-2026-01-01-x86_64-unknown-linux-gnu"]
        );
    }
}
