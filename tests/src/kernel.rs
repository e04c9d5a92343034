//! What the running kernel has, by the version that brought it: for tests of something that older
//! kernels do not have. A test that merely fails on one of them is no case for a gate.

use std::{fs, io::Write as _};

use anyhow::{Context as _, Result};

/// Something that not every kernel we support has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// BPF links at the TC hooks.
    Tcx,
    /// A verifier that goes through our programs as the newest ones do. Linux 6.1's counts four
    /// times as many instructions for `encap`, 6.12's does not; which change between them it was is
    /// not known.
    RecentVerifier,
    /// A veth pair whose sender waits when the other end does not keep up, if it has a queue.
    VethBackpressure,
    /// A vxlan device that counts headers it refuses as `rx_errors`.
    CountedHeaders,
}

impl Feature {
    /// What it is, the version that brought it, and the commit.
    const fn origin(self) -> (&'static str, Version, &'static str) {
        match self {
            Self::Tcx => ("TCX links", Version(6, 6), "e420bed02507"),
            Self::RecentVerifier => ("a recent verifier", Version(6, 12), "no single commit"),
            Self::VethBackpressure => ("veth that waits", Version(6, 16), "dc82a33297fc"),
            Self::CountedHeaders => (
                "a vxlan device that counts refused headers",
                Version(6, 14),
                "vxlan: Bump error counters for header mismatches",
            ),
        }
    }
}

/// Major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    /// Of what `uname -r` says, as in `6.12.117+deb12-cloud-amd64`.
    fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

/// True when the running kernel has it.
pub fn has(feature: Feature) -> Result<bool> {
    let release = release()?;
    let running = Version::parse(&release).with_context(|| format!("a kernel called {release}"))?;
    Ok(running >= feature.origin().1)
}

/// For the begin of a test: false when there is nothing to test on this kernel, which is then said
/// on standard error, past what catches the output of tests. `cargo xtask vm` counts those lines.
pub fn needs(feature: Feature) -> Result<bool> {
    if has(feature)? {
        return Ok(true);
    }
    let (name, Version(major, minor), commit) = feature.origin();
    left_out(&format!("needs {name}, Linux {major}.{minor} ({commit}); this is {}", release()?));
    Ok(false)
}

/// Says why a test has nothing to test here.
pub fn left_out(why: &str) {
    // Nobody to tell when this fails.
    let _ = writeln!(std::io::stderr().lock(), "left out: {why}");
}

fn release() -> Result<String> {
    const FILE: &str = "/proc/sys/kernel/osrelease";
    Ok(fs::read_to_string(FILE).with_context(|| format!("reading {FILE}"))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(Version::parse("6.12.117+deb12-cloud-amd64"), Some(Version(6, 12)));
        assert_eq!(Version::parse("6.1.0-56-cloud-amd64"), Some(Version(6, 1)));
        assert_eq!(Version::parse("7.0-rc1"), Some(Version(7, 0)));
        assert!(Version(6, 12) > Version(6, 6) && Version(6, 6) > Version(6, 1));
        assert_eq!(Version::parse("linux"), None);
    }

    #[test]
    fn the_running_kernel_has_a_version() -> Result<()> {
        has(Feature::Tcx).map(drop)
    }
}
