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
    /// Counter slot.
    pub slot: u32,
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
