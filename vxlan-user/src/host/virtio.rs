//! What a virtio network card and its host have agreed on, from sysfs. Reads only.

use std::fs;

/// Numbers of feature bits: VIRTIO 1.2, section 5.1.3.
const GUEST_CSUM: u32 = 1;
const CTRL_GUEST_OFFLOADS: u32 = 2;

/// The features that both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioFeatures(u64);

impl VirtioFeatures {
    /// `None`: the interface with that name and address is no such card, or /sys does not show it:
    /// it may be that of another network namespace, with other interfaces of the same names.
    pub fn read(interface: &str, mac: [u8; 6]) -> Option<Self> {
        let read = |what: &str| fs::read_to_string(format!("/sys/class/net/{interface}/{what}"));
        let bytes = mac.map(|byte| format!("{byte:02x}"));
        let is_it = read("address").ok()?.trim_end() == bytes.join(":");
        is_it.then(|| Self::parse(&read("device/features").ok()?)).flatten()
    }

    /// A digit for each bit, the lowest first.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end();
        let digits = text.bytes().take(64).enumerate();
        let bits = digits.fold(0, |bits, (at, digit)| bits | u64::from(digit == b'1') << at);
        let is_number = !text.is_empty() && text.bytes().all(|digit| matches!(digit, b'0' | b'1'));
        is_number.then_some(Self(bits))
    }

    fn has(self, bit: u32) -> bool {
        self.0 >> bit & 1 != 0
    }

    /// Returns whether the hypervisor hands over packets whose checksum is not computed yet, and
    /// cannot be told not to.
    pub fn leaves_checksums(self) -> bool {
        self.has(GUEST_CSUM) && !self.has(CTRL_GUEST_OFFLOADS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_bits_the_lowest_first() {
        let features = VirtioFeatures::parse("0110000000000000\n").expect("digits");
        assert_eq!(features, VirtioFeatures(0b110));
        assert!(!features.leaves_checksums(), "checksums can be switched off");
        assert!(VirtioFeatures(0b010).leaves_checksums());
        assert!(!VirtioFeatures(0b101).leaves_checksums(), "it does not");
        assert_eq!(VirtioFeatures::parse("0x1"), None);
        assert_eq!(VirtioFeatures::parse(""), None);
    }
}
