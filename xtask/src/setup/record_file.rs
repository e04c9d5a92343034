//! Writes the record of the BPF toolchain. Its format and its reading are in `record`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::record::{self, Record};

/// Writes the record, only when it differs: its age decides whether the BPF crate is built again.
pub(super) fn write(workspace: &Path, record: &Record) -> Result<()> {
    // One that cannot be read is replaced.
    if matches!(record::read(workspace), Ok(Some(old)) if old == *record) {
        return Ok(());
    }
    let text = format!(
        "# Written by `cargo xtask setup` for vxlan-user/build.rs. Describes this machine only.\n\
         {}",
        toml::to_string(record).context("the toolchain record does not fit into TOML")?
    );
    let file = workspace.join(record::FILE);
    // A build that runs meanwhile sees the old record or the new one, never half of one.
    let new = file.with_extension("toml.new");
    fs::write(&new, text).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, &file).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::SystemTime};

    use super::*;

    fn record() -> Record {
        Record {
            toolchain: Some("vxlan-bpf".into()),
            bin_dir: None,
            rustc: "rustc 1.96.0 (x)".into(),
            rustc_bootstrap: Some("aya_ebpf".into()),
            bpf_linker_dir: "/a \"quoted\" dir/bin".into(),
            promtool: None,
        }
    }

    struct Workspace(std::path::PathBuf);
    impl Workspace {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            fs::create_dir_all(dir.join(".cargo")).expect("temporary directory");
            Self(dir)
        }
        fn changed(&self) -> SystemTime {
            let meta = fs::metadata(self.0.join(record::FILE)).expect("the record is there");
            meta.modified().expect("a modification time")
        }
    }
    impl Drop for Workspace {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_record_comes_back_as_written() {
        let ws = Workspace::new("back");
        assert_eq!(record::read(&ws.0).expect("no record is no error"), None);
        write(&ws.0, &record()).expect("writes");
        assert_eq!(record::read(&ws.0).expect("reads"), Some(record()));
    }

    #[test]
    fn the_record_is_touched_only_when_it_changes() {
        let ws = Workspace::new("touch");
        write(&ws.0, &record()).expect("writes");
        let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        let file = File::options().append(true).open(ws.0.join(record::FILE)).expect("opens");
        file.set_modified(old).expect("sets the time");
        write(&ws.0, &record()).expect("writes");
        assert_eq!(ws.changed(), old);
        write(&ws.0, &Record { rustc: "rustc 1.97.0".into(), ..record() }).expect("writes");
        assert_ne!(ws.changed(), old);
    }

    #[test]
    fn a_record_of_another_shape_is_an_error_with_a_remedy() {
        let ws = Workspace::new("shape");
        fs::write(ws.0.join(record::FILE), "toolchain = 3\n").expect("writes");
        let err = format!("{:#}", record::read(&ws.0).expect_err("3 is no name"));
        assert!(err.contains("run `cargo xtask setup`"), "{err}");
        write(&ws.0, &record()).expect("replaces it");
        assert_eq!(record::read(&ws.0).expect("reads"), Some(record()));
    }
}
