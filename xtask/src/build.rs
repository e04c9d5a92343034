//! Builds what the other verbs run: the `vxlan` binary, the one with other layouts, the test
//! binaries.
//!
//! Each with the same flags as `cargo test --workspace`, so that nothing is built twice. What is
//! built is read from cargo's messages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{Artifact, Message};

use crate::{cargo::cargo, progress};

/// A test binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestBinary {
    /// The package, as cargo identifies it: with the path of its directory.
    pub(crate) package: String,
    pub(crate) name: String,
    pub(crate) program: PathBuf,
}

/// Builds the `vxlan` binary for tests and returns its path.
pub(crate) fn vxlan() -> Result<PathBuf> {
    let args = ["build", "--workspace", "--bin", "vxlan"];
    executable("building the vxlan binary", &args)
}

/// Builds the optimized `vxlan` binary, as it is installed on a host, and returns its path.
pub(crate) fn release() -> Result<PathBuf> {
    let args = ["build", "--release", "--package", "vxlan-user", "--bin", "vxlan"];
    executable("building the vxlan binary (some minutes, the first time)", &args)
}

/// Builds the optimized `vxlan` binary with its debug information, and returns its path.
pub(crate) fn dist() -> Result<PathBuf> {
    let args = ["build", "--profile", "dist", "--package", "vxlan-user", "--bin", "vxlan"];
    executable("building the vxlan binary with debug information (some minutes)", &args)
}

/// Builds the version that migrations are tested with. The binary is copied to another name: cargo
/// builds both to one.
pub(crate) fn vxlan_with_other_layout() -> Result<PathBuf> {
    let args = ["build", "--workspace", "--bin", "vxlan", "--features", "vxlan-user/other-layout"];
    let built = executable("building a vxlan binary with other layouts to migrate to", &args)?;
    let copy = built.with_file_name("vxlan-other-layout");
    fs::copy(&built, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}

/// Builds the test binaries of all packages: unit tests and suites.
pub(crate) fn tests() -> Result<Vec<TestBinary>> {
    let artifacts = artifacts("building the suites", &["test", "--workspace", "--no-run"])?;
    let found: Vec<_> = artifacts.iter().filter_map(test_binary).collect();
    ensure!(!found.is_empty(), "cargo named no test binary");
    Ok(found)
}

/// Builds the benchmarks, optimized, and returns the path of their program.
pub(crate) fn benchmarks() -> Result<PathBuf> {
    let args = ["bench", "--package", "vxlan-tests", "--bench", "link", "--no-run"];
    let artifacts = artifacts("building the benchmarks (some minutes, the first time)", &args)?;
    let found = artifacts.iter().find_map(|artifact| {
        let program = artifact.executable.as_ref()?;
        artifact.target.is_bench().then(|| program.clone().into_std_path_buf())
    });
    found.context("cargo named no benchmark")
}

fn test_binary(artifact: &Artifact) -> Option<TestBinary> {
    let program = artifact.executable.as_ref()?;
    artifact.target.is_test().then(|| TestBinary {
        package: artifact.package_id.repr.clone(),
        name: artifact.target.name.clone(),
        program: program.clone().into_std_path_buf(),
    })
}

fn executable(what: &str, args: &[&str]) -> Result<PathBuf> {
    let artifacts = artifacts(what, args)?;
    let found = artifacts.iter().find_map(vxlan_executable);
    Ok(found.context("cargo named no executable `vxlan`")?.to_owned())
}

fn vxlan_executable(artifact: &Artifact) -> Option<&Path> {
    let executable = artifact.executable.as_ref()?;
    (artifact.target.name == "vxlan").then(|| executable.as_std_path())
}

fn artifacts(what: &str, args: &[&str]) -> Result<Vec<Artifact>> {
    let mut cmd = cargo();
    cmd.args(args).arg("--message-format=json-render-diagnostics");
    artifacts_in(&progress::step_with_stdout(what, &mut cmd)?)
}

/// The artifacts among cargo's messages, one JSON object a line.
fn artifacts_in(messages: &[u8]) -> Result<Vec<Artifact>> {
    let mut found = Vec::new();
    for message in Message::parse_stream(messages) {
        // The other kinds: diagnostics, which cargo has rendered, and the end of the build.
        if let Message::CompilerArtifact(artifact) = message.context("reading cargo's messages")? {
            found.push(artifact);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(package: &str, kind: &str, name: &str, executable: Option<&str>) -> String {
        let executable = executable.map_or("null".to_owned(), |path| format!("\"{path}\""));
        format!(
            "{{\"reason\":\"compiler-artifact\",\"package_id\":\"path+file:///w/{package}\",\
             \"target\":{{\"kind\":[\"{kind}\"],\"crate_types\":[\"bin\"],\"name\":\"{name}\",\
             \"src_path\":\"/w/x.rs\",\"edition\":\"2024\",\"doctest\":false,\"test\":true}},\
             \"profile\":{{\"opt_level\":\"1\",\"debuginfo\":2,\"debug_assertions\":true,\
             \"overflow_checks\":true,\"test\":true}},\"features\":[],\"filenames\":[],\
             \"executable\":{executable},\"fresh\":true}}\n"
        )
    }

    #[test]
    fn the_executable_is_read_from_cargos_messages() -> Result<()> {
        let text = [
            message("vxlan-user#0.1.0", "custom-build", "build-script-build", Some("/no")),
            message("vxlan-user#0.1.0", "lib", "vxlan_user", None),
            "not json\n".to_owned(),
            message("vxlan-user#0.1.0", "bin", "vxlan", Some("/t/debug/vxlan")),
            "{\"reason\":\"build-finished\",\"success\":true}\n".to_owned(),
        ];
        let artifacts = artifacts_in(text.concat().as_bytes())?;
        let found: Vec<_> = artifacts.iter().filter_map(vxlan_executable).collect();
        assert_eq!(found, [Path::new("/t/debug/vxlan")]);
        Ok(())
    }

    #[test]
    fn test_binaries_are_those_of_suites() -> Result<()> {
        let text = [
            message("tests#vxlan-tests@0.1.0", "test", "nat", Some("/t/nat-1")),
            message("tests#vxlan-tests@0.1.0", "lib", "vxlan_tests", Some("/t/vxlan_tests-1")),
            message("vxlan-user#0.1.0", "bin", "vxlan", Some("/t/vxlan-1")),
        ];
        let artifacts = artifacts_in(text.concat().as_bytes())?;
        let found: Vec<_> = artifacts.iter().filter_map(test_binary).collect();
        let expected = TestBinary {
            package: "path+file:///w/tests#vxlan-tests@0.1.0".into(),
            name: "nat".into(),
            program: "/t/nat-1".into(),
        };
        assert_eq!(found, [expected]);
        Ok(())
    }
}
