//! A router that marks outer packets as having met congestion (RFC 3168), between two of ours: the
//! mark must reach the inner packet (RFC 6040), or the packet must not arrive.

use std::time::Duration;

use anyhow::{Result, ensure};
use vxlan_tests::{Wire, lab::Side, packet::fields, sniff::Sniffer, traffic::ping_with};

use crate::{ledger::Merging, two_subnets::Clouds};

const COUNT: u32 = 10;
const NOT_ECT: u8 = 0b00;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

/// The ECN field of an echo request, `layer` being "outer ipv4 tos" and the like.
fn request_mark(frame: &[u8], layer: &str, icmp: &str) -> Option<u8> {
    let found = fields(frame);
    let byte = |name: &str| {
        let field = found.iter().find(|field| field.name == name)?;
        frame.get(field.range.start).copied()
    };
    (byte(icmp)? == 8).then_some(byte(layer)? & 0b11)
}

#[test]
fn a_mark_from_a_router_reaches_the_inner_packet() -> Result<()> {
    let clouds = Clouds::new(Wire::Real)?;
    // Without marks first, so that both know each other's MAC address.
    clouds.ping(Side::Gcp, 1)?;
    clouds.clouds.internet.run_with_input(
        "nft -f -",
        "table ip congested {
            chain forward {
                type filter hook forward priority 0;
                iifname \"gcp\" udp dport 4789 ip ecn set ce
            }
        }",
    )?;
    for (sent, arrives) in [(NOT_ECT, None), (ECT_0, Some(CE))] {
        let before = clouds.read()?;
        let on_the_way = Sniffer::start(&clouds.clouds.internet, "gcp", |frame| {
            request_mark(frame, "outer ipv4 tos", "inner icmp type").is_some()
        })?;
        let inner = Sniffer::start(&clouds.clouds.aws, &Side::Aws.interface(), |frame| {
            request_mark(frame, "ipv4 tos", "icmp type").is_some()
        })?;
        let to = Side::Aws.overlay().into();
        let options = format!("-i 0.02 -W 1 -Q {sent}");
        let result = ping_with(clouds.ns(Side::Gcp), None, to, COUNT, &options)?;
        let answered = if arrives.is_some() { COUNT } else { 0 };
        ensure!(result.received == answered, "sent with ECN {sent:02b}: {}", result.output);

        let seen = on_the_way.wait_for(COUNT as usize, Duration::from_secs(5));
        let outer: Vec<_> = seen
            .iter()
            .filter_map(|seen| request_mark(&seen.frame, "outer ipv4 tos", "inner icmp type"))
            .collect();
        ensure!(outer == [sent; COUNT as usize], "{sent:02b} left in outer {outer:?}");
        inner.wait_for(answered as usize, Duration::from_secs(5));
        let arrived: Vec<_> = inner
            .finish()?
            .frames
            .iter()
            .filter_map(|seen| request_mark(&seen.frame, "ipv4 tos", "icmp type"))
            .collect();
        let expected: Vec<u8> = arrives.into_iter().cycle().take(answered as usize).collect();
        ensure!(arrived == expected, "{sent:02b} arrived as {arrived:?}");
        let lost = u64::from(COUNT - answered);
        clouds.settle(&before, Side::Aws, &[("rx ecn_error", lost)], Merging::None)?;
    }
    Ok(())
}
