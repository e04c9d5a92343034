//! Writes an initramfs: a cpio archive in the "newc" format, which the kernel unpacks at boot
//! (Documentation/driver-api/early-userspace/buffer-format.rst). Knows nothing of what is in it.
//!
//! Directories come by themselves, a path is written once, and the old top-level directories of
//! programs and libraries are links into `/usr`, as on every current distribution.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_777;
/// Each is a link to the directory of the same name below `/usr`.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

pub(crate) struct Archive<W> {
    to: W,
    written: BTreeSet<String>,
    inode: u32,
}

impl<W: Write> Archive<W> {
    /// An archive with the directories that every root has.
    pub(crate) fn new(to: W) -> Result<Self> {
        let mut archive = Self { to, written: BTreeSet::new(), inode: 0 };
        for name in MERGED {
            archive.directory(&format!("/usr/{name}"))?;
            archive.symlink(&format!("/{name}"), &format!("usr/{name}"))?;
        }
        Ok(archive)
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.written.contains(&name(path))
    }

    /// A directory, with those above it.
    pub(crate) fn directory(&mut self, path: &str) -> Result<()> {
        let name = name(path);
        for (end, _) in name.match_indices('/').chain([(name.len(), "")]) {
            let dir = &name[..end];
            if !dir.is_empty() && self.written.insert(dir.to_owned()) {
                self.entry(dir, DIRECTORY, b"")?;
            }
        }
        Ok(())
    }

    /// A file with these bytes and permissions; nothing when the path is there already.
    pub(crate) fn bytes(&mut self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.once(path, FILE | mode & 0o777, data)
    }

    /// The file `from` of this machine, with permission to run it.
    pub(crate) fn file(&mut self, path: &str, from: &Path) -> Result<()> {
        if self.contains(path) {
            return Ok(());
        }
        let data = std::fs::read(from).with_context(|| format!("reading {}", from.display()))?;
        self.bytes(path, 0o755, &data)
    }

    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.once(path, SYMLINK, target.as_bytes())
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, b"")?;
        self.to.flush().context("writing the initramfs")?;
        Ok(self.to)
    }

    fn once(&mut self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        let name = name(path);
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.directory(parent)?;
        }
        if self.written.insert(name.clone()) { self.entry(&name, mode, data) } else { Ok(()) }
    }

    fn entry(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        let size = u32::try_from(data.len()).ok();
        ensure!(size.is_some(), "{name} has 4 GiB or more, which a cpio archive has no room for");
        write_entry(&mut self.to, self.inode, name, mode, size.unwrap_or_default(), data)
            .context("writing the initramfs")?;
        self.inode += 1;
        Ok(())
    }
}

/// Thirteen numbers of eight hexadecimal digits after the magic one, the name, the data; both
/// padded to a multiple of four.
fn write_entry(
    to: &mut impl Write,
    inode: u32,
    name: &str,
    mode: u32,
    size: u32,
    data: &[u8],
) -> io::Result<()> {
    let name_size = name.len() + 1;
    let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
    write!(to, "070701{inode:08X}{mode:08X}{0:08X}{0:08X}{links:08X}{0:08X}{size:08X}", 0)?;
    write!(to, "{0:08X}{0:08X}{0:08X}{0:08X}{name_size:08X}{0:08X}", 0)?;
    to.write_all(name.as_bytes())?;
    to.write_all(&[0; 4][..1 + padding(HEADER + name_size)])?;
    to.write_all(data)?;
    to.write_all(&[0; 4][..padding(data.len())])
}

const HEADER: usize = 110;

fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

/// The name in the archive: no slash in front, and below `usr` what is there.
fn name(path: &str) -> String {
    let path = path.trim_matches('/');
    match path.split_once('/') {
        Some((top, _)) if MERGED.contains(&top) => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and data of every entry.
    fn entries(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut at = 0;
        loop {
            let field = |number: usize| {
                let from = at + 6 + 8 * number;
                let text = std::str::from_utf8(&bytes[from..from + 8]).expect("digits");
                u32::from_str_radix(text, 16).expect("hexadecimal")
            };
            assert_eq!(&bytes[at..at + 6], b"070701");
            let (size, name_size) = (field(6) as usize, field(11) as usize);
            let start = at + HEADER;
            let name = std::str::from_utf8(&bytes[start..start + name_size - 1]).expect("text");
            assert_eq!(bytes[start + name_size - 1], 0);
            let data = (start + name_size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                assert_eq!(data, bytes.len());
                return found;
            }
            found.push((name.to_owned(), field(1), bytes[data..data + size].to_vec()));
            at = (data + size).next_multiple_of(4);
        }
    }

    #[test]
    fn an_archive_reads_back() -> Result<()> {
        let mut archive = Archive::new(Vec::new())?;
        archive.bytes("/init", 0o755, b"#!/bin/sh\n")?;
        archive.bytes("/etc/deep/er/file", 0o644, b"12345")?;
        archive.bytes("/etc/deep/er/file", 0o644, b"again")?;
        archive.directory("/etc/deep")?;
        archive.bytes("/lib/x/y.so", 0o755, b"")?;
        archive.symlink("/bin/sh", "bash")?;
        assert!(archive.contains("/usr/bin/sh") && archive.contains("/bin/sh"));
        let found = entries(&archive.finish()?);
        let tail: Vec<_> =
            found.iter().skip(9).map(|(name, mode, data)| (&**name, *mode, &**data)).collect();
        let expected: [(&str, u32, &[u8]); 8] = [
            ("init", 0o100_755, b"#!/bin/sh\n"),
            ("etc", 0o040_755, b""),
            ("etc/deep", 0o040_755, b""),
            ("etc/deep/er", 0o040_755, b""),
            ("etc/deep/er/file", 0o100_644, b"12345"),
            ("usr/lib/x", 0o040_755, b""),
            ("usr/lib/x/y.so", 0o100_755, b""),
            ("usr/bin/sh", 0o120_777, b"bash"),
        ];
        assert_eq!(tail, expected);
        assert_eq!((&*found[0].0, found[0].1), ("usr", 0o040_755));
        assert_eq!((&*found[2].0, &*found[2].2), ("bin", &b"usr/bin"[..]));
        Ok(())
    }
}
