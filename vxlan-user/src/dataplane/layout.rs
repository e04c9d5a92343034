//! Layouts of pinned maps, in a form that another version of this program can read: type, sizes and
//! flags of the map, and the fields of its keys and values by name. Owns the list of maps whose
//! contents the next generation inherits.

use std::path::Path;

use aya::maps::MapInfo;
use serde::{Deserialize, Serialize};
use vxlan_common::{
    counters::{Counters, NatField},
    layout::{self, Layout},
    reason::DropReason,
    table::{
        FdbEntry, FdbKey, GlobalSettings, MemberState, Neighbour, NeighbourKey, NonMember,
        ObservedEndpoint,
    },
};

use super::error::DataPlaneError;

/// One map of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapLayout {
    pub name: String,
    /// Of `enum bpf_map_type`, include/uapi/linux/bpf.h.
    pub kind: u32,
    /// In bytes, like all sizes here.
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    /// Fields that are known by name; none of a map whose contents do not go over to another
    /// generation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<Field>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub value: Vec<Field>,
}

/// The name and the place of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    pub offset: u32,
    pub size: u32,
}

impl MapLayout {
    pub(super) fn new(name: &str, info: &MapInfo) -> Self {
        let (key, value) = fields_of(name);
        Self {
            name: name.to_owned(),
            kind: info.map_type().map_or(0, |kind| kind as u32),
            key_size: info.key_size(),
            value_size: info.value_size(),
            max_entries: info.max_entries(),
            flags: info.map_flags(),
            key,
            value,
        }
    }

    /// Checks that the map pinned at `path` has this layout.
    ///
    /// # Errors
    /// Names the map, and everything in which it differs.
    pub(super) fn check(&self, path: &Path, info: &MapInfo) -> Result<(), DataPlaneError> {
        let found = Self::new(&self.name, info);
        let pairs = [
            ("type", found.kind, self.kind),
            ("key size", found.key_size, self.key_size),
            ("value size", found.value_size, self.value_size),
            ("entries", found.max_entries, self.max_entries),
            ("flags", found.flags, self.flags),
        ];
        let differ = pairs.iter().filter(|(_, found, expected)| found != expected);
        let differ: Vec<_> = differ
            .map(|(what, found, expected)| format!("{what} {found}, should be {expected}"))
            .collect();
        if differ.is_empty() {
            return Ok(());
        }
        let reason = format!(
            "this is not the map that the daemon pinned ({}). Somebody has put another one there: \
             find out who with `bpftool map show pinned PATH`; `vxlan down` removes all pins",
            differ.join("; ")
        );
        Err(DataPlaneError::pin(path, reason))
    }

    /// Returns a field of the value, if the field is there and lies inside the value.
    pub(super) fn value_field(&self, name: &str) -> Option<&Field> {
        named(&self.value, name, self.value_size)
    }

    /// Returns a field of the key in the same manner.
    pub(super) fn key_field(&self, name: &str) -> Option<&Field> {
        named(&self.key, name, self.key_size)
    }
}

fn named<'a>(fields: &'a [Field], name: &str, size: u32) -> Option<&'a Field> {
    let inside =
        |field: &&Field| field.offset.checked_add(field.size).is_some_and(|end| end <= size);
    fields.iter().find(|field| field.name == name).filter(inside)
}

impl Field {
    /// Returns the field's bytes in a whole key or value.
    pub(super) fn of<'a>(&self, whole: &'a [u8]) -> &'a [u8] {
        let at = self.offset as usize;
        whole.get(at..at + self.size as usize).unwrap_or_default()
    }

    /// Returns the field as a number of four or eight bytes in this machine's order.
    pub(super) fn number(&self, whole: &[u8]) -> Option<u64> {
        let bytes = self.of(whole);
        if let Ok(bytes) = <[u8; 8]>::try_from(bytes) {
            return Some(u64::from_ne_bytes(bytes));
        }
        <[u8; 4]>::try_from(bytes).ok().map(|bytes| u32::from_ne_bytes(bytes).into())
    }
}

/// Returns the fields of keys and values, of maps whose contents are inherited.
fn fields_of(map: &str) -> (Vec<Field>, Vec<Field>) {
    match map {
        "SETTINGS" => (Vec::new(), fields::<GlobalSettings>()),
        "COUNTERS" => (Vec::new(), counter_fields()),
        "NON_MEMBERS" => (fields::<NonMember>(), vec![field("packets", 0, 8)]),
        "FDB" => (fields::<FdbKey>(), fields::<FdbEntry>()),
        "LEARNED" => (Vec::new(), learned_fields()),
        "NEIGHBOURS" => (fields::<NeighbourKey>(), fields::<Neighbour>()),
        _ => (Vec::new(), Vec::new()),
    }
}

/// Returns the fields of a map's values, as this version has them.
pub(super) fn value_fields(map: &str) -> Vec<Field> {
    fields_of(map).1
}

fn field(name: impl Into<String>, offset: usize, size: usize) -> Field {
    Field { name: name.into(), offset: offset as u32, size: size as u32 }
}

fn fields<T: Layout>() -> Vec<Field> {
    let own = |of: &layout::Field| field(of.name, of.offset, of.size);
    T::FIELDS.iter().filter(|of| !of.name.starts_with("pad")).map(own).collect()
}

/// Returns the fields of [`MemberState`]. The fields of its `observed` are listed one by one, under
/// names such as `observed.address`.
fn learned_fields() -> Vec<Field> {
    let mut all = fields::<MemberState>();
    if let Some(place) = all.iter().position(|of| of.name == "observed") {
        let whole = all.remove(place);
        all.extend(fields::<ObservedEndpoint>().into_iter().map(|of| Field {
            name: format!("observed.{}", of.name),
            offset: whole.offset + of.offset,
            ..of
        }));
    }
    all
}

/// Returns a field of eight bytes for each number of the counters.
fn counter_fields() -> Vec<Field> {
    COUNTED.iter().map(|(name, offset)| field(*name, *offset, 8)).chain(labelled()).collect()
}

/// Fields of [`Counters`] that are a single number.
const COUNTED: [(&str, usize); 10] = [
    ("rx_packets", std::mem::offset_of!(Counters, rx_packets)),
    ("rx_bytes", std::mem::offset_of!(Counters, rx_bytes)),
    ("accepted", std::mem::offset_of!(Counters, accepted)),
    ("redirected", std::mem::offset_of!(Counters, redirected)),
    ("arrived", std::mem::offset_of!(Counters, arrived)),
    ("tx_packets", std::mem::offset_of!(Counters, tx_packets)),
    ("tx_bytes", std::mem::offset_of!(Counters, tx_bytes)),
    ("neighbour_replies", std::mem::offset_of!(Counters, neighbour_replies)),
    ("too_big_sent", std::mem::offset_of!(Counters, too_big_sent)),
    ("probes", std::mem::offset_of!(Counters, probes)),
];

fn labelled() -> impl Iterator<Item = Field> {
    let nat = NatField::ALL.into_iter().map(|of| {
        let at = std::mem::offset_of!(Counters, nat) + 8 * of as usize;
        field(format!("nat.{}", of.label()), at, 8)
    });
    let drops = DropReason::all().map(|reason| {
        let at = std::mem::offset_of!(Counters, drops) + 8 * reason.index();
        field(format!("drops.{}.{}", reason.direction(), reason.label()), at, 8)
    });
    nat.chain(drops)
}

/// Returns the name of every number of [`Counters`], and its index.
pub(super) fn counter_names() -> Vec<(String, usize)> {
    counter_fields().into_iter().map(|of| (of.name, of.offset as usize / 8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_counters_has_a_name_of_its_own() {
        let mut names = counter_names();
        // Reasons have numbers to spare.
        assert_eq!(names.len(), 10 + NatField::ALL.len() + DropReason::all().count());
        let len = names.len();
        names.sort_by_key(|(_, at)| *at);
        names.dedup_by_key(|(_, at)| *at);
        assert_eq!(names.len(), len);
        assert!(names.iter().all(|(_, at)| at * 8 < size_of::<Counters>()));
    }

    #[test]
    fn a_field_outside_of_the_value_is_none() {
        let mut layout = MapLayout {
            name: "FDB".to_owned(),
            kind: 1,
            key_size: 12,
            value_size: 12,
            max_entries: 1,
            flags: 0,
            key: Vec::new(),
            value: vec![field("seen", 8, 4)],
        };
        assert_eq!(layout.value_field("seen").and_then(|f| f.number(&[0; 12])), Some(0));
        layout.value_size = 11;
        assert_eq!(layout.value_field("seen"), None);
        layout.value[0].offset = u32::MAX;
        assert_eq!(layout.value_field("seen"), None);
    }
}
