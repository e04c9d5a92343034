//! Whether the programs are attached where they shall be, and before all others. Changes nothing:
//! attaching again makes good what is found here.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
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

impl DataPlane {
    /// Checks `decap`.
    pub fn xdp_fault(
        &self,
        ifindex: u32,
        mode: AttachMode,
        pins: &Pins,
    ) -> Result<Option<HookFault>, DataPlaneError> {
        if mode == AttachMode::Off {
            return Ok(None);
        }
        self.link_fault(&pins.xdp_link(), names::DECAP, ifindex, None)
    }

    /// Checks `deliver`, or `decap_tc` in its place, if it is attached by a link.
    pub fn ingress_fault(
        &self,
        ifindex: u32,
        mode: AttachMode,
        pins: &Pins,
    ) -> Result<Option<HookFault>, DataPlaneError> {
        let name = if mode == AttachMode::Off { names::DECAP_TC } else { names::DELIVER };
        self.link_fault(&pins.deliver_link(), name, ifindex, Some(TcxHook::Ingress))
    }

    /// Checks `encap` on one overlay interface, if it is attached by a link.
    pub fn egress_fault(
        &self,
        ifindex: u32,
        vni: u32,
        pins: &Pins,
    ) -> Result<Option<HookFault>, DataPlaneError> {
        self.link_fault(&pins.encap_link(vni), names::ENCAP, ifindex, Some(TcxHook::Egress))
    }

    /// Checks a link that this process holds.
    fn link_fault(
        &self,
        path: &Path,
        name: &'static str,
        ifindex: u32,
        order: Option<TcxHook>,
    ) -> Result<Option<HookFault>, DataPlaneError> {
        let Some(link) = self.links.get(path) else { return Ok(Some(HookFault::Detached)) };
        let program = self.bpf.program(name);
        let program = program.ok_or(DataPlaneError::Missing { what: "program", name })?;
        let program = program.info().map_err(program_error(name))?.id();
        let fault = fault_of(link.as_fd(), program, ifindex, order);
        fault.map_err(|error| DataPlaneError::pin(path, error))
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
