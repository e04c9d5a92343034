//! Which capabilities the program lacks. Owns the list of what is needed and nothing else.

use caps::{CapSet, Capability, CapsHashSet};

/// The capabilities that are needed and not effective in this thread, as a user would write them.
///
/// Before Linux 5.8 CAP_SYS_ADMIN stood for CAP_BPF and CAP_PERFMON; it still implies both.
#[must_use]
pub fn missing() -> Vec<&'static str> {
    // A kernel that does not say what we have is treated as having given us nothing: the message
    // that follows is then at worst too cautious.
    missing_from(&caps::read(None, CapSet::Effective).unwrap_or_default())
}

fn missing_from(effective: &CapsHashSet) -> Vec<&'static str> {
    let has = |capability| effective.contains(&capability);
    let admin = has(Capability::CAP_SYS_ADMIN);
    let needed = [
        ("CAP_NET_ADMIN", has(Capability::CAP_NET_ADMIN)),
        ("CAP_NET_RAW", has(Capability::CAP_NET_RAW)),
        ("CAP_BPF", admin || has(Capability::CAP_BPF)),
        ("CAP_PERFMON", admin || has(Capability::CAP_PERFMON)),
    ];
    needed.into_iter().filter(|(_, present)| !present).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_capability_is_asked_for_by_its_own_name() {
        let set = |capabilities: &[Capability]| capabilities.iter().copied().collect();
        use Capability::{CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_SYS_ADMIN};

        let all = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON"];
        assert_eq!(missing_from(&set(&[])), all);
        assert_eq!(missing_from(&set(&[CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF])), ["CAP_PERFMON"]);
        assert_eq!(missing_from(&set(&[CAP_SYS_ADMIN])), ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
        assert!(missing_from(&set(&[CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN])).is_empty());
        let enough = [CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON];
        assert!(missing_from(&set(&enough)).is_empty());
    }
}
