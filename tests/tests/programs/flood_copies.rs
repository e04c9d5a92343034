//! Copies of a flooded frame that fail, and the maximum number of copies.

use vxlan_common::reason::TxDrop::{MtuExceeded, NoNeighbour, NoRoute};

use crate::{
    flood::{ALL, attached, broadcast, copied, ether, member, packet, sent_to, text, udp},
    prelude::*,
};

/// A copy that fails takes no other with it, and tells nobody.
#[test]
fn each_copy_by_itself() {
    let (mut bench, _link) = attached(&text("drop"));
    let ip = || Ipv4::new(GCP_HOST, Ipv4Addr::BROADCAST);
    let large = |len: usize| ether(BROADCAST).with(ip()).with(udp()).payload(&vec![7; len - 42]);
    let narrow = large(1400 - 36 + 1);
    let too_large = large(LARGEST_FRAME + 1).build();
    let bytes = narrow.build();
    let dropped = |name: &'static str| Deltas::tx_drop(MtuExceeded, member(name), 1);
    let nobody = ALL.iter().fold(Deltas::none(), |all, name| all.with(&dropped(name)));
    let rows = [
        copied("too large for office", &narrow, ALL)
            .deltas(sent_to(&bytes, &["aws", "depot"]).with(&dropped("office"))),
        Row::not_sent("too large for all", &too_large, MtuExceeded, member("depot")).deltas(nobody),
    ];
    check(&mut bench, Program::Encap, &rows);
    drop((bench, _link));

    // The last cannot be reached.
    let (mut bench, _link) = attached(&gcp(PUBLIC));
    let frame = broadcast().build();
    let row = Row::not_sent("lone", &frame, NoNeighbour, member("lone"));
    let lone = Deltas::tx_drop(NoNeighbour, member("lone"), 1);
    let row = row.deltas(sent_to(&frame, &["aws", "office"]).with(&lone));
    check(&mut bench, Program::Encap, &[row]);
}

/// `count` members, reached like `depot`.
fn many(count: usize) -> String {
    let mut text = r#"
        [node]
        name = "gcp"
        [underlay]
        interface = "ens4"
        address = "10.0.0.2"
        public_address = "203.0.113.10"
        "#
    .to_owned();
    for n in 0..count {
        text += &format!("[[peer]]\nname = \"p{n}\"\nendpoint = \"198.51.100.{}\"\n", n + 1);
    }
    let network = |vni, name, address| {
        format!(
            "[[network]]\nvni = {vni}\ninterface = \"{name}\"\naddresses = [\"{address}/24\"]\n"
        )
    };
    // Members in another order than the peers.
    text += &network(43, "vxlan43", "192.168.43.1");
    for n in (0..count).rev() {
        text += &format!(
            "[[network.member]]\npeer = \"p{n}\"\nallowed_ips = [\"10.9.{n}.0/24\"]\n\
             mac = \"02:00:00:09:00:{n:02x}\"\n"
        );
    }
    text += &network(1_193_046, "vxlan1193046", "172.31.0.1");
    text
}

#[test]
fn sixty_four_copies_at_most() {
    let station = |n| [2, 0, 0, 9, 0, n];
    for (count, from, skipped) in [
        (70, GCP_MAC, None),
        (70, station(60), Some(60)),
        (70, station(2), None),
        (64, GCP_MAC, None),
        (65, station(1), Some(1)),
    ] {
        let (mut bench, _link) = attached(&many(count));
        let ip = Ipv4::new(GCP_HOST, Ipv4Addr::BROADCAST);
        let frame = Packet::new().with(Eth::new(BROADCAST, from)).with(ip).with(udp()).build();
        // The first 64 in the order of the file, which is from the last peer down.
        let all: Vec<usize> = (count - 64..count).rev().filter(|n| Some(*n) != skipped).collect();
        let names: Vec<&'static str> =
            all.iter().map(|n| &*Box::leak(format!("p{n}").into_boxed_str())).collect();
        let endpoint = Ipv4Addr::new(198, 51, 100, *all.last().expect("many") as u8 + 1);
        let last = member(names.last().expect("many"));
        let row = Row::sent(format!("{count}"), &frame, &packet(&frame, endpoint, 4789), last);
        let row = row.deltas(sent_to(&frame, &names));
        check(&mut bench, Program::Encap, &[row]);
    }
}

#[test]
fn nobody_is_there() {
    let frame = broadcast().build();
    let row = || Row::not_sent("broadcast", &frame, NoRoute, NETWORK);
    let (mut bench, _link) = attached(&many(0));
    check(&mut bench, Program::Encap, &[row()]);
    drop((bench, _link));
    // The only member has sent it.
    let (mut bench, _link) = attached(&many(1));
    let ip = Ipv4::new(GCP_HOST, Ipv4Addr::BROADCAST);
    let from = Eth::new(BROADCAST, [2, 0, 0, 9, 0, 0]);
    let own = Packet::new().with(from).with(ip).with(udp()).build();
    check(&mut bench, Program::Encap, &[Row::not_sent("its own", &own, NoRoute, NETWORK)]);
    let endpoint = Ipv4Addr::new(198, 51, 100, 1);
    let row = Row::sent("ours", &frame, &packet(&frame, endpoint, 4789), member("p0"));
    check(&mut bench, Program::Encap, &[row]);
}
