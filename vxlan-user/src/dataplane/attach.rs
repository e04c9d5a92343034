//! Attaching receive: `decap` by an XDP link that is pinned and, in a takeover, replaced without a
//! gap, with `deliver` behind it in TC; or `decap_tc` instead of both, where XDP cannot be had.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::Arc,
};

use aya::programs::{ProgramError, Xdp, links::FdLink};

use crate::attach_mode::AttachMode;

use super::{
    attachment::{AttachModes, AttachTarget, Attachment, Refusal, TcHooks, program_id, xdp_mode},
    detach::unpin_link,
    error::{DataPlaneError, errno, program_error},
    link::{self, PinnedLink},
    loader::{DataPlane, xdp_of},
    names,
    pins::Pins,
};

/// Where receive is to be attached, and how.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveTarget<'a> {
    pub on: AttachTarget<'a>,
    pub modes: &'a AttachModes,
    /// How a previous run attached it there.
    pub previous: Option<&'a Attachment>,
}

impl DataPlane {
    /// Attaches receive to the underlay interface, on the first allowed mode that the kernel
    /// accepts.
    ///
    /// `deliver` comes before `decap`, so that a frame that is accepted can be delivered.
    /// `decap_tc` does the work of both, tagged frames included: so it comes before an XDP program
    /// goes, and goes when one has come.
    pub fn attach_receive(
        &mut self,
        target: ReceiveTarget<'_>,
        hooks: TcHooks,
        pins: &Pins,
    ) -> Result<Attachment, DataPlaneError> {
        let ReceiveTarget { on, modes, previous } = target;
        let in_tc = previous.is_some_and(|previous| previous.mode == AttachMode::Off);
        let xdp = modes.allowed.iter().any(|mode| xdp_mode(*mode).is_some());
        if xdp && !in_tc {
            self.attach_ingress(names::DELIVER, on, hooks, pins)?;
        }
        let attached =
            if xdp { self.attach_decap(target, pins)? } else { Err(modes.refused.clone()) };
        match attached {
            Ok(attachment) => {
                if in_tc {
                    self.attach_ingress(names::DELIVER, on, hooks, pins)?;
                }
                Ok(attachment)
            }
            Err(refused) => {
                self.attach_ingress(names::DECAP_TC, on, hooks, pins)?;
                unpin_link(&pins.xdp_link())?;
                self.links.remove(&pins.xdp_link());
                let program = self.classifier(names::DECAP_TC)?;
                let program_id = program_id(program.info(), names::DECAP_TC)?;
                Ok(Attachment::new(AttachMode::Off, program_id, refused))
            }
        }
    }

    /// Attaches `decap` and pins the link. What a previous run has pinned gets the new program, if
    /// it is there and in a mode that is allowed.
    ///
    /// A change of mode has to detach first. If none of the new ones is to be had, the program is
    /// attached in the previous mode before this fails, unless TC alone is allowed too: then what
    /// was refused is the inner error.
    fn attach_decap(
        &mut self,
        target: ReceiveTarget<'_>,
        pins: &Pins,
    ) -> Result<Result<Attachment, Vec<Refusal>>, DataPlaneError> {
        let ReceiveTarget { on, modes, previous } = target;
        let path = pins.xdp_link();
        let mut pinned = PinnedLink::open(&path)?;
        let program = xdp_of(&mut self.bpf)?;
        let program_id = program_id(program.info(), names::DECAP)?;
        if let Some(link) = pinned.take_if(|link| link.ifindex == on.ifindex) {
            let same_mode = previous.filter(|previous| modes.allowed.contains(&previous.mode));
            if let Some(previous) = same_mode {
                let fd = program.fd().map_err(program_error(names::DECAP))?.as_fd();
                if link.replace(fd).map_err(|error| DataPlaneError::pin(&path, error))? {
                    self.links.insert(path, Arc::new(link.into()));
                    return Ok(Ok(Attachment { program_id, ..previous.clone() }));
                }
            }
            self.links.remove(&path);
            unpin_link(&path)?;
        }
        let mut refused = modes.refused.clone();
        for &mode in &modes.allowed {
            let Some(xdp) = xdp_mode(mode) else { return Ok(Err(refused)) };
            match program.attach(on.interface, xdp) {
                Ok(id) => {
                    let link = pin_xdp(program, id, &path, pinned.as_ref())?;
                    self.links.insert(path, link.into());
                    return Ok(Ok(Attachment::new(mode, program_id, refused)));
                }
                Err(error) => {
                    let reason = explain_xdp(&error, mode, on.interface, modes);
                    refused.push(Refusal { mode, reason });
                }
            }
        }
        if let Some(xdp) = previous.and_then(|previous| xdp_mode(previous.mode))
            && let Ok(id) = program.attach(on.interface, xdp)
        {
            let link = pin_xdp(program, id, &path, pinned.as_ref())?;
            self.links.insert(path, link.into());
        }
        let reason = refused.pop().map_or_else(String::new, |last| last.reason);
        let interface = on.interface.to_owned();
        Err(DataPlaneError::Attach { program: names::DECAP, interface, reason })
    }
}

/// Returns the name of anybody's program. `None`: there is no such program, or the kernel does not
/// report the name without `CAP_SYS_ADMIN`.
pub fn program_name(id: u32) -> Option<String> {
    let mut programs = aya::programs::loaded_programs().filter_map(Result::ok);
    let found = programs.find(|program| program.id() == id)?;
    found.name_as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn pin_xdp(
    program: &mut Xdp,
    id: aya::programs::xdp::XdpLinkId,
    path: &Path,
    previous: Option<&PinnedLink>,
) -> Result<OwnedFd, DataPlaneError> {
    let link = program.take_link(id).map_err(program_error(names::DECAP))?;
    let link: FdLink = link.try_into().map_err(|error| DataPlaneError::pin(path, error))?;
    link::pin(link, path, previous)
}

/// Explains the kernel's error number, with what is known of the driver.
fn explain_xdp(
    error: &ProgramError,
    mode: AttachMode,
    interface: &str,
    modes: &AttachModes,
) -> String {
    let name = mode.label();
    let errno = errno(error);
    match errno {
        Some(libc::EBUSY | libc::EEXIST) => format!(
            "another XDP program is attached already ({name} mode). Remove it with `ip link set \
             dev {interface} xdp off` or stop the program that owns it"
        ),
        Some(libc::EPERM) => "not permitted: CAP_NET_ADMIN and CAP_BPF are needed".to_owned(),
        _ if mode == AttachMode::Native && !modes.native_limits.is_empty() => {
            modes.native_limits.join("; ")
        }
        Some(libc::ERANGE) => format!(
            "the interface's MTU is larger than its driver's {name} XDP mode allows. Lower it with \
             `ip link set {interface} mtu 1500`, or write xdp = \"generic\""
        ),
        Some(libc::ENOSPC | libc::ENOMEM) => format!(
            "the driver has no queues left for {name} XDP. Use fewer: `ethtool -L {interface} \
             combined N`, with N half of what `ethtool -l {interface}` says is the most"
        ),
        Some(libc::EOPNOTSUPP) => format!("the driver has no {name} XDP mode"),
        _ => format!("{error} ({name} mode)"),
    }
}
