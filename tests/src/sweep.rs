//! Removes what dead runs left behind: processes in their namespaces, the namespaces, the mounts
//! and the directories. A run is dead when nobody holds the lock on its owner file.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    path::Path,
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::{
    bpffs, netns,
    run_names::{LAB, OWNER, ROOT, TEST},
};

/// Removes everything of every dead run, and returns the prefixes it removed.
pub fn sweep() -> Result<Vec<String>> {
    let _gate = gate()?;
    let mut removed = Vec::new();
    for prefix in prefixes()? {
        if live_owner(&prefix)?.is_none() {
            remove(&prefix).with_context(|| format!("sweeping the dead run {prefix}"))?;
            removed.push(prefix);
        }
    }
    Ok(removed)
}

/// Serializes sweeping and the birth of runs. Released when the result is dropped.
pub(crate) fn gate() -> Result<Flock<File>> {
    fs::create_dir_all(ROOT).with_context(|| format!("creating {ROOT}"))?;
    let path = Path::new(ROOT).join("gate");
    let file = OpenOptions::new().create(true).append(true).open(&path)?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("locking {}", path.display()))
}

/// The process that owns the run, if it lives.
pub(crate) fn live_owner(prefix: &str) -> Result<Option<String>> {
    let path = Path::new(ROOT).join(prefix).join(OWNER);
    let Ok(file) = File::open(&path) else { return Ok(None) };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(None),
        Err((_, Errno::EWOULDBLOCK)) => Ok(Some(fs::read_to_string(&path)?)),
        Err((_, errno)) => Err(errno).with_context(|| format!("locking {}", path.display())),
    }
}

/// Prefixes seen as directories of runs or in the names of namespaces.
fn prefixes() -> Result<BTreeSet<String>> {
    let mut found: BTreeSet<String> =
        entries(Path::new(ROOT))?.iter().filter_map(|name| prefix_of(name)).collect();
    found.extend(entries(Path::new(netns::DIR))?.iter().filter_map(|name| prefix_of(name)));
    Ok(found)
}

/// `vxt-<pid>-<n>` of `vxt-<pid>-<n>[-role]`, `vxlab` of `vxlab[-role]`, nothing of other names.
fn prefix_of(name: &str) -> Option<String> {
    let mut words = name.split('-');
    match words.next()? {
        LAB => Some(LAB.to_owned()),
        TEST => {
            let (pid, number): (u32, u32) =
                (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(format!("{TEST}-{pid}-{number}"))
        }
        _ => None,
    }
}

fn remove(prefix: &str) -> Result<()> {
    for name in entries(Path::new(netns::DIR))? {
        if prefix_of(&name).as_deref() == Some(prefix) {
            netns::delete(&name)?;
        }
    }
    let dir = Path::new(ROOT).join(prefix);
    bpffs::unmount(&dir.join("bpf"))?;
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    Ok(())
}

/// Names in a directory; none when there is no such directory.
fn entries(dir: &Path) -> Result<Vec<String>> {
    let Ok(listing) = fs::read_dir(dir) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in listing {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::prefix_of;

    #[test]
    fn only_names_of_ours_have_a_prefix() {
        assert_eq!(prefix_of("vxt-12-3-gcp-router").as_deref(), Some("vxt-12-3"));
        assert_eq!(prefix_of("vxt-12-3").as_deref(), Some("vxt-12-3"));
        assert_eq!(prefix_of("vxlab-aws").as_deref(), Some("vxlab"));
        for foreign in ["vxt-12", "vxt-x-3-gcp", "vxlabor-aws", "gate", "cni-1234"] {
            assert_eq!(prefix_of(foreign), None, "{foreign}");
        }
    }
}
