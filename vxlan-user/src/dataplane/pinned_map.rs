//! Opening single maps through their pins, and what those tell that need no record.

use std::path::Path;

use aya::maps::{HashMap, Map, MapData, MapError};

use super::{error::DataPlaneError, pins::Pins};

pub(super) const NOT_LOADED: &str = "there is no such pin: no data plane is loaded here. Start one \
                                     with `vxlan run`, or name the right place with --pin-dir";

impl Pins {
    /// Returns the VNIs of the networks of all pinned links and maps, as far as this version can
    /// read these.
    pub fn network_vnis(&self) -> Vec<u32> {
        let linked = self.links_of(super::names::ENCAP).into_iter().map(|(vni, _)| vni);
        let mapped = self.maps("NETWORK_BY_VNI").into_iter().flat_map(|path| vnis(&path));
        let mut all: Vec<u32> = linked.chain(mapped).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Returns the keys of a map whose keys are VNIs in network order.
fn vnis(path: &Path) -> Vec<u32> {
    let map = MapData::from_pin(path).and_then(Map::from_map_data);
    let map = map.ok().and_then(|map| HashMap::<_, [u8; 4], u32>::try_from(map).ok());
    let keys = map.iter().flat_map(|map| map.keys().map_while(Result::ok).collect::<Vec<_>>());
    keys.map(u32::from_be_bytes).collect()
}

/// Opens a map.
pub(super) fn open(
    pins: &Pins,
    generation: u64,
    name: &'static str,
) -> Result<MapData, DataPlaneError> {
    let path = pins.map(generation, name);
    MapData::from_pin(&path).map_err(|error| {
        if path.exists() {
            return DataPlaneError::pin(path, error);
        }
        DataPlaneError::pin(path, NOT_LOADED)
    })
}

/// Returns a function that turns aya's error about a read of this map into a [`DataPlaneError`].
pub(super) fn read(name: &'static str) -> impl Fn(MapError) -> DataPlaneError {
    move |source| DataPlaneError::Read { name, source: Box::new(source) }
}

/// Returns how many entries the map can hold.
pub(super) fn capacity(name: &'static str, map: &MapData) -> Result<u64, DataPlaneError> {
    let info = map.info().map_err(read(name))?;
    Ok(u64::from(info.max_entries()))
}
