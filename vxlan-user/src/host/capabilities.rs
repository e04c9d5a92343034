//! Capabilities: which ones the program needs and what for, which it lacks, and giving up all
//! others.
//!
//! Capabilities belong to a thread, and a new thread begins with those of the one that starts it.
//! So all this is for a process that has one thread yet, or for a thread about itself.

use std::collections::HashSet;

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};

use super::error::HostError;

/// What is needed, and what for: for messages and documents.
pub const NEEDED: [(Capability, &str); 4] = [
    (Capability::CAP_NET_ADMIN, "for interfaces, routes and attaching programs to them"),
    (Capability::CAP_NET_RAW, "for probes and for hearing ICMP"),
    (Capability::CAP_BPF, "for loading programs and making maps"),
    (Capability::CAP_PERFMON, "for programs that compare the addresses of packets"),
];

/// The capabilities that are needed and not effective in this thread, each as a user would write
/// it, with what it is for.
///
/// Before Linux 5.8 CAP_SYS_ADMIN stood for CAP_BPF and CAP_PERFMON; it still implies both.
#[must_use]
pub fn missing() -> Vec<String> {
    // A kernel that does not say what we have is treated as having given us nothing: the message
    // that follows is then at worst too cautious.
    missing_from(&caps::read(None, CapSet::Effective).unwrap_or_default())
}

fn missing_from(effective: &CapsHashSet) -> Vec<String> {
    let lacks = |(capability, _): &&(Capability, &str)| {
        let instead = implied(*capability) && effective.contains(&Capability::CAP_SYS_ADMIN);
        !effective.contains(capability) && !instead
    };
    let named = |(capability, purpose): &(Capability, &str)| format!("{capability} ({purpose})");
    NEEDED.iter().filter(lacks).map(named).collect()
}

/// Returns whether CAP_SYS_ADMIN implies this capability.
fn implied(capability: Capability) -> bool {
    matches!(capability, Capability::CAP_BPF | Capability::CAP_PERFMON)
}

/// Gives up all capabilities but the needed ones, for this thread and those that it starts from now
/// on. None can be regained, not by executing another program either (`no_new_privs`).
///
/// # Errors
/// The kernel does not let go of something.
pub fn keep_needed() -> Result<(), HostError> {
    let keep = kept_of(&caps::read(None, CapSet::Permitted).map_err(failed)?);
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(failed)? {
        let bound = caps::read(None, CapSet::Bounding).map_err(failed)?;
        for capability in bound.difference(&keep) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(failed)?;
        }
    }
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    only(&keep)?;
    nix::sys::prctl::set_no_new_privs().map_err(|error| HostError::Privileges(error.to_string()))
}

/// Gives up all capabilities of this thread but CAP_NET_ADMIN. For threads that neither load
/// programs nor open raw sockets, such as those that serve the metrics page.
///
/// # Errors
/// The kernel does not let go of something.
pub fn keep_for_netlink() -> Result<(), HostError> {
    let mut keep = caps::read(None, CapSet::Permitted).map_err(failed)?;
    keep.retain(|capability| *capability == Capability::CAP_NET_ADMIN);
    only(&keep)
}

/// Makes `keep` what is effective, and all that can become so.
fn only(keep: &CapsHashSet) -> Result<(), HostError> {
    caps::set(None, CapSet::Effective, keep).map_err(failed)?;
    caps::set(None, CapSet::Permitted, keep).map_err(failed)
}

/// The needed ones, or what implies them.
fn kept_of(permitted: &CapsHashSet) -> CapsHashSet {
    let needed: HashSet<Capability> = NEEDED.iter().map(|(capability, _)| *capability).collect();
    let mut keep: CapsHashSet = permitted.intersection(&needed).copied().collect();
    let admin = Capability::CAP_SYS_ADMIN;
    if permitted.contains(&admin) && needed.iter().any(|of| implied(*of) && !keep.contains(of)) {
        keep.insert(admin);
    }
    keep
}

fn failed(error: CapsError) -> HostError {
    HostError::Privileges(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Capability::{
        CAP_BPF, CAP_DAC_OVERRIDE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_SYS_ADMIN,
    };

    fn set(capabilities: &[Capability]) -> CapsHashSet {
        capabilities.iter().copied().collect()
    }

    /// The names alone, without what they are for.
    fn missing_from(effective: &[Capability]) -> Vec<String> {
        let missing = super::missing_from(&set(effective));
        missing.iter().filter_map(|text| Some(text.split_once(' ')?.0.to_owned())).collect()
    }

    #[test]
    fn each_missing_capability_is_named() {
        let all = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON"];
        assert_eq!(missing_from(&[]), all);
        assert_eq!(missing_from(&[CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF]), ["CAP_PERFMON"]);
        assert_eq!(missing_from(&[CAP_SYS_ADMIN]), ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
        assert!(missing_from(&[CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN]).is_empty());
        assert!(missing_from(&[CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON]).is_empty());
    }

    #[test]
    fn what_is_not_needed_is_given_up() {
        let four = [CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON];
        assert_eq!(kept_of(&caps::all()), set(&four));
        assert_eq!(kept_of(&set(&four)), set(&four));
        assert_eq!(kept_of(&set(&[CAP_NET_RAW, CAP_DAC_OVERRIDE])), set(&[CAP_NET_RAW]));
        let instead = [CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN];
        assert_eq!(kept_of(&set(&instead)), set(&instead));
        assert_eq!(kept_of(&set(&[CAP_BPF, CAP_SYS_ADMIN])), set(&[CAP_BPF, CAP_SYS_ADMIN]));
    }
}
