//! Attaching `decap`: an XDP link, pinned, and taken over from a former run without a gap.

use std::{os::fd::AsFd as _, path::Path};

use aya::{
    programs::{ProgramError, Xdp, XdpMode, links::FdLink},
    sys::SyscallError,
};

use super::{
    DataPlane, DataPlaneError, Pins, detach,
    hook::{self, Pinned},
    names,
    object::program_error,
};

/// How the XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpAttached {
    /// In the driver.
    Native,
    /// In the network stack, behind the driver's GRO.
    Generic,
}

impl XdpAttached {
    /// The value of the metric's `mode` label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    const fn mode(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

/// An attached XDP program.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attachment {
    pub mode: XdpAttached,
    pub program_id: u32,
    /// Why native mode was not to be had, where it was tried.
    pub native_refused: Option<String>,
}

/// Where `decap` is to be attached, and how.
#[derive(Clone, Copy, Debug)]
pub struct XdpTarget<'a> {
    pub interface: &'a str,
    pub ifindex: u32,
    /// In the order to try them.
    pub modes: &'a [XdpAttached],
    /// How a former run attached it there.
    pub former: Option<&'a Attachment>,
}

impl DataPlane {
    /// Attaches `decap` to the underlay interface and pins the link. What a former run has pinned gets
    /// the new program, if it is there and in a mode that is allowed.
    ///
    /// A change of mode has to detach first. If none of the new ones is to be had, the program is
    /// attached in the former mode before this fails.
    pub fn attach_decap(
        &mut self,
        target: XdpTarget<'_>,
        pins: &Pins,
    ) -> Result<Attachment, DataPlaneError> {
        let XdpTarget { interface, ifindex, modes, former } = target;
        let path = pins.xdp_link();
        let mut pinned = Pinned::at(&path)?;
        let program = self.xdp()?;
        let program_id = program_id(program.info(), names::DECAP)?;
        if let Some(link) = pinned.take_if(|link| link.ifindex == ifindex) {
            let kept = former.filter(|former| modes.contains(&former.mode));
            if let Some(former) = kept {
                let fd = program.fd().map_err(program_error(names::DECAP))?.as_fd();
                if link.swap(fd).map_err(|error| DataPlaneError::pin(&path, error))? {
                    return Ok(Attachment { program_id, ..former.clone() });
                }
            }
            forget(&path)?;
        }
        let mut native_refused = None;
        let mut last = String::from("no XDP mode is allowed");
        for &mode in modes {
            match program.attach(interface, mode.mode()) {
                Ok(id) => {
                    pin_xdp(program, id, &path, pinned.as_ref())?;
                    return Ok(Attachment { mode, program_id, native_refused });
                }
                Err(error) => {
                    last = explain_xdp(&error, mode);
                    if mode == XdpAttached::Native {
                        native_refused = Some(last.clone());
                    }
                }
            }
        }
        if let Some(former) = former
            && let Ok(id) = program.attach(interface, former.mode.mode())
        {
            pin_xdp(program, id, &path, pinned.as_ref())?;
        }
        let interface = interface.to_owned();
        Err(DataPlaneError::Attach { program: names::DECAP, interface, reason: last })
    }
}

fn program_id(
    info: Result<aya::programs::ProgramInfo, ProgramError>,
    name: &'static str,
) -> Result<u32, DataPlaneError> {
    Ok(info.map_err(program_error(name))?.id())
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
    hook::pin(link, path, former)
}

pub(super) fn errno(error: &ProgramError) -> Option<i32> {
    if let ProgramError::SyscallError(SyscallError { io_error, .. }) = error {
        io_error.raw_os_error()
    } else {
        None
    }
}

fn explain_xdp(error: &ProgramError, mode: XdpAttached) -> String {
    let mode = mode.label();
    match errno(error) {
        Some(libc::EBUSY | libc::EEXIST) => format!(
            "another XDP program is attached already ({mode} mode). Remove it with `ip link set dev \
             INTERFACE xdp off` or stop the program that owns it"
        ),
        Some(libc::ERANGE) => format!(
            "the interface's MTU is larger than its driver's {mode} XDP mode allows. Lower the MTU, \
             or write xdp = \"generic\""
        ),
        Some(libc::EOPNOTSUPP) => format!("the driver has no {mode} XDP mode"),
        Some(libc::EPERM) => "not permitted: CAP_NET_ADMIN and CAP_BPF are needed".to_owned(),
        _ => format!("{error} ({mode} mode)"),
    }
}
