//! The random numbers of a plan, and the secret MAC addresses that are derived from them.

use sha2::{Digest as _, Sha256};
use vxlan_common::addr::Mac;

/// A source of random bytes, for secrets that a plan does not inherit.
pub trait Secrets {
    fn bytes<const N: usize>(&mut self) -> [u8; N];
}

impl Secrets for rand::rngs::ThreadRng {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        rand::RngCore::fill_bytes(self, &mut bytes);
        bytes
    }
}

/// Derives the MAC address by which XDP tells TC that a frame was accepted for a counter slot:
/// locally administered, unicast, the last two bits zero. Nobody can guess its 44 bits without the
/// secret; it is the same as long as secret and slot are.
pub(super) fn secret_mac(secret: [u8; 8], slot: u32) -> Mac {
    let digest = Sha256::new().chain_update(secret).chain_update(slot.to_be_bytes()).finalize();
    let mut bytes = [0; 6];
    bytes.copy_from_slice(&digest[..6]);
    bytes[0] = (bytes[0] & !0b11) | 0b10;
    bytes[5] &= !0b11;
    Mac::new(bytes)
}
