//! Reading settings of the kernel's network stack in `/proc/sys/net`, of this network namespace.
//! Changes nothing. A service may not see them.

use std::fs;

/// Reads a setting, named as its file below `/proc/sys/net`. `None`: there is none, or it is hidden
/// from this process.
#[must_use]
pub fn sysctl(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/sys/net/{name}")).ok().map(|text| text.trim().to_owned())
}

/// Returns whether this kernel has IPv6 at all. `None`: that cannot be seen from here.
#[must_use]
pub fn has_ipv6() -> Option<bool> {
    sysctl("ipv4/ip_forward")?;
    Some(sysctl("ipv6/conf/default/disable_ipv6").is_some())
}
