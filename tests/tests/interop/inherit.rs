//! TTL and DSCP of the outer header, as they leave: fixed ones, those of the packet inside, and for
//! ARP, which has none. As in the kernel's `l2_tos_ttl_inherit.sh`, against the kernel's own device
//! with the same settings.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{packet::internet_checksum, sniff::Sniffer};

use crate::side_by_side::{Beside, Host};

const PATIENCE: Duration = Duration::from_secs(5);
/// What the packets inside carry: neither is a default of anything.
const INNER_TTL: u8 = 33;
const INNER_TOS: u8 = 0x2a;

/// What is in the tunnel, and what makes the host send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    V4,
    V6,
    /// Asks for an address that it has no neighbour for.
    Arp,
}

impl Inside {
    const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Arp];

    fn destination(self) -> &'static str {
        match self {
            Self::V4 => "192.168.44.7",
            Self::V6 => "2001:db8:44::7",
            Self::Arp => "192.168.44.8",
        }
    }

    /// Is it this, and for IP also an echo request with the fields that were asked for?
    fn is(self, inner: &[u8]) -> bool {
        let ip = inner.get(14..).unwrap_or_default();
        match self {
            Self::V4 => {
                inner[12..14] == [8, 0] && ip[1] == INNER_TOS && ip[8] == INNER_TTL && ip[20] == 8
            }
            Self::V6 => {
                let class = ip[0] << 4 | ip[1] >> 4;
                let is_v6 = inner[12..14] == [0x86, 0xdd];
                is_v6 && class == INNER_TOS && ip[7] == INNER_TTL && ip[40] == 128
            }
            Self::Arp => inner[12..14] == [8, 6] && ip[6..8] == [0, 1],
        }
    }
}

/// TTL and TOS byte that each host puts on the outer header.
fn outer_fields(beside: &Beside, host: Host, inside: Inside) -> Result<(u8, u8)> {
    let seen = Sniffer::start(&beside.tester, host.cable(), move |frame| {
        let tunnel = frame[12..14] == [8, 0] && frame.get(36..38) == Some(&[0x12, 0xb5]);
        tunnel && frame.get(50..).is_some_and(|inner| inside.is(inner))
    })?;
    let to = inside.destination();
    let ping = format!("ping -n -c 1 -W 0.1 -t {INNER_TTL} -Q {INNER_TOS} {to}");
    // Nobody answers, so it says that it failed.
    let output = beside.ns(host).output(&ping)?;
    let frames = seen.wait_for(1, PATIENCE);
    let captured = frames.first().with_context(|| format!("{host:?}, {inside:?}: {output:?}"))?;
    let ip = &captured.frame[14..34];
    ensure!(internet_checksum(&[ip]) == 0, "{host:?}, {inside:?}: wrong checksum: {ip:02x?}");
    Ok((ip[8], ip[1]))
}

/// `packet` is what IP inside must get; ARP always gets TTL 64, DSCP 0 and no mark from ours.
/// `kernels` is what the kernel's device with its `options` gives to IP and to ARP.
fn outer_is(underlay: &str, packet: (u8, u8), options: &str, kernels: [(u8, u8); 2]) -> Result<()> {
    let beside = Beside::with(underlay, options)?;
    for inside in Inside::ALL {
        let is_arp = inside == Inside::Arp;
        let ours = if is_arp { (64, 0) } else { packet };
        let found = outer_fields(&beside, Host::Ours, inside)?;
        ensure!(found == ours, "ours, {underlay}, {inside:?}: {found:02x?}, not {ours:02x?}");
        let kernels = kernels[usize::from(is_arp)];
        let found = outer_fields(&beside, Host::Kernel, inside)?;
        ensure!(found == kernels, "kernel, {options}, {inside:?}: {found:02x?}");
    }
    Ok(())
}

const ECN: u8 = INNER_TOS & 3;

#[test]
fn unless_told_otherwise_ttl_is_64_and_dscp_0() -> Result<()> {
    outer_is("", (64, ECN), "", [(64, ECN), (64, 0)])
}

#[test]
fn fields_of_the_packet_inside_are_inherited() -> Result<()> {
    let same = (INNER_TTL, INNER_TOS);
    let ours = "ttl = \"inherit\"\ndscp = \"inherit\"";
    outer_is(ours, same, "ttl inherit tos inherit", [same, (64, 0)])
}

#[test]
fn fields_can_be_fixed() -> Result<()> {
    let fixed = (7, 46 << 2 | ECN);
    // The kernel gives ARP its fixed values too.
    outer_is("ttl = 7\ndscp = 46", fixed, "ttl 7 tos 0xb8", [fixed, (7, 46 << 2)])
}
