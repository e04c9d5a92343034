//! Programs of this machine for the guest: with their libraries, the test binaries without their
//! debugging information. Which ones is decided in `initramfs`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::cpio::Archive;
use crate::paths;

/// Puts `program` of this machine's `PATH` where the guest's `PATH` finds it; false when there is
/// none.
pub(crate) fn put<W: Write>(archive: &mut Archive<W>, program: &str) -> Result<bool> {
    let Some(file) = paths::which(program) else { return Ok(false) };
    put_file(archive, &format!("/usr/bin/{program}"), &file)?;
    Ok(true)
}

/// Puts the program or library `from`, and the libraries it needs, at their paths.
pub(crate) fn put_file<W: Write>(archive: &mut Archive<W>, path: &str, from: &Path) -> Result<()> {
    if archive.contains(path) {
        return Ok(());
    }
    archive.file(path, from)?;
    for library in libraries(from)? {
        let name = library.to_string_lossy();
        archive.file(&name, &library)?;
    }
    Ok(())
}

/// The libraries and the loader of a program; none for a static one or a script.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let out = Command::new("ldd")
        .env("LC_ALL", "C")
        .arg(program)
        .output()
        .context("cannot start ldd, which belongs to the C library")?;
    let text = String::from_utf8_lossy(&out.stdout);
    if let Some(missing) = missing_in(&text) {
        bail!("{} needs {missing}, which is not here", program.display());
    }
    Ok(libraries_in(&text))
}

/// Every path in what `ldd` prints: `libc.so.6 => /lib/…/libc.so.6 (0x…)`, `/lib64/ld-….so.2
/// (0x…)`.
fn libraries_in(ldd: &str) -> Vec<PathBuf> {
    ldd.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn missing_in(ldd: &str) -> Option<&str> {
    ldd.lines().find_map(|line| line.trim().strip_suffix(" => not found"))
}

/// A copy of `program` in `work` without debugging information: a tenth of the size.
pub(crate) fn stripped(program: &Path, work: &Path) -> Result<PathBuf> {
    let name = program.file_name().context("a program without a name")?;
    let copy = work.join(name);
    let mut strip = Command::new("strip");
    let out = strip.arg("--strip-debug").arg("-o").arg(&copy).arg(program).output();
    let out = out.context("cannot start strip, which belongs to binutils")?;
    ensure!(
        out.status.success() && fs::metadata(&copy).is_ok(),
        "strip {} ended with {}: {}",
        program.display(),
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f5e)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f5f)\n";
        let expected =
            ["/lib/x86_64-linux-gnu/libmnl.so.0", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries_in(text), expected);
        assert_eq!(missing_in(text), None);
        assert_eq!(libraries_in("\tstatically linked\n"), Vec::<PathBuf>::new());
        assert_eq!(missing_in("\tlibbpf.so.1 => not found\n"), Some("libbpf.so.1"));
    }

    #[test]
    fn this_program_has_libraries_that_exist() -> Result<()> {
        let found = libraries(&std::env::current_exe()?)?;
        assert!(found.iter().all(|file| file.is_file()), "{found:?}");
        Ok(())
    }
}
