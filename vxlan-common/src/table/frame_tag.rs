//! How `decap` marks accepted frames for `deliver`: by a tag in front of the frame, or by a secret
//! destination MAC.

use crate::{abi::abi, addr::Mac};

/// Accepted frames are tagged in XDP metadata.
pub const TAG_METADATA: u8 = 0;
/// The tag is a secret destination MAC, for drivers without XDP metadata.
pub const TAG_MAC: u8 = 1;
/// [`TAG_METADATA`] until the driver refuses it once; `decap` then writes [`TAG_MAC`] here.
pub const TAG_AUTO: u8 = 2;

/// What `decap` writes in front of an accepted frame and `deliver` reads. The network stack never
/// lets a frame from the wire bring its own.
///
/// The `deliver` of the next generation reads it too, so it contains no index, which another
/// configuration may assign anew, and its layout stays through all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FrameTag {
    /// [`GlobalSettings::secret`].
    pub secret: [u8; 8],
    /// The overlay interface; also keeps GRO from merging two networks.
    pub ifindex: u32,
    /// Counter slot in the lower 24 bits. Above them, of a frame to a group: the first byte of its
    /// destination MAC.
    pub slot: u32,
}

impl FrameTag {
    /// What `decap` writes in place of that byte: a station that does not exist, so that the host
    /// drops the frame where no program takes it.
    pub const NO_STATION: u8 = 0x02;

    /// Names the slot of a frame to a group.
    pub const fn to_group(slot: u32, first_byte: u8) -> u32 {
        slot | (first_byte as u32) << 24
    }

    /// Returns the counter slot, and the byte to put back; 0: none, as that is no group's.
    pub const fn slot_and_byte(&self) -> (u32, u8) {
        (self.slot & 0x00ff_ffff, (self.slot >> 24) as u8)
    }
}

/// The member that a secret destination MAC stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TaggedMember {
    /// The overlay interface.
    pub ifindex: u32,
    /// Counter slot.
    pub slot: u32,
    /// MAC address of the overlay interface.
    pub mac: Mac,
}

/// The kind of destination MAC that the secret one replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cast {
    /// The overlay interface's own.
    Unicast = 0,
    /// ff:ff:ff:ff:ff:ff.
    Broadcast = 1,
    /// Derived from the inner IP destination (RFC 1112 section 6.4, RFC 2464 section 7).
    Multicast = 2,
}

abi! {
    FrameTag: 16,
    TaggedMember: 16,
}
