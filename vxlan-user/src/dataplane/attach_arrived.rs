//! Attaching `arrived` to overlay interfaces: an XDP program there has the kernel take what XDP on
//! the underlay interface redirects into the hidden port (NAPI of a veth), and counts it.

use std::{os::fd::AsFd as _, thread};

use aya::programs::{Xdp, XdpMode, links::FdLink};

use super::{
    attachment::AttachTarget,
    detach::unpin_link,
    error::{DataPlaneError, program_error},
    in_flight::SETTLED,
    link::{self, PinnedLink},
    loader::DataPlane,
    names,
    pins::Pins,
    tables::with_array,
};
use crate::plan::Plan;

impl DataPlane {
    /// Attaches `arrived` to an overlay interface. Returns whether it was not there before: then
    /// the interface takes what is redirected only from now on.
    pub fn attach_arrived(
        &mut self,
        on: AttachTarget<'_>,
        vni: u32,
        pins: &Pins,
    ) -> Result<bool, DataPlaneError> {
        let path = pins.arrived_link(vni);
        let failed = |error| DataPlaneError::pin(&path, error);
        let pinned = PinnedLink::open(&path)?;
        let program = self.arrived()?;
        if let Some(link) = pinned.as_ref().filter(|link| link.ifindex == on.ifindex) {
            let fd = program.fd().map_err(program_error(names::ARRIVED))?.as_fd();
            if link.replace(fd).map_err(failed)? {
                let link = super::syscall::pinned(&path).map_err(failed)?;
                self.links.insert(path, link.into());
                return Ok(false);
            }
        }
        let attached = program.attach(on.interface, XdpMode::Driver);
        let id = attached.map_err(|error| DataPlaneError::Attach {
            program: names::ARRIVED,
            interface: on.interface.to_owned(),
            reason: error.to_string(),
        })?;
        let link = program.take_link(id).map_err(program_error(names::ARRIVED))?;
        let link: FdLink = link.try_into().map_err(|error| DataPlaneError::pin(&path, error))?;
        let link = link::pin(link, &path, pinned.as_ref())?;
        self.links.insert(path, link.into());
        Ok(true)
    }

    /// Detaches `arrived` from the overlay interfaces of networks that are not in `vnis`. Nothing
    /// is redirected there any more.
    pub fn detach_arrived_except(
        &mut self,
        vnis: &[u32],
        pins: &Pins,
    ) -> Result<(), DataPlaneError> {
        let links = pins.links_of(names::ARRIVED).into_iter();
        let links: Vec<_> = links.filter(|(vni, _)| !vnis.contains(vni)).collect();
        if !links.is_empty() {
            // What was redirected last shall be counted.
            thread::sleep(SETTLED);
        }
        for (_, path) in links {
            unpin_link(&path)?;
            self.links.remove(&path);
        }
        Ok(())
    }

    /// Writes where XDP redirects the frames of a network.
    pub fn set_redirect(&mut self, plan: &Plan, index: usize) -> Result<(), DataPlaneError> {
        let Some(network) = plan.networks.get(index) else { return Ok(()) };
        with_array(&mut self.bpf, "NETWORKS", |networks| networks.set(index as u32, *network, 0))
    }

    fn arrived(&mut self) -> Result<&mut Xdp, DataPlaneError> {
        let name = names::ARRIVED;
        let missing = DataPlaneError::Missing { what: "program", name };
        let program = self.bpf.program_mut(name).ok_or(missing)?;
        program.try_into().map_err(program_error(name))
    }
}
