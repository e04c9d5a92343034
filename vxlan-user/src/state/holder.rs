//! Which process holds the lock of a run directory, and how to end it.

use std::{fs, path::Path};

/// The holder of a lock, as far as the kernel tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holder {
    /// Absent: it is in another PID namespace, or no process of its own.
    pid: Option<u32>,
    /// The name of its program, cut off by the kernel after 15 bytes.
    name: Option<String>,
    /// The unit of systemd that it is the main process of.
    unit: Option<String>,
}

impl Holder {
    pub(super) fn find(pid: Option<u32>) -> Self {
        let Some(id) = pid else { return Self::default() };
        let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).ok();
        let name = read("comm").map(|name| name.trim_end().to_owned());
        let unit = read("cgroup").zip(read("status"));
        Self { pid, name, unit: unit.and_then(|(cgroup, status)| unit_of(&cgroup, &status)) }
    }

    /// Returns the sentence for whoever wanted the lock.
    pub(super) fn describe(&self, run_dir: &Path, lock: &Path) -> String {
        let (run_dir, lock) = (run_dir.display(), lock.display());
        match self {
            Self { pid: None, .. } => format!(
                "{lock} is locked by a process that cannot be named from here: a daemon in another \
                 container? Stop it first, or name another --run-dir"
            ),
            Self { pid: Some(pid), name: Some(name), .. } if !is_ours(name) => format!(
                "{lock} is locked by process {pid} ({name}), which is no daemon of ours. Wait \
                 until it has ended, or end it"
            ),
            Self { pid: Some(pid), unit, .. } => {
                let stop = match unit {
                    Some(unit) => format!("systemctl stop {unit}"),
                    None => format!("kill {pid}"),
                };
                format!(
                    "a daemon is running already in {run_dir} (process {pid}). Stop it first, for \
                     example with `{stop}`"
                )
            }
        }
    }
}

/// Returns whether a program of this name is this program.
fn is_ours(name: &str) -> bool {
    let own = fs::read_to_string("/proc/self/comm").unwrap_or_default();
    name == "vxlan" || name == own.trim_end()
}

/// Returns the unit that a process is the main process of: systemd has started it, and would start
/// it again.
fn unit_of(cgroup: &str, status: &str) -> Option<String> {
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    let unit = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?.rsplit('/').next()?;
    (parent.trim() == "1" && unit.ends_with(".service")).then(|| unit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(holder: &Holder) -> String {
        holder.describe(Path::new("/run/vxlan"), Path::new("/run/vxlan/lock"))
    }

    #[test]
    fn the_holder_is_named_with_how_to_end_it() {
        let holder = |pid, name: &str, unit: Option<&str>| Holder {
            pid,
            name: Some(name.to_owned()),
            unit: unit.map(str::to_owned),
        };
        assert_eq!(
            described(&holder(Some(7), "vxlan", None)),
            "a daemon is running already in /run/vxlan (process 7). Stop it first, for example \
             with `kill 7`"
        );
        let unit = described(&holder(Some(7), "vxlan", Some("vxlan.service")));
        assert!(unit.ends_with("with `systemctl stop vxlan.service`"), "{unit}");
        let foreign = described(&holder(Some(7), "backup", None));
        assert!(foreign.contains("process 7 (backup), which is no daemon of ours"), "{foreign}");
        let nobody = described(&Holder::default());
        assert!(nobody.contains("/run/vxlan/lock is locked by a process that"), "{nobody}");
    }

    #[test]
    fn a_unit_is_named_only_of_its_main_process() {
        let of = |cgroup, parent| unit_of(cgroup, &format!("Name:\tvxlan\nPPid:\t{parent}\n"));
        let service = "0::/system.slice/vxlan.service\n";
        assert_eq!(of(service, 1).as_deref(), Some("vxlan.service"));
        assert_eq!(of(service, 70), None, "started by another program of that unit");
        assert_eq!(of("0::/user.slice/session-1.scope\n", 1), None);
        assert_eq!(of("", 1), None);
    }
}
