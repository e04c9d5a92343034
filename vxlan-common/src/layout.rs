//! Offsets and sizes of the fields of map keys and values, by name: so that another version of this
//! program can read what this one has pinned. Which map has which type is declared in the daemon.

use crate::table::{
    FdbEntry, FdbKey, GlobalSettings, MemberState, Neighbour, NeighbourKey, NonMember,
    ObservedEndpoint,
};

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    /// In bytes, from the start.
    pub offset: usize,
    /// In bytes.
    pub size: usize,
}

/// A type whose fields are known by name.
pub trait Layout {
    /// Together they are the whole type, without a gap.
    const FIELDS: &'static [Field];
}

const fn size_of_field<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

const fn total(fields: &[Field]) -> usize {
    let (mut at, mut sum) = (0, 0);
    while at < fields.len() {
        sum += fields[at].size;
        at += 1;
    }
    sum
}

macro_rules! fields {
    ($($type:ty { $($field:ident),+ $(,)? })+) => {
        $(
            impl Layout for $type {
                const FIELDS: &'static [Field] = &[
                    $(Field {
                        name: stringify!($field),
                        offset: core::mem::offset_of!($type, $field),
                        size: size_of_field(|of: &$type| &of.$field),
                    },)+
                ];
            }
            const _: () = assert!(total(<$type>::FIELDS) == size_of::<$type>());
        )+
    };
}

fields! {
    GlobalSettings {
        secret, address, public_address, address6, public_address6, port, tag, pass_unknown_vni,
        fixed_source_port, ignore_reserved_bits, ignore_udp_checksum, ttl, dscp, probes, probe_vni,
        pad, segmenter,
    }
    FdbKey { ifindex, mac }
    FdbEntry { member, flags, seen }
    MemberState { last, stations, seen, pad, observed }
    ObservedEndpoint { seen, address, changes, changed, port, ttl, family, pad }
    NeighbourKey { member, place }
    Neighbour { address, mac, seen }
    NonMember { peer, network }
}
