//! Bytes of a frame changed without regard to what they mean.

use rand::{Rng as _, rngs::SmallRng, seq::IndexedRandom as _};
use vxlan_tests::packet::internet_checksum;

use super::generate::MAX_FRAME;

const BYTES: [u8; 16] = [0, 1, 4, 5, 6, 15, 17, 40, 44, 47, 58, 127, 128, 135, 254, 255];
const WORDS: [u16; 12] = [0, 1, 20, 28, 40, 0x0800, 0x0806, 0x86dd, 0x8100, 4789, 0x7fff, 0xffff];

/// One to four changes; `other` is a frame to take pieces of.
pub(super) fn mutate(rng: &mut SmallRng, frame: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.random_range(1..=4) {
        if frame.is_empty() {
            return;
        }
        // Headers are in front: half of the changes go there.
        let end = if rng.random_bool(0.5) { frame.len().min(120) } else { frame.len() };
        let at = rng.random_range(0..end);
        match rng.random_range(0..16) {
            0..5 => frame[at] ^= 1 << rng.random_range(0..8),
            5..8 => frame[at] = *BYTES.choose(rng).expect("there are some"),
            8 => frame[at] = rng.random(),
            9..11 => {
                let word = if rng.random_bool(0.5) {
                    frame.len().wrapping_sub(at) as u16
                } else {
                    *WORDS.choose(rng).expect("there are some")
                };
                for (place, byte) in frame[at..].iter_mut().zip(word.to_be_bytes()) {
                    *place = byte;
                }
            }
            11 if rng.random_bool(0.5) => frame.truncate(at),
            11..13 => {
                let more = rng.random_range(1..64);
                frame.extend((0..more).map(|_| rng.random::<u8>()));
            }
            13 | 14 => {
                let from = rng.random_range(0..=other.len());
                let length = rng.random_range(0..=other.len() - from);
                for (place, byte) in frame[at..].iter_mut().zip(&other[from..from + length]) {
                    *place = *byte;
                }
            }
            _ => {
                frame.truncate(at);
                frame.extend(&other[at.min(other.len())..]);
            }
        }
    }
    frame.truncate(MAX_FRAME);
}

/// Changes one byte of the headers.
pub(super) fn alter(rng: &mut SmallRng, frame: &mut [u8]) {
    let at = rng.random_range(0..frame.len().min(140));
    match rng.random_range(0..3) {
        0 => frame[at] = *BYTES.choose(rng).expect("there are some"),
        _ => frame[at] ^= 1 << rng.random_range(0..8),
    }
}

/// Makes the outer IPv4 header's checksum right again, so that rules behind it are reached.
pub(super) fn repair(frame: &mut [u8]) {
    if frame.len() >= 34 && frame[12..14] == [8, 0] {
        frame[24..26].fill(0);
        let checksum = internet_checksum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    }
}
