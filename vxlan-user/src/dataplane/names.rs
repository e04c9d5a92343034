//! Program names as in the BPF object. Public for tests that run single programs.

/// XDP on the underlay interface.
pub const DECAP: &str = "decap";
/// XDP on an overlay interface.
pub const ARRIVED: &str = "arrived";
/// TC ingress on the underlay interface, without XDP.
pub const DECAP_TC: &str = "decap_tc";
/// TC ingress on the underlay interface, behind `decap`.
pub const DELIVER: &str = "deliver";
/// TC ingress behind the segmenter.
pub const SEGMENTED: &str = "segmented";
/// TC egress on an overlay interface.
pub const ENCAP: &str = "encap";
pub const PROGRAMS: [&str; 6] = [ARRIVED, DECAP, DECAP_TC, DELIVER, ENCAP, SEGMENTED];
