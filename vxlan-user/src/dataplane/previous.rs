//! Reading the maps of a previous generation, of whatever version: by the fields that its record
//! describes. Nothing is written, and no map is read that is not as described.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
};

use aya::{
    Pod,
    maps::{MapData, MapError},
    programs::ProgramInfo,
    sys::SyscallError,
    util::nr_cpus,
};
use vxlan_common::{
    counters::Counters,
    table::{GlobalSettings, MemberState, Neighbour, NeighbourKey},
};

use super::{
    entries::MacEntry,
    error::{DataPlaneError, shortage},
    generation::Generation,
    layout::{self, Field, MapLayout},
    pins::Pins,
    pod, syscall,
    totals::Totals,
};

/// A previous generation, open for reading.
#[derive(Debug)]
pub struct PreviousGeneration {
    generation: Generation,
    maps: Vec<Opened>,
    /// By the numbers that the kernel gave them.
    programs: Vec<u32>,
    /// How many CPUs there can be.
    cpus: usize,
}

#[derive(Debug)]
struct Opened {
    layout: MapLayout,
    fd: OwnedFd,
    /// Fields of values that both versions know: where a field lies in ours, and where in theirs.
    common: Vec<(Field, Field)>,
}

impl PreviousGeneration {
    /// # Errors
    /// A map is missing, or is not the one that was described.
    pub fn open(pins: &Pins, generation: &Generation) -> Result<Self, DataPlaneError> {
        let open = |layout: &MapLayout| {
            let path = pins.map_of(generation, &layout.name);
            let failed = |error: &io::Error| {
                // What this process lacks is no fault of the pin.
                let what = shortage(error).unwrap_or(
                    "It belongs to what the daemon left at work; without it nothing can go over to \
                     a new start. `vxlan down` removes the rest, and ends the traffic",
                );
                DataPlaneError::pin(&path, format!("{error}. {what}"))
            };
            let fd = syscall::pinned(&path).map_err(|error| failed(&error))?;
            let copy = fd.try_clone().map_err(|error| failed(&error))?;
            let info = MapData::from_fd(copy).and_then(|data| data.info());
            let info = info.map_err(|error| {
                if let MapError::SyscallError(SyscallError { io_error, .. }) = &error {
                    return failed(io_error);
                }
                failed(&io::Error::other(format!("{:#}", anyhow::Error::from(error))))
            })?;
            layout.check(&path, &info)?;
            let ours = layout::value_fields(&layout.name).into_iter();
            let common = ours.filter_map(|field| {
                let theirs = layout.value_field(&field.name)?.clone();
                Some((field, theirs))
            });
            Ok(Opened { layout: layout.clone(), fd, common: common.collect() })
        };
        let maps = generation.maps.iter().map(open).collect::<Result<_, DataPlaneError>>()?;
        // Without its number a program that is attached would be taken for another generation's.
        let id = |path: &PathBuf| {
            let info = ProgramInfo::from_pin(path);
            info.map(|info| info.id()).map_err(|error| DataPlaneError::pin(path, error))
        };
        let programs = pins.programs_of(generation).iter().map(id).collect::<Result<_, _>>()?;
        let failed = |(_, source)| DataPlaneError::PreviousGeneration {
            name: "COUNTERS".to_owned(),
            source,
        };
        let cpus = nr_cpus().map_err(failed)?;
        Ok(Self { generation: generation.clone(), maps, programs, cpus })
    }

    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Returns whether this program belongs to this generation.
    pub fn has_program(&self, id: u32) -> bool {
        self.programs.contains(&id)
    }

    /// Adds all that this generation has counted to `totals`.
    pub fn count(&self, totals: &mut Totals) -> Result<(), DataPlaneError> {
        for (slot, owner) in self.generation.names.owners() {
            totals.add(owner, &self.counters(slot)?);
        }
        for (peer, vni, packets) in self.non_members()? {
            totals.add_non_member(&peer, vni, packets);
        }
        Ok(())
    }

    /// Returns the counters of one slot, summed over all CPUs.
    pub fn counters(&self, slot: u32) -> Result<Counters, DataPlaneError> {
        let mut sum = Counters::ZERO;
        let Some(map) = self.map("COUNTERS") else { return Ok(sum) };
        for cpu in &map.each_cpu(&slot.to_ne_bytes(), self.cpus)? {
            if let Some(counters) = translated(map, cpu) {
                sum.add(&counters);
            }
        }
        Ok(sum)
    }

    /// Returns packets of peers in networks that they are not members of, by name.
    pub fn non_members(&self) -> Result<Vec<(String, u32, u64)>, DataPlaneError> {
        let mut found = Vec::new();
        let Some(map) = self.map("NON_MEMBERS") else { return Ok(found) };
        for key in map.keys()? {
            let index = |name: &str| map.layout.key_field(name)?.number(&key).map(|at| at as u32);
            let packets = |cpu: &Vec<u8>| map.layout.value_field("packets")?.number(cpu);
            let pair = index("peer").zip(index("network"));
            let pair = pair.and_then(|(peer, network)| self.generation.names.pair(peer, network));
            if let Some((peer, vni)) = pair {
                let sum = map.each_cpu(&key, self.cpus)?.iter().filter_map(packets).sum();
                found.push((peer.to_owned(), vni, sum));
            }
        }
        Ok(found)
    }

    /// Returns the settings, as far as this version knows their fields.
    pub fn settings(&self) -> Result<Option<GlobalSettings>, DataPlaneError> {
        let Some(map) = self.map("SETTINGS") else { return Ok(None) };
        Ok(map.value(&0_u32.to_ne_bytes())?.and_then(|raw| translated(map, &raw)))
    }

    /// Returns every MAC address of the FDB.
    pub fn mac_entries(&self) -> Result<Vec<MacEntry>, DataPlaneError> {
        let mut found = Vec::new();
        let Some(map) = self.map("FDB") else { return Ok(found) };
        for key in map.keys()? {
            let Some(value) = map.value(&key)? else { continue };
            let of_key = |name: &str| map.layout.key_field(name);
            let of_value = |name: &str| map.layout.value_field(name)?.number(&value);
            let mac = of_key("mac").and_then(|field| field.of(&key).first_chunk::<6>().copied());
            let ifindex = of_key("ifindex").and_then(|field| field.number(&key));
            let (Some(mac), Some(ifindex), Some(member)) = (mac, ifindex, of_value("member"))
            else {
                continue;
            };
            found.push(MacEntry {
                ifindex: ifindex as u32,
                mac,
                member: member as u32,
                is_static: of_value("flags").unwrap_or(0) & 1 != 0,
                seen: of_value("seen").unwrap_or(0) as u32,
            });
        }
        Ok(found)
    }

    /// Returns what was learned of a member.
    pub fn learned(&self, member: u32) -> Result<Option<MemberState>, DataPlaneError> {
        let Some(map) = self.map("LEARNED") else { return Ok(None) };
        Ok(map.value(&member.to_ne_bytes())?.and_then(|raw| translated(map, &raw)))
    }

    /// Returns the addresses seen behind members.
    pub fn neighbours(&self) -> Result<Vec<(NeighbourKey, Neighbour)>, DataPlaneError> {
        let mut found = Vec::new();
        let Some(map) = self.map("NEIGHBOURS") else { return Ok(found) };
        for key in map.keys()? {
            let Some(value) = map.value(&key)? else { continue };
            let index = |name: &str| map.layout.key_field(name)?.number(&key).map(|at| at as u32);
            let Some((member, place)) = index("member").zip(index("place")) else { continue };
            let neighbour = translated(map, &value);
            found.extend(neighbour.map(|of| (NeighbourKey { member, place }, of)));
        }
        Ok(found)
    }

    fn map(&self, name: &str) -> Option<&Opened> {
        self.maps.iter().find(|map| map.layout.name == name)
    }
}

impl Opened {
    fn failed(&self, error: io::Error) -> DataPlaneError {
        DataPlaneError::PreviousGeneration { name: self.layout.name.clone(), source: error }
    }

    /// The value of a key.
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DataPlaneError> {
        self.lookup(key, self.layout.value_size as usize)
    }

    /// The value of a key on each CPU.
    fn each_cpu(&self, key: &[u8], cpus: usize) -> Result<Vec<Vec<u8>>, DataPlaneError> {
        let size = (self.layout.value_size as usize).next_multiple_of(8);
        let all = self.lookup(key, size * cpus)?.unwrap_or_default();
        Ok(all.chunks(size).map(<[u8]>::to_vec).collect())
    }

    fn lookup(&self, key: &[u8], size: usize) -> Result<Option<Vec<u8>>, DataPlaneError> {
        if key.len() != self.layout.key_size as usize {
            return Ok(None);
        }
        let mut value = vec![0; size];
        let there = syscall::lookup(self.fd.as_fd(), key, &mut value);
        Ok(there.map_err(|error| self.failed(error))?.then_some(value))
    }

    /// Returns all keys of a hash. When a key disappears meanwhile, the kernel begins again at the
    /// first: so each key is listed once, and no more keys than the map has entries.
    fn keys(&self) -> Result<Vec<Vec<u8>>, DataPlaneError> {
        let mut seen = std::collections::HashSet::new();
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let mut next = vec![0; self.layout.key_size as usize];
        let mut rounds = 2 * u64::from(self.layout.max_entries);
        loop {
            let key = keys.last().map(Vec::as_slice);
            let more = syscall::next_key(self.fd.as_fd(), key, &mut next);
            if rounds == 0 || !more.map_err(|error| self.failed(error))? {
                return Ok(keys);
            }
            if !seen.insert(next.clone()) {
                return Ok(keys);
            }
            keys.push(next.clone());
            rounds -= 1;
        }
    }
}

/// Makes a value of this version, with every field that both versions know; all others are zero.
fn translated<T: Pod>(map: &Opened, raw: &[u8]) -> Option<T> {
    let mut bytes = vec![0; size_of::<T>()];
    for (field, theirs) in &map.common {
        let Some(place) =
            bytes.get_mut(field.offset as usize..(field.offset + field.size) as usize)
        else {
            continue;
        };
        if theirs.size == field.size {
            place.copy_from_slice(theirs.of(raw));
        } else if let Some(number) = theirs.number(raw) {
            match place.len() {
                4 => place.copy_from_slice(&(number as u32).to_ne_bytes()),
                8 => place.copy_from_slice(&number.to_ne_bytes()),
                _ => {}
            }
        }
    }
    pod::read(&bytes)
}
