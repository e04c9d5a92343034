//! The ring buffer through which `decap` hands over received probes. Does not read the probes.

use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{MapData, RingBuf};
use vxlan_common::probe::ReceivedProbe;

use super::{error::DataPlaneError, loader::DataPlane, pod};

const NAME: &str = "PROBES";

/// The reading end of the ring buffer. Its descriptor is readable while something is in it.
pub struct ProbeRing(RingBuf<MapData>);

impl ProbeRing {
    /// The oldest one that is left, which is then taken out.
    pub fn take(&mut self) -> Option<ReceivedProbe> {
        let item = self.0.next()?;
        pod::read(&item)
    }
}

impl AsRawFd for ProbeRing {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl DataPlane {
    /// Returns the reading end of the ring buffer. Possible once for each load.
    pub fn probe_ring(&mut self) -> Result<ProbeRing, DataPlaneError> {
        let missing = DataPlaneError::Missing { what: "map", name: NAME };
        let map = self.bpf.take_map(NAME).ok_or(missing)?;
        let ring = RingBuf::try_from(map)
            .map_err(|source| DataPlaneError::Map { name: NAME, source: Box::new(source) })?;
        Ok(ProbeRing(ring))
    }
}
