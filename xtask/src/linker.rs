//! bpf-linker: pinned, in our own directory, linked to the LLVM of the compiler it serves.
//!
//! It reads the compiler's bitcode, so its LLVM must be of the same major version. A bpf-linker
//! that the user has is never changed; it is used only where ours cannot be built.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{apt, cargo, paths, progress};

const VERSION: &str = "0.13.0";
/// The LLVM versions that bpf-linker 0.13.0 has a cargo feature for.
const SUPPORTED: std::ops::RangeInclusive<u32> = 21..=23;

/// How a bpf-linker for one LLVM version can be had here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkerPlan {
    /// In this directory, ready to run.
    Ready(PathBuf),
    /// From source, against the LLVM under this prefix.
    Build { prefix: PathBuf, major: u32 },
    /// From source, once these packages are installed.
    Packages(Vec<String>),
    /// Not at all, and why.
    No(String),
}

/// Finds the plan; changes nothing.
pub(crate) fn plan(major: u32, cache: &Path) -> LinkerPlan {
    if !SUPPORTED.contains(&major) {
        return LinkerPlan::No(format!(
            "its LLVM is {major}; bpf-linker {VERSION} knows LLVM {} to {}",
            SUPPORTED.start(),
            SUPPORTED.end()
        ));
    }
    let bin = root(cache, major).join("bin");
    if runs(&bin.join("bpf-linker")) {
        return LinkerPlan::Ready(bin);
    }
    if let Some(prefix) = llvm_prefix(major) {
        return LinkerPlan::Build { prefix, major };
    }
    let packages = packages(major);
    if apt::available() && packages.iter().all(|name| apt::has_candidate(name)) {
        return LinkerPlan::Packages(packages);
    }
    match paths::which("bpf-linker") {
        // The usual case on other distributions: a prebuilt one, which carries its own LLVM.
        Some(file) => LinkerPlan::Ready(file.parent().unwrap_or(Path::new("/")).to_owned()),
        None => LinkerPlan::No(format!(
            "no development files of LLVM {major} (`llvm-config` and `libLLVM`) and no bpf-linker \
             in PATH; set LLVM_PREFIX, or install a prebuilt bpf-linker"
        )),
    }
}

/// The packages that let us build it against LLVM `major`, whose shared library it links to.
pub(crate) fn packages(major: u32) -> Vec<String> {
    vec![format!("llvm-{major}-dev")]
}

/// Builds it. Returns its directory.
pub(crate) fn build(prefix: &Path, major: u32, cache: &Path) -> Result<PathBuf> {
    let root = root(cache, major);
    let work = cache.join("build");
    let mut cmd = cargo::cargo();
    cmd.args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", &format!("llvm-{major}"), "--root"])
        .arg(&root)
        // Outside of the workspace, whose cargo configuration is not meant for this.
        .current_dir(cache)
        .env("LLVM_PREFIX", prefix)
        // LLVM does the work, and that is optimized: this halves the time of the build.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_TARGET_DIR", &work);
    progress::step(
        &format!("building bpf-linker {VERSION} for LLVM {major} (a minute or two)"),
        &mut cmd,
    )?;
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    let bin = root.join("bin");
    if !runs(&bin.join("bpf-linker")) {
        bail!(
            "{} was built but does not run: is libLLVM of {} complete?",
            bin.join("bpf-linker").display(),
            prefix.display()
        );
    }
    Ok(bin)
}

fn root(cache: &Path, major: u32) -> PathBuf {
    cache.join(format!("bpf-linker-{VERSION}-llvm-{major}"))
}

/// False also when its shared LLVM has gone since it was built.
fn runs(file: &Path) -> bool {
    paths::is_executable(file)
        && Command::new(file)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// Where LLVM `major` has what the build needs: the user's `LLVM_PREFIX`, or the usual places.
fn llvm_prefix(major: u32) -> Option<PathBuf> {
    let users = env::var_os("LLVM_PREFIX").map(PathBuf::from);
    let usual = [format!("/usr/lib/llvm-{major}"), format!("/usr/lib64/llvm{major}")];
    users.into_iter().chain(usual.map(PathBuf::from)).find(|prefix| is_llvm(prefix, major))
}

fn is_llvm(prefix: &Path, major: u32) -> bool {
    let library = ["lib", "lib64"].iter().any(|lib| prefix.join(lib).join("libLLVM.so").exists());
    let version = Command::new(prefix.join("bin/llvm-config")).arg("--version").output();
    library
        && version.is_ok_and(|out| {
            String::from_utf8_lossy(&out.stdout).trim().split('.').next()
                == Some(major.to_string().as_str())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_llvm_without_a_feature_is_refused_by_name() {
        let LinkerPlan::No(why) = plan(19, Path::new("/nonexistent")) else {
            panic!("LLVM 19 must be refused");
        };
        assert!(why.contains("LLVM is 19") && why.contains("21 to 23"), "{why}");
    }

    #[test]
    fn a_directory_that_is_no_llvm_is_not_taken() {
        assert!(!is_llvm(Path::new("/usr"), 1));
        assert!(!is_llvm(Path::new("/nonexistent"), 22));
    }

    #[test]
    fn a_file_that_does_not_run_is_not_ready() {
        assert!(!runs(Path::new("/etc/passwd")));
        assert!(!runs(Path::new("/bin/false")));
        assert!(runs(Path::new("/bin/true")));
    }
}
