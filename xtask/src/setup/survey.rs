//! Looks for every compiler that can compile for BPF, with a bpf-linker for it. Changes nothing.

use std::path::Path;

use anyhow::Result;

use crate::{
    apt,
    linker::{self, LinkerPlan},
    rustup,
    toolchain::{self, Choice, Compiler, CompilerKind, DEBIAN_PREFIX, Rustc},
};

/// Finds the compilers, and chooses one of them or what to install.
pub(super) fn survey(cache: &Path) -> Result<Choice> {
    let (compilers, _) = compilers(cache)?;
    let usable = compilers.iter().any(|compiler| !matches!(compiler.linker, LinkerPlan::No(_)));
    // Asking apt takes a second: only when there is nothing else.
    let packages = if !usable && apt::available() && !has_debian(&compilers) {
        debian_packages()
    } else {
        Vec::new()
    };
    Ok(toolchain::choose(compilers, packages))
}

fn has_debian(compilers: &[Compiler]) -> bool {
    compilers.iter().any(|compiler| compiler.kind == CompilerKind::Debian)
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

/// Every compiler that can compile for BPF, in the order of preference; and why others cannot.
fn compilers(cache: &Path) -> Result<(Vec<Compiler>, Vec<String>)> {
    let mut found = Vec::new();
    let mut others = Vec::new();
    let mut add = |kind, prefix: &Path| match Rustc::from_prefix(prefix) {
        Ok(rustc) => {
            let linker = linker::plan(rustc.llvm_major, cache);
            found.push(Compiler { kind, rustc, linker });
        }
        Err(err) => others.push(format!("a compiler that does not run: {err:#}")),
    };
    let known = rustup::toolchains()?.unwrap_or_default();
    for nightly in toolchain::nightlies(&known) {
        add(CompilerKind::Nightly(nightly.name.clone()), &nightly.path);
    }
    if toolchain::debian_is_complete(Path::new(DEBIAN_PREFIX)) {
        add(CompilerKind::Debian, Path::new(DEBIAN_PREFIX));
    }
    for tool in known.iter().filter(|tool| tool.is_nightly() && !tool.has_rust_src()) {
        others.push(format!("rustup's {}: has no rust-src", tool.name));
    }
    Ok((found, others))
}

/// Says which compilers were found and why none of them serves, for an error message.
pub(super) fn describe_compilers(cache: &Path) -> Result<String> {
    let (compilers, mut lines) = compilers(cache)?;
    for compiler in &compilers {
        if let LinkerPlan::No(why) = &compiler.linker {
            lines.push(format!("{}: {why}", compiler.label()));
        }
    }
    if lines.is_empty() {
        lines.push("no rustup nightly with rust-src, no Debian rustc-web with BPF core".to_owned());
    }
    Ok(lines.join("; "))
}
