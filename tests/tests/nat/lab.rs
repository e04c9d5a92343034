//! The lab itself: do its boxes do what is said of them? Plain UDP sockets; the product has no
//! part.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Ns,
    inject::inject,
    nat_lab::{Nat, NatLab, PORT, Side, THIRD, breaker::Spoil},
    packet::{Checksum, Eth, Ipv4, Packet, Udp},
    sniff::Sniffer,
    traffic::ping_with,
};

const SOON: Duration = Duration::from_secs(2);
/// For what must not come.
const NEVER: Duration = Duration::from_millis(100);

/// A socket on the tunnel's port.
fn socket(ns: &Ns) -> Result<UdpSocket> {
    let socket = ns.exec(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)))?;
    Ok(socket?)
}

/// Sends a word, and waits for it at the other end: from where it seems to come.
fn seen(from: &UdpSocket, at: &UdpSocket, to: SocketAddrV4) -> Result<Option<SocketAddrV4>> {
    from.send_to(b"hello", to)?;
    at.set_read_timeout(Some(NEVER))?;
    let received = loop {
        match at.recv_from(&mut [0; 16]) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            received => break received,
        }
    };
    match received {
        Ok((_, SocketAddr::V4(source))) => Ok(Some(source)),
        Ok((_, source)) => anyhow::bail!("from {source}"),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn tunnel(address: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(address, PORT)
}

/// How `a` looks from `b` and from the third host, and whether `b` reaches it unasked at `at`.
struct Look {
    from_b: SocketAddrV4,
    from_third: SocketAddrV4,
    unasked: bool,
}

fn look(lab: &NatLab, at: SocketAddrV4) -> Result<Look> {
    let (a, b, third) = (socket(&lab.a.host)?, socket(&lab.b.host)?, socket(&lab.third)?);
    let unasked = seen(&b, &a, at)?.is_some();
    let from_b = seen(&a, &b, tunnel(lab.b.public()))?.context("nothing came to b")?;
    let from_third = seen(&a, &third, tunnel(THIRD))?.context("nothing came to the third host")?;
    // Answers come back the same way, again and again.
    for _ in 0..3 {
        ensure!(seen(&b, &a, from_b)? == Some(tunnel(lab.b.public())), "b's answer is lost");
        ensure!(seen(&third, &a, from_third)? == Some(tunnel(THIRD)), "the third's is lost");
        ensure!(seen(&a, &b, tunnel(lab.b.public()))? == Some(from_b), "the mapping has changed");
    }
    Ok(Look { from_b, from_third, unasked })
}

#[test]
fn routers_without_nat_leave_everything_alone() -> Result<()> {
    let lab = NatLab::new(Nat::None, Nat::None)?;
    let own = tunnel(lab.a.own());
    ensure!(lab.a.public() == lab.a.own());
    let look = look(&lab, own)?;
    ensure!(look.unasked && look.from_b == own && look.from_third == own);
    Ok(())
}

#[test]
fn one_to_one_changes_the_address_and_lets_everybody_in() -> Result<()> {
    for other in [Nat::None, Nat::OneToOne] {
        let lab = NatLab::new(Nat::OneToOne, other)?;
        let public = tunnel(Side::A.router());
        let look = look(&lab, public)?;
        ensure!(look.unasked && look.from_b == public && look.from_third == public);
    }
    Ok(())
}

#[test]
fn port_preserving_napt_keeps_the_port_and_lets_in_whom_it_asked() -> Result<()> {
    let lab = NatLab::new(Nat::PortPreserving, Nat::None)?;
    let public = tunnel(Side::A.router());
    let look = look(&lab, public)?;
    ensure!(!look.unasked && look.from_b == public && look.from_third == public);
    for to in [lab.b.public(), THIRD] {
        ensure!(lab.a.mapped_port(lab.a.own(), to)? == Some(PORT), "{}", lab.a.mappings()?);
    }
    Ok(())
}

#[test]
fn mapped_napt_has_one_other_port_for_everybody() -> Result<()> {
    let lab = NatLab::new(Nat::Mapped(40_000), Nat::None)?;
    let public = SocketAddrV4::new(Side::A.router(), 40_000);
    let look = look(&lab, public)?;
    ensure!(!look.unasked && look.from_b == public && look.from_third == public);
    Ok(())
}

#[test]
fn symmetric_napt_has_a_port_for_each_destination() -> Result<()> {
    let lab = NatLab::new(Nat::Symmetric, Nat::None)?;
    let look = look(&lab, tunnel(Side::A.router()))?;
    ensure!(!look.unasked);
    ensure!(*look.from_b.ip() == Side::A.router() && *look.from_third.ip() == Side::A.router());
    let ports = [look.from_b.port(), look.from_third.port()];
    ensure!(ports[0] != ports[1] && !ports.contains(&PORT), "{ports:?}");
    Ok(())
}

#[test]
fn two_hosts_share_an_address_and_differ_in_ports() -> Result<()> {
    for nat in [Nat::PortPreserving, Nat::Mapped(40_000), Nat::Symmetric] {
        let mut lab = NatLab::new(nat, Nat::None)?;
        lab.add_second()?;
        let second = socket(lab.second().context("no second host")?)?;
        let (a, b) = (socket(&lab.a.host)?, socket(&lab.b.host)?);
        let to = tunnel(lab.b.public());
        let first = seen(&a, &b, to)?.context("nothing of the first")?;
        let other = seen(&second, &b, to)?.context("nothing of the second")?;
        ensure!(first.ip() == other.ip() && first.port() != other.port(), "{first} {other}");
        ensure!(seen(&b, &a, first)?.is_some(), "{nat:?}: the first gets no answer");
        ensure!(seen(&b, &second, other)?.is_some(), "{nat:?}: the second gets no answer");
        let mapped = lab.a.mapped_port(lab.second_own(), lab.b.public())?;
        ensure!(mapped == Some(other.port()), "{}", lab.a.mappings()?);
    }
    Ok(())
}

#[test]
fn a_box_that_forgets_lets_nobody_in_until_it_is_asked_again() -> Result<()> {
    for nat in [Nat::PortPreserving, Nat::Mapped(40_000), Nat::Symmetric] {
        let mut lab = NatLab::new(nat, Nat::None)?;
        let (a, b) = (socket(&lab.a.host)?, socket(&lab.b.host)?);
        let to = tunnel(lab.b.public());
        let before = seen(&a, &b, to)?.context("nothing came")?;
        ensure!(seen(&b, &a, before)?.is_some(), "{nat:?}: no answer");
        lab.a.forget()?;
        let swallowed = lab.a.swallowed()?;
        ensure!(seen(&b, &a, before)?.is_none(), "{nat:?}: it has not forgotten");
        ensure!(lab.a.swallowed()? == swallowed + 1);
        let after = seen(&a, &b, to)?.context("nothing came any more")?;
        ensure!((after == before) == (nat != Nat::Symmetric), "{nat:?}: {before} {after}");
        ensure!(seen(&b, &a, after)?.is_some(), "{nat:?}: no answer afterwards");

        lab.a.change_nat(Nat::Mapped(41_000))?;
        ensure!(seen(&b, &a, after)?.is_none(), "{nat:?}: the old mapping is still there");
        let changed = seen(&a, &b, to)?.context("nothing came after the change")?;
        ensure!(changed.port() == 41_000, "{changed}");
        ensure!(seen(&b, &a, changed)?.is_some(), "no answer after the change");
    }
    Ok(())
}

#[test]
fn a_block_is_of_one_direction_and_counts() -> Result<()> {
    let lab = NatLab::new(Nat::None, Nat::OneToOne)?;
    let (a, b) = (socket(&lab.a.host)?, socket(&lab.b.host)?);
    let (to_a, to_b) = (tunnel(lab.a.public()), tunnel(lab.b.public()));
    let block = lab.block("a", "b")?;
    ensure!(seen(&a, &b, to_b)?.is_none() && seen(&b, &a, to_a)?.is_some());
    ensure!(block.packets()? == 1);
    let other = lab.block("b", "a")?;
    ensure!(seen(&a, &b, to_b)?.is_none() && seen(&b, &a, to_a)?.is_none());
    ensure!(block.packets()? == 2 && other.packets()? == 1);
    drop(block);
    ensure!(seen(&a, &b, to_b)?.is_some() && seen(&b, &a, to_a)?.is_none());
    drop(other);
    ensure!(seen(&b, &a, to_a)?.is_some());
    Ok(())
}

#[test]
fn a_narrow_path_is_narrow_in_one_direction() -> Result<()> {
    for nat in [Nat::None, Nat::OneToOne, Nat::Mapped(40_000)] {
        // Answers are as long as questions, so both directions show.
        let passes = |lab: &NatLab, length: u32| -> Result<bool> {
            let options = format!("-W 0.3 -M do -s {}", length - 28);
            let to = lab.b.public().into();
            Ok(ping_with(&lab.a.host, None, to, 1, &options)?.received == 1)
        };
        let lab = NatLab::new(nat, Nat::None)?;
        ensure!(passes(&lab, 1500)?, "{nat:?}: narrow from the start");
        lab.narrow(Side::B, 1400)?;
        ensure!(passes(&lab, 1400)? && !passes(&lab, 1401)?, "{nat:?}: not 1400 towards b");
        let route = lab.a.host.run(&format!("ip route get {}", lab.b.public()))?;
        ensure!(route.contains("mtu 1400"), "{nat:?}: nobody was told: {route}");
        // Of the host itself it is known no more, but b's answers are of full length.
        let wide = Sniffer::start(&lab.a.host, "eth0", |frame| frame.len() == 14 + 1500)?;
        let b = socket(&lab.b.host)?;
        let a = socket(&lab.a.host)?;
        let from = seen(&a, &b, tunnel(lab.b.public()))?.context("nothing came to b")?;
        b.send_to(&[0; 1472], from)?;
        ensure!(wide.wait_for(1, SOON).len() == 1, "{nat:?}: narrow the other way too");
    }
    Ok(())
}

#[test]
fn a_black_hole_swallows_without_a_word() -> Result<()> {
    let lab = NatLab::new(Nat::None, Nat::None)?;
    let hole = lab.narrow_silently(Side::B, 1400)?;
    let to = lab.b.public().into();
    let length = |bytes: u32| {
        ping_with(&lab.a.host, None, to, 1, &format!("-W 0.2 -M do -s {}", bytes - 28))
    };
    ensure!(length(1400)?.received == 1);
    ensure!(length(1401)?.received == 0);
    ensure!(hole.packets()? == 1);
    let route = lab.a.host.run(&format!("ip route get {to}"))?;
    ensure!(!route.contains("mtu"), "somebody said it: {route}");
    Ok(())
}

#[test]
fn a_spoiler_writes_checksums_to_the_tunnels_port_only() -> Result<()> {
    for spoil in [Spoil::Incremental, Spoil::Constant(0x1234)] {
        let lab = NatLab::new(Nat::OneToOne, Nat::None)?;
        lab.spoil_checksums(Side::A, spoil)?;
        let wire = Sniffer::start(&lab.b.host, "eth0", |frame| frame.get(23) == Some(&17))?;
        let to = lab.b.public();
        let frame = |port, checksum| {
            let (router, host) = (lab.a.router.mac("lan")?, lab.a.host.mac("eth0")?);
            let udp = Udp { checksum, ..Udp::new(5000, port) };
            let ip = Ipv4::new(lab.a.own(), to);
            Ok(Packet::new()
                .with(Eth::new(router, host))
                .with(ip)
                .with(udp)
                .payload(b"hello")
                .build())
        };
        // Without a checksum, as the tunnel sends; with one; and to another port.
        let frames: Vec<_> = [Checksum::Zero, Checksum::Right]
            .into_iter()
            .flat_map(|checksum| [frame(PORT, checksum), frame(5000, checksum)])
            .collect::<Result<_>>()?;
        inject(&lab.a.host, "eth0", &frames, 4)?;
        let seen: Vec<(u16, u16)> = wire
            .wait_for(4, SOON)
            .iter()
            .map(|captured| {
                let half = |at| u16::from_be_bytes([captured.frame[at], captured.frame[at + 1]]);
                (half(36), half(40))
            })
            .collect();
        let [(4789, spoiled), (5000, 0), (4789, with), (5000, right)] = seen[..] else {
            anyhow::bail!("{spoil:?}: {seen:04x?}");
        };
        ensure!(spoiled == spoil.checksum(&lab.a) && spoiled != 0, "{spoil:?}: {spoiled:04x}");
        let touched = spoil != Spoil::Incremental;
        ensure!((with == spoiled) == touched, "{spoil:?}: {with:04x}");
        ensure!(right != spoiled, "{spoil:?}: {right:04x}");
    }
    Ok(())
}
