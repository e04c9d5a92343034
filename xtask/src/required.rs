//! Which programs of the system each verb needs, and the Debian packages that have them.
//!
//! Installing them is `setup`'s.

use crate::paths;

/// How much a verb needs. Each includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// To build everything.
    Build,
    /// To bring up the lab.
    Lab,
    /// To run every test.
    Test,
    /// To run them in guests, on other kernels.
    Vm,
}

/// The programs that the lab and the suites call, and the packages that have them.
const LAB_TOOLS: [(&str, &str); 11] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ethtool", "ethtool"),
    ("ping", "iputils-ping"),
    ("tcpdump", "tcpdump"),
    ("iperf3", "iperf3"),
    ("conntrack", "conntrack"),
    ("faketime", "faketime"),
    ("systemd-analyze", "systemd"),
    ("strace", "strace"),
    ("bpftool", "bpftool"),
];

/// The programs that make guests and run them, and the packages that have them.
const VM_TOOLS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("strip", "binutils"),
];

/// The programs that the lab and the suites call.
pub(crate) fn lab_tools() -> impl Iterator<Item = &'static str> {
    LAB_TOOLS.into_iter().map(|(program, _)| program)
}

/// The packages of those programs that `scope` needs and this machine lacks.
pub(crate) fn missing_packages(scope: Scope) -> Vec<String> {
    let lab = LAB_TOOLS.iter().filter(|_| scope >= Scope::Lab);
    lab.chain(VM_TOOLS.iter().filter(|_| scope >= Scope::Vm))
        .filter(|(program, _)| paths::which(program).is_none())
        .map(|(_, package)| (*package).to_owned())
        .collect()
}
