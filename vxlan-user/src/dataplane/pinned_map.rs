//! Opening single maps of the active generation through their pins.

use aya::maps::{MapData, MapError};

use super::{error::DataPlaneError, pins::Pins};

pub(super) const NOT_LOADED: &str = "there is no such pin: no data plane is loaded here. Start one \
                                     with `vxlan run`, or name the right place with --pin-dir";

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
