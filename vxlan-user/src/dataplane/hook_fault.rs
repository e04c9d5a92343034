//! Whether the programs are attached where they shall be, and before all others. Changes nothing:
//! attaching again makes good what is found here.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
};

use super::{
    attachment::HookFault,
    error::DataPlaneError,
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
    link: Option<Arc<OwnedFd>>,
    /// The number of the program that shall be in it.
    program: u32,
    ifindex: u32,
    /// Where the program shall be the first.
    order: Option<TcxHook>,
}

impl HeldHook {
    /// Returns the same with another interface that the link shall be on.
    #[must_use]
    pub fn on(self, ifindex: u32) -> Self {
        Self { ifindex, ..self }
    }

    pub fn fault(&self) -> Result<Option<HookFault>, DataPlaneError> {
        let Some(link) = &self.link else { return Ok(Some(HookFault::Detached)) };
        let fault = fault_of(link.as_fd(), self.program, self.ifindex, self.order);
        fault.map_err(|error| DataPlaneError::pin(&self.path, error))
    }
}

impl DataPlane {
    /// Returns the link of `decap`. `None`: there shall be none.
    pub fn xdp_hook(&self, ifindex: u32, mode: AttachMode, pins: &Pins) -> Option<HeldHook> {
        let wanted = mode != AttachMode::Off;
        wanted.then(|| self.held_hook(pins.xdp_link(), names::DECAP, ifindex, None))
    }

    /// Returns the link of `deliver`, or of `decap_tc` in its place, where these are attached by
    /// links.
    pub fn ingress_hook(&self, ifindex: u32, mode: AttachMode, pins: &Pins) -> HeldHook {
        let name = if mode == AttachMode::Off { names::DECAP_TC } else { names::DELIVER };
        self.held_hook(pins.deliver_link(), name, ifindex, Some(TcxHook::Ingress))
    }

    /// Returns the link of `encap` on one overlay interface, where it is attached by a link.
    pub fn egress_hook(&self, ifindex: u32, vni: u32, pins: &Pins) -> HeldHook {
        self.held_hook(pins.encap_link(vni), names::ENCAP, ifindex, Some(TcxHook::Egress))
    }

    /// Returns the link of `arrived` on one overlay interface.
    pub fn arrived_hook(&self, ifindex: u32, vni: u32, pins: &Pins) -> HeldHook {
        self.held_hook(pins.arrived_link(vni), names::ARRIVED, ifindex, None)
    }

    /// Returns the link of `segmented`, where it is attached by a link. [`HeldHook::on`] tells
    /// which interface it shall be on.
    pub fn segmented_hook(&self, pins: &Pins) -> HeldHook {
        self.held_hook(pins.segmented_link(), names::SEGMENTED, 0, Some(TcxHook::Ingress))
    }

    fn held_hook(
        &self,
        path: PathBuf,
        name: &'static str,
        ifindex: u32,
        order: Option<TcxHook>,
    ) -> HeldHook {
        let link = self.links.get(&path).cloned();
        // No program has the number 0.
        let program = self.numbers.get(name).copied().unwrap_or_default();
        HeldHook { path, link, program, ifindex, order }
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
