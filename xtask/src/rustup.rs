//! rustup's toolchains: which there are, and the one link that is ours.
//!
//! Never installs, updates or removes a toolchain of the user's.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{paths, progress};

/// The name under which rustup knows Debian's compiler. Only setup makes it.
pub(crate) const OUR_NAME: &str = "vxlan-bpf";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// The installed toolchains; `None` where there is no rustup.
pub(crate) fn toolchains() -> Result<Option<Vec<Toolchain>>> {
    let Some(rustup) = paths::which("rustup") else {
        return Ok(None);
    };
    let out = Command::new(rustup).args(["toolchain", "list", "--verbose"]).output()?;
    if !out.status.success() {
        let why = String::from_utf8_lossy(&out.stderr);
        bail!("`rustup toolchain list --verbose` failed: {}", why.trim());
    }
    Ok(Some(parse_list(&String::from_utf8_lossy(&out.stdout))))
}

/// Lines are `NAME [(notes)] PATH`, the path being absolute.
fn parse_list(text: &str) -> Vec<Toolchain> {
    text.lines()
        .filter_map(|line| {
            let name = line.split_whitespace().next()?.to_owned();
            let path = line.find(['\t', ' ']).and_then(|at| {
                let rest = line.get(at..)?;
                rest.get(rest.find('/')?..)
            })?;
            Some(Toolchain { name, path: PathBuf::from(path.trim_end()) })
        })
        .collect()
}

impl Toolchain {
    pub(crate) fn is_nightly(&self) -> bool {
        self.name == "nightly" || self.name.starts_with("nightly-")
    }

    /// True when the sources of `core` are there, so that `-Z build-std=core` can work.
    pub(crate) fn has_rust_src(&self) -> bool {
        self.path.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file()
    }
}

/// Makes `OUR_NAME` stand for the toolchain under `prefix`. Does nothing when it does already.
pub(crate) fn link(prefix: &Path) -> Result<()> {
    let known = toolchains()?.unwrap_or_default();
    let ours = known.iter().find(|toolchain| toolchain.name == OUR_NAME);
    if ours.is_some_and(|ours| is_same_directory(&ours.path, prefix)) {
        return Ok(());
    }
    let mut cmd = Command::new("rustup");
    cmd.args(["toolchain", "link", OUR_NAME]).arg(prefix);
    progress::step(
        &format!("linking {} as rustup toolchain {OUR_NAME}", prefix.display()),
        &mut cmd,
    )
}

fn is_same_directory(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_with_notes_and_spaces() {
        let text = "stable-x86_64-unknown-linux-gnu (active, default) /r/toolchains/stable\n\
                    nightly-2026-05-20-x86_64-unknown-linux-gnu\t/home/a b/nightly\n\
                    vxlan-bpf /usr\n\
                    no installed toolchains\n";
        let list = parse_list(text);
        let got: Vec<_> = list.iter().map(|t| (t.name.as_str(), t.path.as_path())).collect();
        assert_eq!(
            got,
            [
                ("stable-x86_64-unknown-linux-gnu", Path::new("/r/toolchains/stable")),
                ("nightly-2026-05-20-x86_64-unknown-linux-gnu", Path::new("/home/a b/nightly")),
                ("vxlan-bpf", Path::new("/usr")),
            ]
        );
        assert_eq!(
            list.iter().map(Toolchain::is_nightly).collect::<Vec<_>>(),
            [false, true, false]
        );
    }
}
