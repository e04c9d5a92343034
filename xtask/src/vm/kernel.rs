//! The kernels: Debian's cloud kernels, fetched with apt, unpacked into our cache, never installed.
//! What is in the cache is used as it is, also without a network; a newer one comes when its
//! directory is removed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{apt, progress};

/// A series of kernels; which of its releases is taken depends on what apt has on the day of the
/// first run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Series {
    /// Debian 12's.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's, and for Debian 12 from its backports.
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    pub(crate) const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }
}

/// A kernel in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) series: Series,
    /// As `uname -r` prints it.
    pub(crate) release: String,
    /// The image that boots.
    pub(crate) image: PathBuf,
    /// The root of its modules: `lib/modules/RELEASE` is below.
    pub(crate) tree: PathBuf,
}

impl Kernel {
    pub(crate) fn modules(&self) -> PathBuf {
        self.tree.join("lib/modules").join(&self.release)
    }
}

/// The kernel of that series, from the cache or from apt.
pub(crate) fn ensure(series: Series, cache: &Path) -> Result<Kernel> {
    let dir = cache.join("kernels").join(series.name());
    if let Some(kernel) = in_cache(series, &dir) {
        return Ok(kernel);
    }
    let package = package(series)?;
    let work = cache.join("kernels").join(format!("{}.unpack", series.name()));
    let tree = apt::unpack(&package, &format!("the {} guest", series.name()), &work)?;
    // A package for a root where `/lib` is a link has it below `/usr`.
    if !tree.join("lib/modules").is_dir() {
        fs::create_dir_all(tree.join("lib"))?;
        fs::rename(tree.join("usr/lib/modules"), tree.join("lib/modules"))
            .with_context(|| format!("{package} holds no modules"))?;
    }
    for more in ["usr", "boot/System.map"] {
        // Documentation, and symbols that nobody reads.
        let _ = fs::remove_dir_all(tree.join(more));
    }
    let kernel = in_cache(series, &tree)
        .with_context(|| format!("{package} holds no kernel of the shape that is known here"))?;
    let mut depmod = Command::new("depmod");
    depmod.arg("-b").arg(&kernel.tree).arg(&kernel.release);
    progress::step("listing what its modules need (depmod)", &mut depmod)?;

    // Last, so that a half-made one is never found under this name.
    let _ = fs::remove_dir_all(&dir);
    fs::rename(&tree, &dir).with_context(|| format!("cannot create {}", dir.display()))?;
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    in_cache(series, &dir).with_context(|| format!("{} is gone", dir.display()))
}

/// The kernel unpacked in `tree`, when all of it is there.
fn in_cache(series: Series, tree: &Path) -> Option<Kernel> {
    let entries = fs::read_dir(tree.join("boot")).ok()?.filter_map(Result::ok);
    let name = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .find_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned))?;
    let kernel = Kernel {
        series,
        image: tree.join("boot").join(format!("vmlinuz-{name}")),
        release: name,
        tree: tree.to_owned(),
    };
    kernel.modules().is_dir().then_some(kernel)
}

/// The package with the newest kernel of that series that apt can fetch.
fn package(series: Series) -> Result<String> {
    let prefix = format!("linux-image-{}.", series.name());
    if !apt::available() {
        bail!(
            "no {} kernel in the cache, and only apt of Debian has one: run this on Debian once, \
             or unpack the package {prefix}…-cloud-amd64 into kernels/{} there",
            series.name(),
            series.name()
        );
    }
    let mut found: Vec<_> =
        apt::names(&prefix).into_iter().filter_map(|name| Some((version(&name)?, name))).collect();
    found.sort();
    let newest =
        found.into_iter().rev().map(|(_, name)| name).find(|name| apt::has_candidate(name));
    newest.with_context(|| {
        format!(
            "apt has no package {prefix}…-cloud-amd64: 6.1 is Debian 12's kernel, 6.12 Debian \
             13's (and in bookworm-security); is that in /etc/apt/sources.list?"
        )
    })
}

/// The numbers in a cloud kernel's package name, to sort by: [6, 1, 0, 56] of
/// `linux-image-6.1.0-56-cloud-amd64`, [6, 12, 117, 12] of
/// `…-6.12.117+deb12-cloud-amd64-unsigned`.
/// Nothing for other packages. Signed or not, the kernel is the same.
fn version(package: &str) -> Option<Vec<u32>> {
    let rest = package.strip_prefix("linux-image-")?;
    let rest = rest.strip_suffix("-unsigned").unwrap_or(rest).strip_suffix("-cloud-amd64")?;
    let numbers: Vec<u32> = rest
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().ok())
        .collect::<Option<_>>()?;
    // `linux-image-6.12-cloud-amd64` is only a name for whichever is newest.
    (numbers.len() >= 3).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_sorted_by_their_numbers() {
        let of = |name: &str| version(&format!("linux-image-{name}"));
        assert_eq!(of("6.1.0-56-cloud-amd64"), Some(vec![6, 1, 0, 56]));
        assert_eq!(of("6.12.117+deb12-cloud-amd64-unsigned"), Some(vec![6, 12, 117, 12]));
        assert!(of("6.12.90+deb12-cloud-amd64") < of("6.12.117+deb12-cloud-amd64"));
        for other in
            ["6.12-cloud-amd64", "6.1.0-56-amd64", "6.1.0-56-cloud-amd64-dbg", "cloud-amd64"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_half_unpacked_kernel_is_none() {
        let dir = std::env::temp_dir().join(format!("xtask-kernel-{}", std::process::id()));
        let boot = dir.join("boot");
        fs::create_dir_all(&boot).expect("temporary directory");
        assert!(in_cache(Series::V6_1, &dir).is_none());
        fs::write(boot.join("vmlinuz-6.1.0-x"), "").expect("writes");
        assert!(in_cache(Series::V6_1, &dir).is_none());
        fs::create_dir_all(dir.join("lib/modules/6.1.0-x")).expect("modules");
        let kernel = in_cache(Series::V6_1, &dir).expect("now it is whole");
        assert_eq!(kernel.release, "6.1.0-x");
        assert!(kernel.image.ends_with("boot/vmlinuz-6.1.0-x"));
        fs::remove_dir_all(&dir).expect("removes");
    }
}
