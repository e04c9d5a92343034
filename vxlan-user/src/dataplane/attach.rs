//! Attaching `decap`: an XDP link, pinned, and taken over from a former run without a gap.

use std::path::Path;

use aya::{
    programs::{
        ProgramError, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::XdpLink,
    },
    sys::SyscallError,
};

use super::{DataPlane, DataPlaneError, Pins, detach, names};

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

impl DataPlane {
    /// Attaches `decap` to the underlay interface, trying `modes` in their order, and pins the link.
    /// The link of a former run, in the mode of `former`, is taken over if `modes` allow that mode.
    ///
    /// A change of mode has to detach first. If none of the new ones is to be had, the program is
    /// attached in the former mode before this fails.
    pub fn attach_decap(
        &mut self,
        interface: &str,
        modes: &[XdpAttached],
        former: Option<&Attachment>,
        pins: &Pins,
    ) -> Result<Attachment, DataPlaneError> {
        let path = pins.xdp_link();
        let program = self.xdp()?;
        let program_id = program_id(program.info(), names::DECAP)?;
        if let Some(former) = former.filter(|former| modes.contains(&former.mode))
            && let Some(link) = inherit(&path)
        {
            let link =
                XdpLink::try_from(link).map_err(|error| DataPlaneError::pin(&path, error))?;
            match program.attach_to_link(link) {
                Ok(id) => {
                    pin_xdp(program, id, &path)?;
                    return Ok(Attachment { program_id, ..former.clone() });
                }
                Err(error) => tracing::debug!("the former XDP link is not usable: {error}"),
            }
        }
        forget(&path)?;
        let mut native_refused = None;
        let mut last = String::from("no XDP mode is allowed");
        for &mode in modes {
            match program.attach(interface, mode.mode()) {
                Ok(id) => {
                    pin_xdp(program, id, &path)?;
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
            pin_xdp(program, id, &path)?;
        }
        let interface = interface.to_owned();
        Err(DataPlaneError::Attach { program: names::DECAP, interface, reason: last })
    }
}

fn program_id(
    info: Result<aya::programs::ProgramInfo, ProgramError>,
    name: &'static str,
) -> Result<u32, DataPlaneError> {
    Ok(info.map_err(super::object::program_error(name))?.id())
}

/// The link that a former run pinned, if there is one.
pub(super) fn inherit(path: &Path) -> Option<FdLink> {
    // The pin goes; the link lives on in its descriptor until it is pinned again.
    PinnedLink::from_pin(path).ok()?.unpin().ok()
}

/// Detaches and unpins what a former run left there.
pub(super) fn forget(path: &Path) -> Result<(), DataPlaneError> {
    detach::pinned_link(path).map_err(|error| DataPlaneError::pin(path, error))
}

fn pin_xdp(
    program: &mut Xdp,
    id: aya::programs::xdp::XdpLinkId,
    path: &Path,
) -> Result<(), DataPlaneError> {
    let link = program.take_link(id).map_err(super::object::program_error(names::DECAP))?;
    let link: FdLink = link.try_into().map_err(|error| DataPlaneError::pin(path, error))?;
    link.pin(path).map_err(|error| DataPlaneError::pin(path, error))?;
    Ok(())
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
