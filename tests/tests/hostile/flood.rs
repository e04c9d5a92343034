//! Legitimate traffic before, during and after a flood of frames that are refused.

use std::{net::IpAddr, thread};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Ns,
    conserve::{link_stats, softnet_dropped},
    inject::inject,
    kernel_vxlan::KernelVxlan,
    traffic::{ping, udp_exchange},
};

use crate::victim::{INNER_FRIEND, INNER_VICTIM, Mode, UNLISTED, Victim, in_modes, labels};

const FLOOD: u64 = 200_000;
const DATAGRAMS: u64 = 5_000;

fn legitimate_traffic_survives(mode: Mode) -> Result<()> {
    let victim = Victim::new(mode)?;
    let (a, b) = (&victim.pair.a, &victim.pair.b);
    // Else its vxlan device reports its multicast groups, which is refused and would be counted.
    a.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
    let mac = KernelVxlan::new("vx0", 43, victim.pair.a_address, victim.pair.b_address)
        .address("192.168.44.1/24")
        .route("192.168.43.0/24")
        .create(a)?;
    // So that no ARP is in the counts.
    let text = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    a.run(&format!("ip neigh add 192.168.43.1 dev vx0 lladdr {}", text(victim.overlay_mac)))?;
    b.run(&format!("ip neigh add 192.168.44.1 dev vxlan43 lladdr {}", text(mac)))?;
    let to: IpAddr = INNER_VICTIM.into();
    let answers = ping(a, None, to, 5)?;
    ensure!(answers.all_answered(), "before the flood: {}", answers.output);

    let before = victim.count()?;
    let sent_before = offered(&victim)?;
    let lost_before = lost_on_the_wire(&victim)?;
    let softnet_before = softnet_dropped()?;
    let frame = victim.tunnelled(UNLISTED, 43, victim.inner(INNER_FRIEND, INNER_VICTIM));
    let attacker: Ns = (**a).clone();
    let flood = thread::spawn(move || inject(&attacker, "eth0", &[frame], FLOOD));
    let udp = udp_exchange(a, b, to, DATAGRAMS, 200, 20_000)?;
    let injected = flood.join().ok().context("the flood panicked")??;
    assert_eq!(injected.accepted, FLOOD);

    let sent = offered(&victim)? - sent_before;
    // A frame of the flood that was refused is in the veth's count, and was sent again.
    let lost = lost_on_the_wire(&victim)? - lost_before - injected.refused;
    let grown = victim.settle(&before, FLOOD + sent - lost, FLOOD + sent - lost)?;
    let softnet = softnet_dropped()? - softnet_before;
    println!("{mode:?}: {udp:?}, {injected:?}, lost on the wire {lost}, backlog {softnet}");
    assert_eq!(grown.dropped, [(labels("unknown_source", "", "43"), FLOOD)].into());
    // Whatever the friend sent and the wire did not lose was delivered.
    assert_eq!(grown.delivered, sent - lost, "{udp:?}");
    ensure!(sent >= DATAGRAMS, "the datagrams are not all in the count: {sent}");
    // And what was delivered reached the overlay, unless the machine's backlog overflowed.
    ensure!(grown.entered <= grown.delivered, "{grown:?}");
    ensure!(grown.delivered - grown.entered <= softnet, "{grown:?}, backlog {softnet}");
    assert_eq!((udp.sent, udp.duplicates, udp.damaged), (DATAGRAMS, 0, 0));
    ensure!(udp.sent - udp.received <= lost + softnet, "{udp:?}, wire {lost}, backlog {softnet}");

    let answers = ping(a, None, to, 20)?;
    ensure!(answers.all_answered(), "after the flood: {}", answers.output);
    victim.stop()
}

/// Frames that the friend's vxlan device was given; it counts those that the wire refused apart.
fn offered(victim: &Victim) -> Result<u64> {
    let device = link_stats(&victim.pair.a, "vx0")?;
    Ok(device.tx_packets + device.tx_dropped + device.tx_errors)
}

/// Frames that the veth pair had no room for, at the sending and at the receiving end.
fn lost_on_the_wire(victim: &Victim) -> Result<u64> {
    let sending = link_stats(&victim.pair.a, "eth0")?;
    let receiving = link_stats(&victim.pair.b, "eth0")?;
    Ok(sending.tx_dropped + receiving.rx_dropped)
}

in_modes!(
    legitimate_traffic_survives:
    native_metadata = NATIVE, native_mac = NATIVE_MAC, generic = GENERIC,
);
