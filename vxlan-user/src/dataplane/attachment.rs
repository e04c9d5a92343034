//! How programs are attached: the modes to try, the hooks of TC, and the record of both. Knows no
//! interface and attaches nothing.

use std::fmt;

use aya::{
    programs::{ProgramError, ProgramInfo, XdpMode},
    util::KernelVersion,
};
use serde::{Deserialize, Serialize};

use super::error::{DataPlaneError, program_error};
use crate::attach_mode::AttachMode;

/// Returns the mode as aya calls it. `None`: without XDP.
pub(super) const fn xdp_mode(mode: AttachMode) -> Option<XdpMode> {
    match mode {
        AttachMode::Native => Some(XdpMode::Driver),
        AttachMode::Generic => Some(XdpMode::Skb),
        AttachMode::Off => None,
    }
}

/// A mode that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub mode: AttachMode,
    pub reason: String,
}

/// The attach modes for one interface, in their fallback order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachModes {
    /// Modes to try, in this order.
    pub allowed: Vec<AttachMode>,
    /// Modes that need not be tried.
    pub refused: Vec<Refusal>,
    /// Why XDP redirects nothing into overlay interfaces, though it is native; absent: it does.
    pub no_redirect: Option<String>,
    /// What keeps this driver, as it is set now, from native mode: the likely reason for a refusal.
    pub native_limits: Vec<String>,
}

/// How packets are received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub mode: AttachMode,
    /// The kernel's number of `decap`, or of `decap_tc`.
    pub program_id: u32,
    /// Better modes that were tried.
    #[serde(default)]
    pub refused: Vec<Refusal>,
    /// Why XDP redirects nothing into overlay interfaces, or into some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_redirect: Vec<String>,
}

impl Attachment {
    /// Describes receive that redirects nowhere yet.
    pub const fn new(mode: AttachMode, program_id: u32, refused: Vec<Refusal>) -> Self {
        Self { mode, program_id, refused, no_redirect: Vec::new() }
    }

    /// Tells in one line why the mode is not a better one. Empty: the mode is the best, or the one
    /// that the configuration demands.
    pub fn reason(&self) -> String {
        let one = |refused: &Refusal| format!("{}: {}", refused.mode.label(), refused.reason);
        self.refused.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// How TC programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TcHook {
    /// BPF links (Linux 6.6, commit e420bed02507).
    Tcx,
    /// Filters of a clsact qdisc.
    Netlink,
}

impl TcHook {
    /// Returns the best hook that the running kernel has.
    pub fn for_kernel() -> Self {
        let tcx = KernelVersion::new(6, 6, 0);
        if KernelVersion::current().is_ok_and(|now| now >= tcx) { Self::Tcx } else { Self::Netlink }
    }

    /// Returns the name for messages and output.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tcx => "TCX",
            Self::Netlink => "clsact",
        }
    }
}

/// The hook to attach TC programs to, and the hook of the previous run.
#[derive(Clone, Copy, Debug)]
pub struct TcHooks {
    pub now: TcHook,
    /// Absent: there was no previous run. A filter in our place then belongs to somebody else, and
    /// stays.
    pub previous: Option<TcHook>,
}

impl TcHooks {
    /// The hook stays as it is.
    pub const fn unchanged(hook: TcHook) -> Self {
        Self { now: hook, previous: Some(hook) }
    }
}

/// An interface to attach to.
#[derive(Clone, Copy, Debug)]
pub struct AttachTarget<'a> {
    pub interface: &'a str,
    pub ifindex: u32,
}

/// What is wrong with a program's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookFault {
    /// The program is not attached, or another one is in its link.
    Detached,
    /// Another program comes first. What that accepts never reaches ours.
    Behind,
}

impl fmt::Display for HookFault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Detached => "is not attached",
            Self::Behind => "is behind another program, which can keep packets from it",
        })
    }
}

/// Returns the kernel's number of a program.
pub(super) fn program_id(
    info: Result<ProgramInfo, ProgramError>,
    name: &'static str,
) -> Result<u32, DataPlaneError> {
    Ok(info.map_err(program_error(name))?.id())
}
