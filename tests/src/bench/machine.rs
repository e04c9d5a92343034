//! What a run ran on, as far as a figure may depend on it.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::cmd;

/// The machine, the kernel, the tree and its compiler. What cannot be read is empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// As the kernel names the processor, and the hypervisor if there is one.
    pub cpu: String,
    pub hypervisor: String,
    pub cpus: usize,
    pub memory_mib: u64,
    pub kernel: String,
    /// What the kernel does against each flaw of the processor, where it does anything.
    pub mitigations: BTreeMap<String, String>,
    /// Of `net.core.bpf_jit_harden`.
    pub bpf_jit_harden: String,
    /// The load of the last minute, before the first bench.
    pub load: f64,
    /// Seconds since 1970, at the start.
    pub time: u64,
    /// Of the tree; ends in `-dirty` when files had been changed.
    pub commit: String,
    pub rustc: String,
}

impl Machine {
    /// Of this machine, now, and of the tree in this directory.
    pub fn read(tree: &Path) -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
        let load = fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
        let memory = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).context("a clock before 1970")?;
        Ok(Self {
            cpu: cpu_field(&cpuinfo, "model name"),
            hypervisor: if cpu_field(&cpuinfo, "flags").split(' ').any(|flag| flag == "hypervisor")
            {
                first_line("/sys/class/dmi/id/product_name")
                    .unwrap_or_else(|| "of unknown kind".into())
            } else {
                String::new()
            },
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: field(&memory, "MemTotal").and_then(kib).unwrap_or_default() / 1024,
            kernel: first_line("/proc/sys/kernel/osrelease").unwrap_or_default(),
            mitigations: mitigations(),
            bpf_jit_harden: first_line("/proc/sys/net/core/bpf_jit_harden").unwrap_or_default(),
            load: load.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default(),
            time: time.as_secs(),
            commit: output(tree, "git", &["describe", "--always", "--abbrev=12", "--dirty"]),
            rustc: output(tree, "rustc", &["--version"]),
        })
    }

    /// The day in UTC, as in 2026-11-27.
    pub fn day(&self) -> String {
        let (year, month, day) = civil(self.time / 86_400);
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// A field of the first processor.
fn cpu_field(cpuinfo: &str, name: &str) -> String {
    field(cpuinfo, name).unwrap_or_default().to_owned()
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    Some(pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name)?.1)
}

fn kib(value: &str) -> Option<u64> {
    value.strip_suffix(" kB")?.parse().ok()
}

fn mitigations() -> BTreeMap<String, String> {
    let entries = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten();
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let status = first_line(entry.path())?;
            let flaw = entry.file_name().into_string().ok()?;
            (status != "Not affected").then_some((flaw, status))
        })
        .collect()
}

fn first_line(path: impl AsRef<Path>) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

/// What a program prints; nothing where it cannot be run, as in a tree without git.
fn output(tree: &Path, program: &str, args: &[&str]) -> String {
    let text = cmd::run(Command::new(program).args(args).current_dir(tree)).unwrap_or_default();
    text.trim().to_owned()
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, chrono-Compatible
/// Low-Level Date Algorithms, `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_819, (2027, 1, 1)),
            (20_784, (2026, 11, 27)),
        ] {
            assert_eq!(civil(days), date);
        }
    }

    #[test]
    fn fields_are_read_by_their_whole_name() {
        let text = "model\t\t: 17\nmodel name\t: Some CPU\nMemTotal:    4096 kB\n";
        assert_eq!(field(text, "model name"), Some("Some CPU"));
        assert_eq!(field(text, "MemTotal").and_then(kib), Some(4096));
        assert_eq!(field(text, "name"), None);
    }

    #[test]
    fn this_machine_can_be_read() -> Result<()> {
        let machine = Machine::read(Path::new(env!("CARGO_MANIFEST_DIR")))?;
        assert!(machine.cpus > 0 && !machine.kernel.is_empty(), "{machine:?}");
        let text = serde_json::to_string(&machine)?;
        assert_eq!(serde_json::from_str::<Machine>(&text)?, machine);
        Ok(())
    }
}
