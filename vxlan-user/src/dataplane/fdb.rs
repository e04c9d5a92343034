//! Removing MAC addresses from the FDB through the pins, while the programs run. Which addresses
//! are too old is decided by the caller.

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use vxlan_common::table::{FdbEntry, FdbKey, MemberState};

use super::{
    error::DataPlaneError,
    pinned_map::{open, read},
    pins::Pins,
};

/// The map with the programs' clock, which stands still unless the daemon sets it.
pub struct Clock(Array<MapData, u32>);

impl Clock {
    pub(super) const NAME: &str = "CLOCK";

    pub fn open(pins: &Pins, generation: u64) -> Result<Self, DataPlaneError> {
        let map = Map::Array(open(pins, generation, Self::NAME)?);
        Ok(Self(map.try_into().map_err(read(Self::NAME))?))
    }

    pub fn set(&mut self, seconds: u32) -> Result<(), DataPlaneError> {
        self.0.set(0, seconds, 0).map_err(read(Self::NAME))
    }
}

/// Open handles of the FDB and of its counts by member.
pub struct Fdb {
    fdb: HashMap<MapData, FdbKey, FdbEntry>,
    learned: Array<MapData, MemberState>,
    forgotten: Array<MapData, u64>,
}

impl Fdb {
    /// # Errors
    /// Nothing is pinned there, or what is pinned is not what this program pins.
    pub fn open(pins: &Pins, generation: u64) -> Result<Self, DataPlaneError> {
        let open = |name| open(pins, generation, name);
        let fdb = Map::HashMap(open("FDB")?);
        let learned = Map::Array(open("LEARNED")?);
        let forgotten = Map::Array(open("FORGOTTEN")?);
        Ok(Self {
            fdb: fdb.try_into().map_err(read("FDB"))?,
            learned: learned.try_into().map_err(read("LEARNED"))?,
            forgotten: forgotten.try_into().map_err(read("FORGOTTEN"))?,
        })
    }

    /// Calls `each` for every entry. Entries that come or go meanwhile may be missing.
    pub fn each(&self, mut each: impl FnMut(FdbKey, FdbEntry)) -> Result<(), DataPlaneError> {
        for entry in self.fdb.iter() {
            let (key, value) = entry.map_err(read("FDB"))?;
            each(key, value);
        }
        Ok(())
    }

    /// Removes an entry.
    pub fn remove(&mut self, key: &FdbKey) -> Result<(), DataPlaneError> {
        match self.fdb.remove(key) {
            Err(MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
            {
                Ok(())
            }
            other => other.map_err(read("FDB")),
        }
    }

    /// Returns how many MAC addresses `decap` has learned behind a member, less those that moved
    /// away.
    pub fn learned(&self, member: u32) -> Result<u64, DataPlaneError> {
        Ok(self.learned.get(&member, 0).map_err(read("LEARNED"))?.stations)
    }

    /// Records how many of these are no longer in the table.
    pub fn set_forgotten(&mut self, member: u32, addresses: u64) -> Result<(), DataPlaneError> {
        self.forgotten.set(member, addresses, 0).map_err(read("FORGOTTEN"))
    }
}
