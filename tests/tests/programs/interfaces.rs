//! Overlay interfaces as `encap` tells them apart: the same frame means another network on each.

use anyhow::Result;
use vxlan_common::reason::TxDrop::NoRoute;
use vxlan_tests::Run;

use crate::{
    encap::{To, sent},
    prelude::*,
};

/// Interfaces of a namespace of its own, so that their numbers are known.
const FIRST: u32 = 11;
const SECOND: u32 = 12;

#[test]
fn the_interface_decides_the_network() -> Result<()> {
    let run = Run::new()?;
    let netns = run.netns("interfaces")?;
    netns.run(&format!(
        "ip link add first index {FIRST} type veth peer name second index {SECOND}"
    ))?;
    netns.exec(|| {
        let host = Host { overlays: &[(FIRST, GCP_MAC), (SECOND, OTHER_MAC)], ..GCP };
        let mut bench = Bench::here(&gcp(PUBLIC), host);
        let on = |ifindex, row: Row| row.context(Context { ifindex, ..Context::DEFAULT });

        let aws = ping_out();
        let ip = Ipv4::new(GCP_OTHER_HOST, OFFICE_OTHER_HOST);
        let office = Packet::new()
            .with(Eth::new(OFFICE_MAC, OTHER_MAC))
            .with(ip)
            .with(Icmp::echo_request(1, 1));
        let (aws_bytes, office_bytes) = (aws.build(), office.build());
        let packet = Packet::new()
            .with(Eth::new([0; 6], [0; 6]))
            .with(Ipv4::new(GCP_PRIVATE, OFFICE))
            .with(Udp::vxlan(port_of(&office_bytes)).dst_port(8472))
            .with(Vxlan::new(OTHER_VNI))
            .payload(&office_bytes)
            .build();
        let there = Who::Member("office", OTHER_VNI);
        let (first, second) = (Who::Network(VNI), Who::Network(OTHER_VNI));
        // Its address alone decides: the station is declared in network 43 only.
        let strange = Packet::new().with(Eth::new(STRANGE_MAC, GCP_MAC)).with(ip_to_office());
        let rows = [
            on(FIRST, sent("aws' address, first interface", &aws, To::Aws)),
            on(SECOND, Row::not_sent("aws' address, second", &aws_bytes, NoRoute, second)),
            on(SECOND, Row::sent("office's second address, second", &office_bytes, &packet, there)),
            on(FIRST, sent("declared MAC, first", &office, To::Office)),
            on(FIRST, Row::not_sent("second address, first", &strange.build(), NoRoute, first)),
            on(1, Row::not_sent("no network's interface", &aws_bytes, NoRoute, Who::Nobody)),
        ];
        check(&mut bench, Program::Encap, &rows);
    })
}

fn ip_to_office() -> Ipv4 {
    Ipv4::new(GCP_OTHER_HOST, OFFICE_OTHER_HOST)
}
