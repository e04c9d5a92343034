//! What is in the guest's root: tools, modules, the suites, the files of this tree that they read.
//! How an archive is written belongs to `cpio`, what runs in the guest to `guest`.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::{cpio::Archive, kernel::Kernel, modules, programs};
use crate::{paths, required};

/// What the suites call when it is there, besides the tools of the lab and busybox's.
const TOOLS: [&str; 15] = [
    "bash", "bridge", "capsh", "date", "grep", "ls", "modprobe", "nsenter", "prlimit", "setpriv",
    "ss", "stat", "tc", "timeout", "unshare",
];
/// Directories of this tree, copied to the same path: suites read them at run time.
const TREE: [&str; 2] = ["deploy", "docs"];
/// Files of this machine, copied where they exist.
const ETC: [&str; 3] = ["/etc/protocols", "/etc/services", "/etc/ethertypes"];
/// Users that programs change to.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\ntcpdump:x:100:100::/:/bin/false\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\ntcpdump:x:100:\nnogroup:x:65534:\n";

/// What the initramfs of a guest is made of.
pub(crate) struct Contents<'a> {
    pub(crate) kernel: &'a Kernel,
    /// Path in the guest, and the program.
    pub(crate) programs: &'a [(String, PathBuf)],
    /// The script that the kernel starts.
    pub(crate) init: &'a str,
}

/// The initramfs, as a file that has no name and goes with its last descriptor.
pub(crate) fn make(contents: &Contents<'_>, cache: &Path) -> Result<File> {
    let mut archive = Archive::new(nameless(cache)?)?;
    archive.bytes("/init", 0o755, contents.init.as_bytes())?;
    for dir in ["/dev", "/proc", "/sys", "/run", "/tmp", "/root", "/var", "/etc"] {
        archive.directory(dir)?;
    }
    for (path, text) in [
        ("/etc/passwd", PASSWD),
        ("/etc/group", GROUP),
        ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ] {
        archive.bytes(path, 0o644, text.as_bytes())?;
    }
    for file in ETC.map(Path::new).into_iter().filter(|file| file.exists()) {
        archive.file(&file.to_string_lossy(), file)?;
    }
    tools(&mut archive)?;
    for (path, program) in contents.programs {
        programs::put_file(&mut archive, path, program)?;
    }
    for dir in TREE {
        tree(&mut archive, &paths::workspace().join(dir))?;
    }
    modules::put(&mut archive, contents.kernel)?;
    finish(archive)
}

/// The smallest one: busybox, which runs `init`.
pub(crate) fn smallest(init: &str, cache: &Path) -> Result<File> {
    let mut archive = Archive::new(nameless(cache)?)?;
    archive.bytes("/init", 0o755, init.as_bytes())?;
    archive.directory("/dev")?;
    ensure!(programs::put(&mut archive, "busybox")?, "no busybox in PATH");
    finish(archive)
}

fn nameless(dir: &Path) -> Result<BufWriter<File>> {
    let file = tempfile::tempfile_in(dir);
    let file = file.with_context(|| format!("making a file in {}", dir.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

fn finish(archive: Archive<BufWriter<File>>) -> Result<File> {
    let file = archive.finish()?.into_inner().map_err(|error| error.into_error());
    file.context("writing the initramfs")
}

fn tools<W: Write>(archive: &mut Archive<W>) -> Result<()> {
    for tool in required::lab_tools() {
        ensure!(programs::put(archive, tool)?, "no {tool} in PATH: run `cargo xtask setup`");
    }
    for tool in TOOLS {
        programs::put(archive, tool)?;
    }
    // The kernel runs this path to load modules.
    archive.symlink("/sbin/modprobe", "/usr/bin/modprobe")?;
    archive.symlink("/bin/sh", "bash")?;
    ensure!(programs::put(archive, "busybox")?, "no busybox in PATH");
    for applet in applets()? {
        archive.symlink(&format!("/usr/bin/{applet}"), "busybox")?;
    }
    faketime(archive)
}

fn applets() -> Result<Vec<String>> {
    let busybox = paths::which("busybox").context("no busybox in PATH")?;
    let out = std::process::Command::new(busybox).arg("--list").output()?;
    Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
}

/// The library that `tests/src/clock.rs` looks for: nothing is linked to it.
fn faketime<W: Write>(archive: &mut Archive<W>) -> Result<()> {
    let found = fs::read_dir("/usr/lib")?.filter_map(Result::ok).map(|entry| entry.path());
    for library in found.map(|dir| dir.join("faketime/libfaketime.so.1")).filter(|f| f.is_file()) {
        programs::put_file(archive, &library.to_string_lossy(), &library)?;
    }
    Ok(())
}

/// Every file below `dir`, at its path.
fn tree<W: Write>(archive: &mut Archive<W>, dir: &Path) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            tree(archive, &path)?;
        } else {
            archive.file(&path.to_string_lossy(), &path)?;
        }
    }
    Ok(())
}
