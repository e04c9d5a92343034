//! Clamping of the maximum segment size that a TCP SYN announces (RFC 9293 section 3.7.1) to what
//! fits the tunnel. Finds the option and computes the values; writing is up to the caller.

use crate::{
    addr::IPV6,
    bytes::{Bytes, HeaderWindow as _},
    checksum,
    inner::Inner,
    wire::{IPV4_LEN, IPV6_LEN, ip::PROTOCOL_TCP, tcp},
};

/// An option whose value is to be lowered. Offsets are from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MssClamp {
    /// Offset of the option's two bytes of value.
    pub value_at: usize,
    /// Offset of the TCP checksum.
    pub checksum_at: usize,
    /// Value announced.
    pub old: u16,
    /// Value that fits.
    pub new: u16,
}

impl MssClamp {
    /// The option of a frame, if it announces more than fits an IP packet of `mtu` bytes.
    #[inline(always)]
    pub const fn for_frame(inner: &Inner, mtu: u32) -> Option<Self> {
        let new = largest(inner.family, mtu);
        if inner.mss_at == 0 || inner.mss <= new {
            return None;
        }
        // The mask changes nothing. It shows the bound to a verifier that has lost the value.
        let value_at = inner.mss_at as usize & 0xff;
        let checksum_at = inner.transport_at() + tcp::field::CHECKSUM;
        Some(Self { value_at, checksum_at, old: inner.mss, new })
    }

    /// The two values as the words that the checksum sums up: an option at an odd offset lies
    /// across two of them.
    #[inline(always)]
    pub const fn words(&self) -> (u16, u16) {
        if (self.value_at ^ self.checksum_at) & 1 == 0 {
            (self.old, self.new)
        } else {
            (self.old.swap_bytes(), self.new.swap_bytes())
        }
    }

    /// The TCP checksum after the change.
    #[inline(always)]
    pub const fn checksum(&self, old: u16) -> u16 {
        let (from, to) = self.words();
        checksum::update(old, from, to)
    }
}

/// The largest segment whose IP packet has at most `mtu` bytes, without options.
#[inline(always)]
const fn largest(family: u8, mtu: u32) -> u16 {
    let headers =
        if family == IPV6 { IPV6_LEN + tcp::HEADER_LEN } else { IPV4_LEN + tcp::HEADER_LEN };
    let size = mtu.saturating_sub(headers as u32);
    if size > 0xffff { 0xffff } else { size as u16 }
}

/// Records in `inner` the option of a SYN, in the frame at the start of the packet, which
/// [`crate::inner::parse_into`] has parsed.
#[inline(always)]
pub fn find<P: Bytes + ?Sized>(packet: &P, inner: &mut Inner) -> Option<()> {
    /// Bits of a position among the options. The verifier then knows of every position only that it
    /// is not larger than this.
    const POSITION_MASK: usize = 63;
    const OPTION_LEN: usize = tcp::OPTION_MSS_LEN as usize;
    if inner.protocol != PROTOCOL_TCP || !inner.has_ports {
        return None;
    }
    let header_at = inner.transport_at();
    let header = packet.window::<{ tcp::HEADER_LEN }>(header_at)?;
    if header.byte(tcp::field::FLAGS) & tcp::FLAG_SYN == 0 {
        return None;
    }
    let len = usize::from(header.byte(tcp::field::DATA_OFFSET) >> 4) * 4;
    if len > usize::from(inner.transport_len) {
        return None;
    }
    let zero = packet.unknown_zero();
    let mut at = zero & POSITION_MASK;
    let mut rounds = 0;
    while rounds < tcp::MAX_OPTIONS_LEN && tcp::HEADER_LEN + at + OPTION_LEN <= len {
        let option_at = header_at + tcp::HEADER_LEN + at;
        let option = packet.window::<OPTION_LEN>(option_at)?;
        match (option.byte(tcp::option::KIND), option.byte(tcp::option::LEN)) {
            (tcp::OPTION_END, _) => return None,
            (tcp::OPTION_NOP, _) => at = (at + 1 + zero) & POSITION_MASK,
            (tcp::OPTION_MSS, tcp::OPTION_MSS_LEN) => {
                inner.mss = option.be16(tcp::option::MSS_VALUE);
                inner.mss_at = (option_at + tcp::option::MSS_VALUE) as u16;
                return Some(());
            }
            (_, len) if len < 2 || at + usize::from(len) > tcp::MAX_OPTIONS_LEN => return None,
            (_, len) => at = (at + usize::from(len) + zero) & POSITION_MASK,
        }
        rounds += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{addr::IPV4, inner};

    /// Ethernet, IPv4, TCP with these flags and options, and a right checksum.
    fn frame(flags: u8, options: &[u8]) -> Vec<u8> {
        let len = 20 + options.len();
        let mut tcp = vec![0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0];
        tcp.extend([(len as u8 / 4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(options);
        let sum = pseudo_sum(&tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend([0x45, 0, 0, 20 + len as u8, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend([192, 0, 2, 1, 192, 0, 2, 2]);
        frame.extend(tcp);
        frame
    }

    fn pseudo_sum(tcp: &[u8]) -> u16 {
        let head = [192, 0, 2, 1, 192, 0, 2, 2, 0, 6, 0, tcp.len() as u8];
        let words = head.iter().chain(tcp).copied().collect::<Vec<u8>>();
        let sum = words.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
        !checksum::fold(sum)
    }

    fn clamp(frame: &[u8], mtu: u32) -> Option<MssClamp> {
        let mut inner = inner::parse(frame, 0, frame.len() as u32).unwrap();
        let _found = find(frame, &mut inner);
        MssClamp::for_frame(&inner, mtu)
    }

    #[test]
    fn a_syn_is_lowered_to_what_fits_and_its_checksum_follows() {
        for options in [
            &[2, 4, 5, 180][..],
            &[1, 2, 4, 5, 180, 0, 0, 0],
            &[4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 2, 4, 5, 180],
            &[1, 1, 1, 2, 4, 5, 180, 1],
        ] {
            let mut frame = frame(2, options);
            let found = clamp(&frame, 1400).expect("1460 is too large");
            assert_eq!((found.old, found.new), (1460, 1360));
            let old = u16::from_be_bytes([frame[50], frame[51]]);
            frame[found.value_at..found.value_at + 2].copy_from_slice(&found.new.to_be_bytes());
            frame[50..52].copy_from_slice(&found.checksum(old).to_be_bytes());
            assert_eq!(pseudo_sum(&frame[34..]), 0, "{options:?}");
            assert!(clamp(&frame, 1400).is_none(), "it fits now");
        }
    }

    #[test]
    fn what_is_no_syn_or_fits_or_has_no_such_option_is_left_alone() {
        assert!(clamp(&frame(0x10, &[2, 4, 5, 180]), 1400).is_none());
        assert!(clamp(&frame(2, &[2, 4, 5, 80]), 1400).is_none());
        for options in [
            &[][..],
            &[0, 0, 2, 4, 5, 180, 0, 0],
            &[3, 0, 0, 0, 2, 4, 5, 180],
            &[3, 1, 0, 0, 2, 4, 5, 180],
            &[3, 200, 0, 0, 2, 4, 5, 180],
            &[3, 68, 0, 0, 2, 4, 5, 180],
            &[2, 3, 5, 180, 2, 4, 5, 180],
            &[1; 40],
        ] {
            assert!(clamp(&frame(2, options), 1400).is_none(), "{options:?}");
        }
    }

    #[test]
    fn a_header_that_ends_behind_its_packet_is_left_alone() {
        let mut frame = frame(2, &[2, 4, 5, 180]);
        assert!(clamp(&frame, 1400).is_some());
        frame[17] -= 1;
        assert!(clamp(&frame, 1400).is_none());
    }

    #[test]
    fn room_for_headers_of_either_family() {
        assert_eq!((largest(IPV4, 1410), largest(IPV6, 1410), largest(IPV4, 30)), (1370, 1350, 0));
    }
}
