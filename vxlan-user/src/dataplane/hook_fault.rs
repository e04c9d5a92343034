//! Whether the programs are attached where they shall be, and before all others. Changes nothing:
//! attaching again makes good what is found here.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use super::{
    attachment::HookFault,
    error::{DataPlaneError, program_error},
    loader::DataPlane,
    names,
    pins::Pins,
    syscall::{self, TcxHook},
};
use crate::attach_mode::AttachMode;

/// A link that this process holds, and what shall be in it. It can be checked on any thread: the
/// kernel lets the question wait while it changes other interfaces.
#[derive(Debug)]
pub struct HeldHook {
    path: PathBuf,
    /// Absent: there is none.
    link: Option<OwnedFd>,
    /// The number of the program that shall be in it.
    program: u32,
    ifindex: u32,
    /// Where the program shall be the first.
    order: Option<TcxHook>,
}

impl HeldHook {
    pub fn fault(&self) -> Result<Option<HookFault>, DataPlaneError> {
        let Some(link) = &self.link else { return Ok(Some(HookFault::Detached)) };
        let fault = fault_of(link.as_fd(), self.program, self.ifindex, self.order);
        fault.map_err(|error| DataPlaneError::pin(&self.path, error))
    }
}

impl DataPlane {
    /// Returns the link of `decap`. `None`: there shall be none.
    pub fn xdp_hook(
        &self,
        ifindex: u32,
        mode: AttachMode,
        pins: &Pins,
    ) -> Result<Option<HeldHook>, DataPlaneError> {
        if mode == AttachMode::Off {
            return Ok(None);
        }
        self.held_hook(pins.xdp_link(), names::DECAP, ifindex, None).map(Some)
    }

    /// Returns the link of `deliver`, or of `decap_tc` in its place, where these are attached by
    /// links.
    pub fn ingress_hook(
        &self,
        ifindex: u32,
        mode: AttachMode,
        pins: &Pins,
    ) -> Result<HeldHook, DataPlaneError> {
        let name = if mode == AttachMode::Off { names::DECAP_TC } else { names::DELIVER };
        self.held_hook(pins.deliver_link(), name, ifindex, Some(TcxHook::Ingress))
    }

    /// Returns the link of `encap` on one overlay interface, where it is attached by a link.
    pub fn egress_hook(
        &self,
        ifindex: u32,
        vni: u32,
        pins: &Pins,
    ) -> Result<HeldHook, DataPlaneError> {
        self.held_hook(pins.encap_link(vni), names::ENCAP, ifindex, Some(TcxHook::Egress))
    }

    /// Returns the link of `arrived` on one overlay interface.
    pub fn arrived_hook(
        &self,
        ifindex: u32,
        vni: u32,
        pins: &Pins,
    ) -> Result<HeldHook, DataPlaneError> {
        self.held_hook(pins.arrived_link(vni), names::ARRIVED, ifindex, None)
    }

    fn held_hook(
        &self,
        path: PathBuf,
        name: &'static str,
        ifindex: u32,
        order: Option<TcxHook>,
    ) -> Result<HeldHook, DataPlaneError> {
        let link = self.links.get(&path).map(OwnedFd::try_clone).transpose();
        let link = link.map_err(|error| DataPlaneError::pin(&path, error))?;
        let program = self.bpf.program(name);
        let program = program.ok_or(DataPlaneError::Missing { what: "program", name })?;
        let program = program.info().map_err(program_error(name))?.id();
        Ok(HeldHook { path, link, program, ifindex, order })
    }
}

fn fault_of(
    link: BorrowedFd<'_>,
    program: u32,
    ifindex: u32,
    order: Option<TcxHook>,
) -> io::Result<Option<HookFault>> {
    let info = syscall::link_info(link)?;
    if info.ifindex != ifindex || info.program != program {
        return Ok(Some(HookFault::Detached));
    }
    let Some(hook) = order else { return Ok(None) };
    let first = syscall::is_first_tcx_link(info.id, ifindex, hook)?;
    Ok((!first).then_some(HookFault::Behind))
}

/// Returns whether programs that are attached by links come before all filters of this interface's
/// hook of TC.
pub fn has_tcx_programs(ifindex: u32, ingress: bool) -> bool {
    let hook = if ingress { TcxHook::Ingress } else { TcxHook::Egress };
    // Before Linux 6.6 there are no such links, and the kernel refuses the question.
    syscall::tcx_links(ifindex, hook).is_ok_and(|links| !links.is_empty())
}
