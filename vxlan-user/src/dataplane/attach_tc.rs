//! Attaching `deliver` and `encap`: by TCX links that are pinned and, in a takeover, replaced
//! without a gap; on kernels before 6.6 by filters of the clsact qdisc, which outlive the process
//! by themselves.

use std::{
    mem,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::{FdLink, Link as _},
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact},
};

use vxlan_common::wire::vxlan;

use crate::attach_mode::AttachMode;

use super::{
    attachment::{AttachTarget, TcHook, TcHooks},
    detach::unpin_link,
    error::{DataPlaneError, errno, program_error},
    generation::Generation,
    link::{self, PinnedLink},
    loader::DataPlane,
    names,
    pins::Pins,
};

/// Priority of our filters: fixed, so that a restart finds them instead of adding more. Others may
/// run before and behind them.
const PRIORITY: u16 = vxlan::PORT;
const HANDLE: TcHandle = TcHandle::new(0, 1);

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

    /// Puts the filter's program back, should another have taken its place. An interface that is
    /// gone is no error.
    pub(super) fn restore(&self) -> Result<(), String> {
        let failed = |error: String| format!("{} on {}: {error}", self.name, self.interface);
        let mut program = SchedClassifier::from_pin(&self.program)
            .map_err(|error| failed(format!("{}: {error}", self.program.display())))?;
        replace_filter(&mut program, self.name, &self.interface, self.at);
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
        attach(self.classifier(name)?, name, target, TcAttachType::Ingress, hooks, &path)
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
        let program = self.classifier(names::ENCAP)?;
        attach(program, names::ENCAP, target, TcAttachType::Egress, hooks, &path)
    }

    /// Detaches encap links of networks that are not in `vnis`.
    pub fn detach_encap_except(&self, vnis: &[u32], pins: &Pins) -> Result<(), DataPlaneError> {
        for (vni, path) in pins.encap_links() {
            if !vnis.contains(&vni) {
                unpin_link(&path)?;
            }
        }
        Ok(())
    }
}

/// Removes our `deliver` filter from a clsact qdisc. `false`: there is none.
pub fn detach_deliver_filter(interface: &str) -> bool {
    detach_filter(interface, TcAttachType::Ingress)
}

fn detach_filter(interface: &str, at: TcAttachType) -> bool {
    SchedClassifierLink::attached(interface, at, PRIORITY, HANDLE, None)
        .is_ok_and(|filter| filter.detach().is_ok())
}

fn attach(
    program: &mut SchedClassifier,
    name: &'static str,
    target: AttachTarget<'_>,
    at: TcAttachType,
    hooks: TcHooks,
    path: &Path,
) -> Result<(), DataPlaneError> {
    let failed = |error: &ProgramError| DataPlaneError::Attach {
        program: name,
        interface: target.interface.to_owned(),
        reason: explain(error),
    };
    let had_filter = hooks.previous == Some(TcHook::Netlink);
    match hooks.now {
        TcHook::Tcx => {
            attach_tcx(program, name, target, at, path, failed)?;
            if had_filter {
                detach_filter(target.interface, at);
            }
            Ok(())
        }
        TcHook::Netlink => {
            let replaced = had_filter && replace_filter(program, name, target.interface, at);
            if !replaced {
                attach_filter(program, name, target.interface, at, failed)?;
            }
            // Only now that the filter runs: while both are attached nothing is done twice, as the
            // first program that accepts a frame takes it.
            unpin_link(path)
        }
    }
}

fn attach_tcx(
    program: &mut SchedClassifier,
    name: &'static str,
    target: AttachTarget<'_>,
    at: TcAttachType,
    path: &Path,
    failed: impl Fn(&ProgramError) -> DataPlaneError,
) -> Result<(), DataPlaneError> {
    let pinned = PinnedLink::open(path)?;
    if let Some(link) = pinned.as_ref().filter(|link| link.ifindex == target.ifindex) {
        let fd = program.fd().map_err(program_error(name))?.as_fd();
        if link.replace(fd).map_err(|error| DataPlaneError::pin(path, error))? {
            return Ok(());
        }
    }
    let options = TcAttachOptions::TcxOrder(LinkOrder::default());
    let id = program
        .attach_with_options(target.interface, at, options)
        .map_err(|error| failed(&error))?;
    let link: FdLink = program
        .take_link(id)
        .map_err(program_error(name))?
        .try_into()
        .map_err(|error| DataPlaneError::pin(path, error))?;
    link::pin(link, path, pinned.as_ref())
}

/// Puts the program into our filter of a previous run, in one step. `false`: there is none.
fn replace_filter(
    program: &mut SchedClassifier,
    name: &'static str,
    interface: &str,
    at: TcAttachType,
) -> bool {
    let filter = SchedClassifierLink::attached(interface, at, PRIORITY, HANDLE, None);
    let Ok(id) = filter.map_err(ProgramError::from).and_then(|it| program.attach_to_link(it))
    else {
        return false;
    };
    let Ok(link) = program.take_link(id).map_err(program_error(name)) else { return false };
    // Dropping it would remove the filter.
    mem::forget(link);
    true
}

fn attach_filter(
    program: &mut SchedClassifier,
    name: &'static str,
    interface: &str,
    at: TcAttachType,
    failed: impl Fn(&ProgramError) -> DataPlaneError,
) -> Result<(), DataPlaneError> {
    match qdisc_add_clsact(interface) {
        Ok(()) | Err(TcError::AlreadyAttached) => {}
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(error) => return Err(failed(&error.into())),
    }
    let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
    let id = program
        .attach_with_options(interface, at, TcAttachOptions::Netlink(options))
        .map_err(|error| failed(&error))?;
    let link = program.take_link(id).map_err(program_error(name))?;
    // Dropping it would remove the filter, which shall stay when this process ends.
    mem::forget(link);
    Ok(())
}

fn explain(error: &ProgramError) -> String {
    match errno(error) {
        Some(libc::EINVAL) => format!("{error}; TCX links need Linux 6.6 or newer"),
        Some(libc::EPERM) => "not permitted: CAP_NET_ADMIN and CAP_BPF are needed".to_owned(),
        _ => error.to_string(),
    }
}
