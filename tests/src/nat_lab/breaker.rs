//! A box that spoils UDP checksums: a TC program at a router's way out.

use std::net::Ipv4Addr;

use anyhow::Result;

use super::{
    NatLab, PORT, Side, Site,
    insn::{Insn, STACK, load_and_pin},
};
use crate::packet::ones_complement_sum;

/// What it does to packets for the tunnel's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// It brings a checksum up to date for the address that it has rewritten, also one of zero,
    /// which means that there is none: so it becomes one, and wrong. It should not (RFC 768).
    Incremental,
    /// It writes this one, whatever was there.
    Constant(u16),
}

/// Offsets in the frame, of IPv4 without options.
const FRAME: i16 = -48;
const ETHERTYPE: i16 = 12;
const VERSION: i16 = 14;
const PROTOCOL: i16 = 23;
const TO_PORT: i16 = 36;
const CHECKSUM: i16 = 40;
const HEADERS: i32 = 42;

const SKB_STORE_BYTES: i32 = 9;
const SKB_LOAD_BYTES: i32 = 26;
const TC_ACT_OK: i32 = 0;

impl NatLab {
    /// Spoils what the router of this side sends to the internet, from now on.
    pub fn spoil_checksums(&self, side: Side, spoil: Spoil) -> Result<()> {
        let site = self.site(side);
        let pin = self.run.bpffs().join(format!("spoil-{}", side.name()));
        load_and_pin(&program(spoil, site), &pin)?;
        site.router.run("tc qdisc add dev wan clsact")?;
        site.router.run(&format!(
            "tc filter add dev wan egress bpf direct-action object-pinned {}",
            pin.display()
        ))?;
        Ok(())
    }
}

impl Spoil {
    /// The checksum that packets leave with.
    pub fn checksum(self, site: &Site) -> u16 {
        match self {
            Self::Incremental => updated(0, site.own(), site.public()),
            Self::Constant(checksum) => checksum,
        }
    }
}

/// RFC 1624, equation 3.
fn updated(checksum: u16, from: Ipv4Addr, to: Ipv4Addr) -> u16 {
    let negated = from.octets().map(|byte| !byte);
    let parts = [&(!checksum).to_be_bytes()[..], &negated, &to.octets()].concat();
    !ones_complement_sum(&[&parts])
}

fn program(spoil: Spoil, site: &Site) -> Vec<Insn> {
    let in_place = |value: u16| i32::from(u16::from_ne_bytes(value.to_be_bytes()));
    let mut program = vec![
        // The headers onto the stack.
        Insn::copy(6, 1),
        Insn::set(2, 0),
        Insn::copy(3, STACK),
        Insn::add(3, i32::from(FRAME)),
        Insn::set(4, HEADERS),
        Insn::call(SKB_LOAD_BYTES),
        Insn::end_unless(0, 0),
        Insn::load16(0, STACK, FRAME + ETHERTYPE),
        Insn::end_unless(0, in_place(0x0800)),
        Insn::load8(0, STACK, FRAME + VERSION),
        Insn::end_unless(0, 0x45),
        Insn::load8(0, STACK, FRAME + PROTOCOL),
        Insn::end_unless(0, libc::IPPROTO_UDP),
        Insn::load16(0, STACK, FRAME + TO_PORT),
        Insn::end_unless(0, in_place(PORT)),
    ];
    if spoil == Spoil::Incremental {
        program.push(Insn::load16(0, STACK, FRAME + CHECKSUM));
        program.push(Insn::end_unless(0, 0));
    }
    program.extend([
        Insn::store16(STACK, FRAME + CHECKSUM, in_place(spoil.checksum(site))),
        Insn::copy(1, 6),
        Insn::set(2, i32::from(CHECKSUM)),
        Insn::copy(3, STACK),
        Insn::add(3, i32::from(FRAME + CHECKSUM)),
        Insn::set(4, 2),
        Insn::set(5, 0),
        Insn::call(SKB_STORE_BYTES),
    ]);
    Insn::ending_with(program, TC_ACT_OK)
}
