//! Attaching `deliver` and `encap`: by TCX links that are pinned and, in a takeover, replaced
//! without a gap; on kernels before 6.6 by filters ([`clsact`]).

use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use aya::programs::{
    LinkOrder, ProgramError, ProgramFd, SchedClassifier, TcAttachType, links::FdLink,
    tc::TcAttachOptions,
};

use crate::attach_mode::AttachMode;

use super::{
    attachment::{AttachTarget, TcHook, TcHooks, program_id},
    clsact::{self, attach_filter, detach_filter, move_filter, replace_filter},
    detach::unpin_link,
    error::{DataPlaneError, errno, program_error},
    generation::Generation,
    link::{self, PinnedLink},
    loader::DataPlane,
    names,
    pins::Pins,
    syscall::{self, TcxHook},
};

/// A filter that a previous run has left, and the program in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousFilter {
    interface: String,
    at: TcAttachType,
    name: &'static str,
    program: PathBuf,
}

impl PreviousFilter {
    /// Names the filter on the underlay interface that receives packets in this mode.
    pub fn ingress(interface: &str, mode: AttachMode, pins: &Pins, of: &Generation) -> Self {
        let name = if mode == AttachMode::Off { names::DECAP_TC } else { names::DELIVER };
        Self::new(interface, TcAttachType::Ingress, name, pins, of)
    }

    /// Names the filter on an overlay interface.
    pub fn egress(interface: &str, pins: &Pins, of: &Generation) -> Self {
        Self::new(interface, TcAttachType::Egress, names::ENCAP, pins, of)
    }

    fn new(
        interface: &str,
        at: TcAttachType,
        name: &'static str,
        pins: &Pins,
        of: &Generation,
    ) -> Self {
        Self { interface: interface.to_owned(), at, name, program: pins.program_of(of, name) }
    }

    /// Puts the filter's program back, should another have taken its place or the filter be gone.
    /// An interface that is gone is no error.
    pub(super) fn restore(&self) -> Result<(), String> {
        let failed = |error: String| format!("{} on {}: {error}", self.name, self.interface);
        let mut program = SchedClassifier::from_pin(&self.program)
            .map_err(|error| failed(format!("{}: {error}", self.program.display())))?;
        if !clsact::replace_any(&mut program, &self.interface, self.at) {
            let _interface_is_gone = attach_filter(&mut program, &self.interface, self.at);
        }
        Ok(())
    }
}

impl DataPlane {
    /// Attaches `deliver`, or `decap_tc` in its place, to TC ingress of the underlay interface.
    pub(super) fn attach_ingress(
        &mut self,
        name: &'static str,
        target: AttachTarget<'_>,
        hooks: TcHooks,
        pins: &Pins,
    ) -> Result<(), DataPlaneError> {
        let path = pins.deliver_link();
        // Each of the two knows tagged frames, so none is lost while one stands in for the other.
        let other = if name == names::DELIVER { names::DECAP_TC } else { names::DELIVER };
        let place = Place { name, target, at: TcAttachType::Ingress, stand_in: self.fd_of(other)? };
        self.attach_at(&place, hooks, path)
    }

    /// Attaches `encap` to TC egress of an overlay interface.
    pub fn attach_encap(
        &mut self,
        target: AttachTarget<'_>,
        vni: u32,
        hooks: TcHooks,
        pins: &Pins,
    ) -> Result<(), DataPlaneError> {
        let path = pins.encap_link(vni);
        let stand_in = self.fd_of(names::DELIVER)?;
        let place = Place { name: names::ENCAP, target, at: TcAttachType::Egress, stand_in };
        self.attach_at(&place, hooks, path)
    }

    /// Attaches `segmented` to TC ingress of the exit of the segmenter.
    pub fn attach_segmented(
        &mut self,
        target: AttachTarget<'_>,
        hook: TcHook,
        pins: &Pins,
    ) -> Result<(), DataPlaneError> {
        let path = pins.segmented_link();
        let stand_in = self.fd_of(names::DELIVER)?;
        let place = Place { name: names::SEGMENTED, target, at: TcAttachType::Ingress, stand_in };
        self.attach_at(&place, TcHooks::unchanged(hook), path)
    }

    /// Attaches the program of a place, and holds its link for as long as the daemon lives.
    fn attach_at(
        &mut self,
        place: &Place<'_>,
        hooks: TcHooks,
        path: PathBuf,
    ) -> Result<(), DataPlaneError> {
        let link = attach(self.classifier(place.name)?, place, hooks, &path)?;
        self.hold(path, link);
        Ok(())
    }

    /// Attaches `encap` again where it is missing or behind another program.
    pub fn repair_encap(
        &mut self,
        target: AttachTarget<'_>,
        vni: u32,
        hooks: TcHooks,
        pins: &Pins,
    ) -> Result<(), DataPlaneError> {
        self.attach_encap(target, vni, hooks, pins)?;
        if hooks.now == TcHook::Netlink {
            let program = self.classifier(names::ENCAP)?;
            let _stays_behind = move_filter(program, target.interface, TcAttachType::Egress);
        }
        Ok(())
    }

    /// Brings the filter of `deliver`, or of `decap_tc`, in front of others of its priority.
    pub fn move_ingress_filter(
        &mut self,
        interface: &str,
        mode: AttachMode,
    ) -> Result<(), DataPlaneError> {
        let name = if mode == AttachMode::Off { names::DECAP_TC } else { names::DELIVER };
        let program = self.classifier(name)?;
        let _stays_behind = move_filter(program, interface, TcAttachType::Ingress);
        Ok(())
    }

    /// Detaches encap links of networks that are not in `vnis`.
    pub fn detach_encap_except(&self, vnis: &[u32], pins: &Pins) -> Result<(), DataPlaneError> {
        for (vni, path) in pins.links_of(names::ENCAP) {
            if !vnis.contains(&vni) {
                unpin_link(&path)?;
            }
        }
        Ok(())
    }
}

/// Where a program is attached, and as what.
struct Place<'a> {
    name: &'static str,
    target: AttachTarget<'a>,
    at: TcAttachType,
    /// Another program, which takes the program's place in a link while that program moves.
    stand_in: ProgramFd,
}

impl Place<'_> {
    fn failed(&self, error: &ProgramError) -> DataPlaneError {
        DataPlaneError::Attach {
            program: self.name,
            interface: self.target.interface.to_owned(),
            reason: explain(error),
        }
    }
}

/// Attaches a program before all others, or puts it in place of the previous run's; returns its
/// link, if it is attached by one.
fn attach(
    program: &mut SchedClassifier,
    place: &Place<'_>,
    hooks: TcHooks,
    path: &Path,
) -> Result<Option<OwnedFd>, DataPlaneError> {
    let (interface, at) = (place.target.interface, place.at);
    let had_filter = hooks.previous == Some(TcHook::Netlink);
    match hooks.now {
        TcHook::Tcx => {
            let link = attach_tcx(program, place, path)?;
            if had_filter {
                detach_filter(interface, at);
            }
            Ok(Some(link))
        }
        TcHook::Netlink => {
            let replaced = had_filter && replace_filter(program, interface, at);
            if !replaced {
                attach_filter(program, interface, at).map_err(|error| place.failed(&error))?;
            }
            // Only now that the filter runs: while both are attached nothing is done twice, as the
            // first program that accepts a frame takes it.
            unpin_link(path)?;
            Ok(None)
        }
    }
}

fn attach_tcx(
    program: &mut SchedClassifier,
    place: &Place<'_>,
    path: &Path,
) -> Result<OwnedFd, DataPlaneError> {
    let pin = |error| DataPlaneError::pin(path, error);
    let pinned = PinnedLink::open(path)?;
    let fd = program.fd().map_err(program_error(place.name))?;
    let fd = fd.try_clone().map_err(pin)?;
    let mut moves = None;
    if let Some(link) = pinned.as_ref().filter(|link| link.ifindex == place.target.ifindex) {
        if link.is_first(tcx_hook(place.at)).map_err(pin)? {
            if link.replace(fd.as_fd()).map_err(pin)? {
                return syscall::pinned(path).map_err(pin);
            }
        } else if link.program == program_id(program.info(), place.name)? {
            // The kernel takes no program twice.
            link.replace(place.stand_in.as_fd()).map_err(pin)?;
            moves = Some(link);
        }
    }
    // A program that passes a packet ends the chain: behind one nothing would be received.
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let attached = program.attach_with_options(place.target.interface, place.at, options);
    if let (Err(_), Some(link)) = (&attached, moves) {
        link.replace(fd.as_fd()).map_err(pin)?;
    }
    let id = attached.map_err(|error| place.failed(&error))?;
    let link: FdLink = program
        .take_link(id)
        .map_err(program_error(place.name))?
        .try_into()
        .map_err(|error| DataPlaneError::pin(path, error))?;
    link::pin(link, path, pinned.as_ref())
}

const fn tcx_hook(at: TcAttachType) -> TcxHook {
    if matches!(at, TcAttachType::Egress) { TcxHook::Egress } else { TcxHook::Ingress }
}

fn explain(error: &ProgramError) -> String {
    match errno(error) {
        Some(libc::EINVAL) => format!("{error}; TCX links need Linux 6.6 or newer"),
        Some(libc::EPERM) => "not permitted: CAP_NET_ADMIN and CAP_BPF are needed".to_owned(),
        _ => error.to_string(),
    }
}
