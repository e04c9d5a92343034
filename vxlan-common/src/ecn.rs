//! Explicit Congestion Notification across the tunnel (RFC 6040).

use crate::reason::RxDrop;

/// The ECN field: the two low bits of the IPv4 TOS byte and of the IPv6 traffic class.
pub const MASK: u8 = 0b11;
/// Not ECN-capable transport.
pub const NOT_ECT: u8 = 0b00;
/// ECN-capable transport (1).
pub const ECT_1: u8 = 0b01;
/// ECN-capable transport (0).
pub const ECT_0: u8 = 0b10;
/// Congestion experienced.
pub const CE: u8 = 0b11;

/// The outer ECN field for an inner one: normal mode copies it (RFC 6040 section 4.1).
#[inline(always)]
pub const fn encapsulate(inner: u8) -> u8 {
    inner & MASK
}

/// The ECN field that the inner header leaves the tunnel with (RFC 6040 section 4.2, figure 4).
///
/// # Errors
/// [`RxDrop::EcnError`] for outer CE over inner Not-ECT: the packet met congestion, and its
/// transport does not understand the mark, so the RFC demands a drop.
#[inline(always)]
pub const fn decapsulate(outer: u8, inner: u8) -> Result<u8, RxDrop> {
    match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => Err(RxDrop::EcnError),
        (NOT_ECT, _) => Ok(NOT_ECT),
        (CE, _) | (_, CE) => Ok(CE),
        (_, ECT_1) => Ok(ECT_1),
        (inner, _) => Ok(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6040_figure_4() {
        let outer = [NOT_ECT, ECT_0, ECT_1, CE];
        let drop = Err(RxDrop::EcnError);
        let table = [
            (NOT_ECT, [Ok(NOT_ECT), Ok(NOT_ECT), Ok(NOT_ECT), drop]),
            (ECT_0, [Ok(ECT_0), Ok(ECT_0), Ok(ECT_1), Ok(CE)]),
            (ECT_1, [Ok(ECT_1), Ok(ECT_1), Ok(ECT_1), Ok(CE)]),
            (CE, [Ok(CE), Ok(CE), Ok(CE), Ok(CE)]),
        ];
        for (inner, row) in table {
            for (outer, expected) in outer.into_iter().zip(row) {
                // The DSCP bits around the field must not matter.
                assert_eq!(decapsulate(outer | 0xb8, inner | 0x48), expected, "{inner} {outer}");
            }
        }
    }

    #[test]
    fn rfc6040_normal_mode_copies() {
        for inner in [NOT_ECT, ECT_0, ECT_1, CE] {
            assert_eq!(encapsulate(inner | 0xfc), inner);
        }
    }
}
