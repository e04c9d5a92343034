//! What runs and their files are called. Who makes runs, and who removes dead ones, is elsewhere.

/// Where every run has its directory.
pub const ROOT: &str = "/run/vxlan-tests";
/// Prefix of the lab. It is fixed: people type the names of the lab's namespaces.
pub const LAB: &str = "vxlab";
/// First part of the prefixes of test runs; the owner's pid and a number follow.
pub(crate) const TEST: &str = "vxt";
/// Name of the file inside a run's directory whose lock says that the run is alive.
pub(crate) const OWNER: &str = "owner";
