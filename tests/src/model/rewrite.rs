//! What is changed in an inner frame: its congestion marks (rule 20) and the maximum segment size
//! of a TCP SYN (rule 21).

use super::{
    bytes::{adjust, be16, put16},
    inner::{HEADER, Ip, TCP},
};

const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;
const SYN: u8 = 0x02;

/// RFC 6040, figure 4. Nothing where the packet must be dropped.
pub(super) fn ecn(inner: u8, outer: u8) -> Option<u8> {
    match (inner, outer) {
        (NOT_ECT, CE) => None,
        (NOT_ECT, _) => Some(NOT_ECT),
        (CE, _) | (_, CE) => Some(CE),
        (ECT_0, ECT_1) => Some(ECT_1),
        _ => Some(inner),
    }
}

/// Writes the ECN field of the IP packet in a frame; IPv4's checksum follows.
pub(super) fn write_ecn(frame: &mut [u8], v6: bool, ecn: u8) {
    let ip = &mut frame[HEADER..];
    let Some(old) = be16(ip, 0) else { return };
    if v6 {
        put16(ip, 0, old & !0x0030 | u16::from(ecn) << 4);
    } else {
        let new = old & !0x0003 | u16::from(ecn);
        put16(ip, 0, new);
        let checksum = be16(ip, 10).unwrap_or(0);
        if new != old {
            put16(ip, 10, adjust(checksum, old, new));
        }
    }
}

/// Where the value of the first maximum segment size option of a SYN is in the packet, and the
/// value; RFC 9293, section 3.2.
fn mss_option(ip: &Ip<'_>) -> Option<(usize, u16)> {
    let tcp = ip.payload();
    let flags = *tcp.get(13)?;
    if ip.is_fragment() || ip.protocol != TCP || flags & SYN == 0 {
        return None;
    }
    let options = tcp.get(20..usize::from(tcp[12] >> 4) * 4)?;
    let mut at = 0;
    loop {
        match (*options.get(at)?, options.get(at + 1).copied().map(usize::from)) {
            (0, _) => return None,
            (1, _) => at += 1,
            (2, Some(4)) => return Some((ip.header + 20 + at + 2, be16(options, at + 2)?)),
            (_, Some(length @ 2..)) => at += length,
            _ => return None,
        }
    }
}

/// Lowers the maximum segment size in `frame`, whose IP packet is `ip`, to what fits into IP
/// packets of `inner_mtu` bytes; TCP's checksum follows.
pub(super) fn clamp_mss(frame: &mut [u8], ip: &Ip<'_>, inner_mtu: usize) {
    let headers = if ip.is_v6() { 40 + 20 } else { 20 + 20 };
    let fits = inner_mtu.saturating_sub(headers) as u16;
    let Some((at, mss)) = mss_option(ip).filter(|(_, mss)| *mss > fits) else { return };
    let packet = &mut frame[HEADER..];
    let checksum_at = ip.header + 16;
    let checksum = be16(packet, checksum_at).unwrap_or(0);
    put16(packet, at, fits);
    // At an odd place the value lies across two words of the sum, which is as if its bytes were
    // swapped.
    let odd = (at - ip.header) % 2 == 1;
    let word = |value: u16| if odd { value.swap_bytes() } else { value };
    put16(packet, checksum_at, adjust(checksum, word(mss), word(fits)));
}
