//! The VXLAN header, RFC 7348 section 5.

use bytes::{BufMut as _, BytesMut};

use super::{flags, header::header};

header!(Vxlan {
    flags: u8,
    vni: u32,
    /// The 24 bits after the flags.
    reserved: [u8; 3],
    /// The byte after the VNI.
    last: u8,
});

impl Vxlan {
    pub fn new(vni: u32) -> Self {
        Self { flags: flags::VNI, vni, reserved: [0; 3], last: 0 }
    }

    pub(super) fn header(&self) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u8(self.flags);
        out.put_slice(&self.reserved);
        out.put_u32(self.vni << 8 | u32::from(self.last));
        out
    }
}
