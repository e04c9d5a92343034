//! One box after the other: what is counted of data packets, what probes prove, and the verdict
//! with its evidence on both ends.

use anyhow::{Result, ensure};
use serde_json::Value;
use vxlan_tests::nat_lab::{Nat, PORT};

use crate::world::{Host, Node, Setup, World, is_napt, says};

/// A time on the wire is more than this and less than that, in seconds.
const RTT: std::ops::Range<f64> = 1e-6..5.0;

/// What holds of any two hosts between which probes pass; `routers` are on the way.
fn healthy(world: &World, node: Node, peer: Node, routers: u64) -> Result<()> {
    let host = world.host(node)?;
    let before = host.report(peer)?;
    let metrics = host.metrics()?;
    // Reports are written once in a second, some of the counters at once.
    let count = |name| metrics.get(name, &[("peer", peer.name())]);
    let trips = count("vxlan_probe_rtt_seconds_count");
    let after = host.wait(peer, "a later report", |report| {
        report["probes"]["answered"].as_f64() >= Some(trips) && *report != before
    })?;
    let context = format!("{} about {}: {after:#}", node.name(), peer.name());

    // The page was taken between two reports.
    for (name, field) in [
        ("vxlan_probes_sent_total", "sent"),
        ("vxlan_probe_rtt_seconds_count", "answered"),
        ("vxlan_probes_lost_total", "lost"),
    ] {
        let of = |report: &Value| report["probes"][field].as_f64().unwrap_or(-1.0);
        let between = of(&before)..=of(&after);
        ensure!(between.contains(&count(name)), "{name} is not in {between:?}: {context}");
    }
    ensure!(count("vxlan_probes_sent_total") > 0.0 && count("vxlan_probe_rtt_seconds_count") > 0.0);
    ensure!(count("vxlan_peer_up") == 1.0, "down: {context}");
    for direction in ["tx", "rx"] {
        let labels = [("peer", peer.name()), ("direction", direction)];
        ensure!(metrics.get("vxlan_probe_loss_ratio", &labels) == 0.0, "{direction}: {context}");
    }
    world.no_probe_went_wrong()?;
    ensure!(
        after["liveness"]["by"]["kind"] == "probes" && after["liveness"]["up"] == true,
        "{context}"
    );
    ensure!(after["loss"]["tx"] == 0.0 && after["loss"]["rx"] == 0.0, "{context}");
    ensure!(after["hops"]["tx"] == routers && after["hops"]["rx"] == routers, "{context}");
    for field in ["last", "smoothed", "min"] {
        let seconds = after["rtt"][field].as_f64().unwrap_or_default();
        ensure!(RTT.contains(&seconds), "{field}: {context}");
    }
    ensure!(after["endpoint"] == world.endpoint_of(peer, node)?, "{context}");
    ensure!(after["learned"] == is_napt(peer.nat(&world.lab)), "{context}");
    for (probe, sender, receiver) in [("ours", node, peer), ("theirs", peer, node)] {
        header(world, &after[probe], sender, receiver)
            .map_err(|error| error.context(context.clone()))?;
    }
    Ok(())
}

/// The outer header of one probe, as the lab's boxes leave it.
fn header(world: &World, probe: &Value, sender: Node, receiver: Node) -> Result<()> {
    let lab = &world.lab;
    let own = |node: Node| node.own(lab).to_string();
    let address = |value: &Value| {
        value.as_str().and_then(|text| text.rsplit_once(':')).map(|(at, _)| at.to_owned())
    };
    let (sent, seen) = (&probe["sent"], &probe["seen"]);
    ensure!(address(&sent["source"]) == Some(own(sender)), "sent from {}", sent["source"]);
    ensure!(
        sent["destination"] == world.endpoint_of(receiver, sender)?,
        "sent to {}",
        sent["destination"]
    );
    let public = sender.public(lab).to_string();
    ensure!(address(&seen["source"]) == Some(public), "seen from {}", seen["source"]);
    ensure!(
        seen["destination"] == format!("{}:{PORT}", own(receiver)),
        "seen to {}",
        seen["destination"]
    );
    ensure!(sent["ttl"] == 64 && sent["checksum"] == "zero" && seen["checksum"] == "zero");
    ensure!(sent["length"] == seen["length"] && sent["dont_fragment"] == true);
    Ok(())
}

/// All there is to hold of a pair of hosts behind these boxes.
fn is(a: Nat, b: Nat, kind: &str, evidence: [&[&str]; 2]) -> Result<()> {
    let world = World::new(a, b)?;
    // First data: the evidence must not need any.
    world.traffic_passes(Node::A, Node::B)?;
    for (host, peer, texts) in both(&world, evidence)? {
        host.verdict(peer, kind, texts)?;
        healthy(&world, host.node, peer, 3)?;
        let data = host.read()?.of(peer).rx;
        ensure!(data > 0, "no data");
        let report =
            host.wait(peer, "where data come from", |report| report["data"].is_object())?;
        let moves =
            host.metrics()?.get("vxlan_nat_mapping_changes_total", &[("peer", peer.name())]);
        ensure!(report["mapping_changes"].as_f64() == Some(moves), "{report:#}");
        ensure!(moves == 0.0, "nothing has moved: {report:#}");
        let port = world.port_of(peer, host.node)?;
        let data = &report["data"];
        ensure!(data["address"] == peer.public(&world.lab).to_string(), "{report:#}");
        ensure!(data["port"] == if port == PORT { Value::Null } else { port.into() }, "{report:#}");
        ensure!(data["ttl"] == 61 && data["mappings"] == 1 && data["changes"] == 0, "{report:#}");
    }
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

fn both<'a>(
    world: &'a World,
    evidence: [&'a [&'a str]; 2],
) -> Result<[(&'a Host, Node, &'a [&'a str]); 2]> {
    let [a, b] = world.ends()?;
    Ok([(a, Node::B, evidence[0]), (b, Node::A, evidence[1])])
}

#[test]
fn no_nat_is_none() -> Result<()> {
    is(
        Nat::None,
        Nat::None,
        "none",
        [
            &["our 203.0.113.130:", "arrives at b as it is", "of b arrives as it is"],
            &["our 198.51.100.130:", "arrives at a as it is", "data packets of a came from"],
        ],
    )
}

#[test]
fn one_to_one_on_one_side() -> Result<()> {
    is(
        Nat::OneToOne,
        Nat::None,
        "one_to_one",
        [
            &["our 10.0.0.2:", "arrives at b as 203.0.113.10:", "nobody here asked for get in:"],
            &["a sends from 10.0.0.2:", "arrives as 203.0.113.10:", "did not ask for get in:"],
        ],
    )
}

#[test]
fn one_to_one_on_both_sides() -> Result<()> {
    is(
        Nat::OneToOne,
        Nat::OneToOne,
        "one_to_one",
        [
            &[
                "arrives at b as 203.0.113.10:",
                "what we send to 198.51.100.20:4789 arrives at 10.0.0.119:4789 of b",
                "nobody here asked for get in:",
                "the peer did not ask for get in:",
            ],
            &[
                "arrives at a as 198.51.100.20:",
                "what a sends to 198.51.100.20:4789 arrives at our",
            ],
        ],
    )
}

#[test]
fn napt_that_keeps_the_port() -> Result<()> {
    is(
        Nat::PortPreserving,
        Nat::None,
        "port_preserving_napt",
        [
            &["arrives at b as 203.0.113.10:4789", "nobody here asked for do not get in: 0 came"],
            &["which arrives as 203.0.113.10:4789", "did not ask for do not get in: 0 of "],
        ],
    )
}

#[test]
fn napt_that_changes_the_port() -> Result<()> {
    is(
        Nat::Mapped(40_000),
        Nat::None,
        "napt",
        [
            &["our 10.0.0.2:4789 arrives at b as 203.0.113.10:40000"],
            &[
                "a sends from 10.0.0.2:4789, which arrives as 203.0.113.10:40000",
                "came from port 40000 instead of 4789",
            ],
        ],
    )
}

/// The other way round: the host behind the NAPT is `b`'s, and its peer is the one that learns.
#[test]
fn napt_on_the_other_side_behind_one_to_one() -> Result<()> {
    is(
        Nat::Mapped(40_000),
        Nat::OneToOne,
        "napt",
        [
            &["arrives at b as 203.0.113.10:40000", "arrives at 10.0.0.119:4789 of b"],
            &["which arrives as 203.0.113.10:40000"],
        ],
    )
}

/// One destination alone cannot show that another would see another port.
#[test]
fn random_ports_are_napt_to_a_host_with_one_peer() -> Result<()> {
    let evidence = "our 10.0.0.2:4789 arrives at b as 203.0.113.10:";
    is(Nat::Symmetric, Nat::None, "napt", [&[evidence], &["came from port"]])
}

/// With a second peer it is known, and both peers are told.
#[test]
fn random_ports_are_symmetric_to_a_host_with_two_peers() -> Result<()> {
    let world = Setup::new(Nat::Symmetric, Nat::None)?.with_third().start()?;
    world.all_up()?;
    for peer in [Node::B, Node::Third] {
        world.traffic_passes(Node::A, peer)?;
    }
    let differs = "our address or port differs from peer to peer";
    let (a, b, third) = (world.host(Node::A)?, world.host(Node::B)?, world.host(Node::Third)?);
    for peer in [Node::B, Node::Third] {
        let report = a.verdict(peer, "symmetric", &[differs])?;
        let as_seen = world.endpoint_of(Node::A, peer)?;
        ensure!(says(&report, &as_seen), "not as {as_seen}: {report:#}");
    }
    for (host, routers) in [(b, 3), (third, 2)] {
        host.verdict(Node::A, "symmetric", &["a says that its address or port differs"])?;
        healthy(&world, host.node, Node::A, routers)?;
        healthy(&world, Node::A, host.node, routers)?;
    }
    ensure!(b.report(Node::A)?["endpoint"] != third.report(Node::A)?["endpoint"]);
    for peer in [Node::B, Node::Third] {
        world.traffic_passes(Node::A, peer)?;
    }
    world.stop()
}

/// NAPT that gives every destination the same port is not symmetric, however many peers there are.
#[test]
fn one_port_for_all_peers_is_not_symmetric() -> Result<()> {
    let world = Setup::new(Nat::Mapped(40_000), Nat::None)?.with_third().start()?;
    world.all_up()?;
    for peer in [Node::B, Node::Third] {
        world.traffic_passes(Node::A, peer)?;
        world.host(Node::A)?.verdict(peer, "napt", &["as 203.0.113.10:40000"])?;
        world.host(peer)?.verdict(Node::A, "napt", &[])?;
    }
    world.stop()
}

/// Two peers behind one address: only their ports tell them apart.
#[test]
fn two_peers_behind_one_address() -> Result<()> {
    for nat in [Nat::PortPreserving, Nat::Mapped(40_000), Nat::Symmetric] {
        let world = Setup::new(nat, Nat::None)?.with_second()?.start()?;
        world.all_up()?;
        let b = world.host(Node::B)?;
        for peer in [Node::A, Node::Second] {
            // Of the two that want port 4789 one gets it.
            let kept = world.port_of(peer, Node::B)? == PORT;
            let kind = if kept { "port_preserving_napt" } else { "napt" };
            b.verdict(peer, kind, &["which arrives as 203.0.113.10:"])?;
            world.host(peer)?.verdict(Node::B, kind, &["arrives at b as 203.0.113.10:"])?;
            healthy(&world, Node::B, peer, 3)?;
            healthy(&world, peer, Node::B, 3)?;
        }
        for peer in [Node::A, Node::Second, Node::A] {
            world.traffic_passes(peer, Node::B)?;
        }
        ensure!(b.report(Node::A)?["endpoint"] != b.report(Node::Second)?["endpoint"]);
        world.stop()?;
    }
    Ok(())
}
