//! Attaching receive: `decap` by an XDP link, pinned, and taken over from a former run without a gap,
//! with `deliver` behind it in TC; or `decap_tc` in its place, where no XDP is to be had.

use std::{os::fd::AsFd as _, path::Path};

use aya::{
    programs::{ProgramError, Xdp, XdpMode, links::FdLink},
    sys::SyscallError,
};

use super::{
    DataPlane, DataPlaneError, Hooks, Pins, Target, detach,
    link::{self, Pinned},
    loader::program_error,
    names,
};

/// Where packets are received: the rungs of the ladder, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpAttached {
    /// In the driver.
    Native,
    /// In the network stack, behind the driver's GRO.
    Generic,
    /// Not at all: in TC alone.
    Off,
}

impl XdpAttached {
    /// The value of the metric's `mode` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Off => "off",
        }
    }

    const fn mode(self) -> Option<XdpMode> {
        match self {
            Self::Native => Some(XdpMode::Driver),
            Self::Generic => Some(XdpMode::Skb),
            Self::Off => None,
        }
    }
}

/// Why a rung was not taken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Refusal {
    pub mode: XdpAttached,
    pub reason: String,
}

/// The rungs that may be tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    /// In the order to try them.
    pub rungs: Vec<XdpAttached>,
    /// Those that need not be tried.
    pub refused: Vec<Refusal>,
    /// What keeps this driver, as it is now, from native mode: the likely reason for its refusal.
    pub native_limits: Vec<String>,
}

/// How packets are received.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attachment {
    pub mode: XdpAttached,
    /// Of `decap`, or of `decap_tc`.
    pub program_id: u32,
    /// The better rungs that were tried.
    #[serde(default)]
    pub refused: Vec<Refusal>,
}

impl Attachment {
    /// Why it is not a better rung, in a line. Empty: it is the best, or the one that was asked for.
    pub fn reason(&self) -> String {
        let one = |refused: &Refusal| format!("{}: {}", refused.mode.label(), refused.reason);
        self.refused.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// Where receive is to be attached, and how.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveTarget<'a> {
    pub on: Target<'a>,
    pub ladder: &'a Ladder,
    /// How a former run attached it there.
    pub former: Option<&'a Attachment>,
}

impl DataPlane {
    /// Attaches receive to the underlay interface, on the first rung of the ladder that holds.
    ///
    /// `deliver` comes before `decap`, so that a frame that is accepted can be delivered. `decap_tc`
    /// does the work of both, tagged frames included: so it comes before an XDP program goes, and goes
    /// when one has come.
    pub fn attach_receive(
        &mut self,
        target: ReceiveTarget<'_>,
        hooks: Hooks,
        pins: &Pins,
    ) -> Result<Attachment, DataPlaneError> {
        let ReceiveTarget { on, ladder, former } = target;
        let in_tc = former.is_some_and(|former| former.mode == XdpAttached::Off);
        let xdp = ladder.rungs.iter().any(|rung| rung.mode().is_some());
        if xdp && !in_tc {
            self.attach_ingress(names::DELIVER, on, hooks, pins)?;
        }
        let attached =
            if xdp { self.attach_decap(target, pins)? } else { Err(ladder.refused.clone()) };
        match attached {
            Ok(attachment) => {
                if in_tc {
                    self.attach_ingress(names::DELIVER, on, hooks, pins)?;
                }
                Ok(attachment)
            }
            Err(refused) => {
                self.attach_ingress(names::DECAP_TC, on, hooks, pins)?;
                forget(&pins.xdp_link())?;
                let program = self.classifier(names::DECAP_TC)?;
                let program_id = program_id(program.info(), names::DECAP_TC)?;
                Ok(Attachment { mode: XdpAttached::Off, program_id, refused })
            }
        }
    }

    /// Attaches `decap` and pins the link. What a former run has pinned gets the new program, if it is
    /// there and in a mode that is allowed.
    ///
    /// A change of mode has to detach first. If none of the new ones is to be had, the program is
    /// attached in the former mode before this fails, unless the ladder goes on below XDP: then what was
    /// refused is the inner error.
    fn attach_decap(
        &mut self,
        target: ReceiveTarget<'_>,
        pins: &Pins,
    ) -> Result<Result<Attachment, Vec<Refusal>>, DataPlaneError> {
        let ReceiveTarget { on, ladder, former } = target;
        let path = pins.xdp_link();
        let mut pinned = Pinned::at(&path)?;
        let program = self.xdp()?;
        let program_id = program_id(program.info(), names::DECAP)?;
        if let Some(link) = pinned.take_if(|link| link.ifindex == on.ifindex) {
            let kept = former.filter(|former| ladder.rungs.contains(&former.mode));
            if let Some(former) = kept {
                let fd = program.fd().map_err(program_error(names::DECAP))?.as_fd();
                if link.swap(fd).map_err(|error| DataPlaneError::pin(&path, error))? {
                    return Ok(Ok(Attachment { program_id, ..former.clone() }));
                }
            }
            forget(&path)?;
        }
        let mut refused = ladder.refused.clone();
        for &rung in &ladder.rungs {
            let Some(mode) = rung.mode() else { return Ok(Err(refused)) };
            match program.attach(on.interface, mode) {
                Ok(id) => {
                    pin_xdp(program, id, &path, pinned.as_ref())?;
                    return Ok(Ok(Attachment { mode: rung, program_id, refused }));
                }
                Err(error) => {
                    let reason = explain_xdp(&error, rung, on.interface, ladder);
                    refused.push(Refusal { mode: rung, reason });
                }
            }
        }
        if let Some(mode) = former.and_then(|former| former.mode.mode())
            && let Ok(id) = program.attach(on.interface, mode)
        {
            pin_xdp(program, id, &path, pinned.as_ref())?;
        }
        let reason = refused.pop().map_or_else(String::new, |last| last.reason);
        let interface = on.interface.to_owned();
        Err(DataPlaneError::Attach { program: names::DECAP, interface, reason })
    }
}

fn program_id(
    info: Result<aya::programs::ProgramInfo, ProgramError>,
    name: &'static str,
) -> Result<u32, DataPlaneError> {
    Ok(info.map_err(program_error(name))?.id())
}

/// The name of a program of anybody. `None`: there is no such program, or it is not told without
/// `CAP_SYS_ADMIN`.
pub fn program_name(id: u32) -> Option<String> {
    let mut programs = aya::programs::loaded_programs().filter_map(Result::ok);
    let found = programs.find(|program| program.id() == id)?;
    found.name_as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Detaches and unpins what a former run left there.
pub(super) fn forget(path: &Path) -> Result<(), DataPlaneError> {
    detach::pinned_link(path).map_err(|error| DataPlaneError::pin(path, error))
}

fn pin_xdp(
    program: &mut Xdp,
    id: aya::programs::xdp::XdpLinkId,
    path: &Path,
    former: Option<&Pinned>,
) -> Result<(), DataPlaneError> {
    let link = program.take_link(id).map_err(program_error(names::DECAP))?;
    let link: FdLink = link.try_into().map_err(|error| DataPlaneError::pin(path, error))?;
    link::pin(link, path, former)
}

pub(super) fn errno(error: &ProgramError) -> Option<i32> {
    if let ProgramError::SyscallError(SyscallError { io_error, .. }) = error {
        io_error.raw_os_error()
    } else {
        None
    }
}

/// The kernel says a number. What is known of the driver says why, if anything does.
fn explain_xdp(
    error: &ProgramError,
    rung: XdpAttached,
    interface: &str,
    ladder: &Ladder,
) -> String {
    let mode = rung.label();
    let errno = errno(error);
    match errno {
        Some(libc::EBUSY | libc::EEXIST) => format!(
            "another XDP program is attached already ({mode} mode). Remove it with `ip link set dev \
             {interface} xdp off` or stop the program that owns it"
        ),
        Some(libc::EPERM) => "not permitted: CAP_NET_ADMIN and CAP_BPF are needed".to_owned(),
        _ if rung == XdpAttached::Native && !ladder.native_limits.is_empty() => {
            ladder.native_limits.join("; ")
        }
        Some(libc::ERANGE) => format!(
            "the interface's MTU is larger than its driver's {mode} XDP mode allows. Lower it with \
             `ip link set {interface} mtu 1500`, or write xdp = \"generic\""
        ),
        Some(libc::ENOSPC | libc::ENOMEM) => format!(
            "the driver has no queues left for {mode} XDP. Use fewer: `ethtool -L {interface} combined \
             N`, with N half of what `ethtool -l {interface}` says is the most"
        ),
        Some(libc::EOPNOTSUPP) => format!("the driver has no {mode} XDP mode"),
        _ => format!("{error} ({mode} mode)"),
    }
}
