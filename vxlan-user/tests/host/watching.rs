//! News of changes that others make.

use std::process::{Command, Stdio};

use tokio::time::timeout;
use vxlan_user::host::{Host, HostEvent, HostEvents};

use crate::namespace::{PATIENCE, addr, ifindex, ip, isolated, net};

fn device() -> u32 {
    ip("link add near type veth peer name nearp");
    ip("link set nearp up");
    ip("link set near up");
    ip("address add 192.0.2.1/24 dev near");
    ifindex("near")
}

async fn wait_for(events: &mut HostEvents, what: &str, want: impl Fn(&HostEvent) -> bool) {
    let mut others = Vec::new();
    let seen = async {
        loop {
            let event = events.next().await.expect("the watch goes on");
            if want(&event) {
                return;
            }
            others.push(event);
        }
    };
    if timeout(PATIENCE, seen).await.is_err() {
        panic!("no event: {what}; instead {others:?}");
    }
}

#[test]
fn tells_of_links_addresses_and_routes() {
    isolated(async || {
        let near = device();
        let host = Host::new().expect("a host");
        let mut events = host.watch().expect("a watch");

        ip("link set near mtu 1400");
        wait_for(&mut events, "MTU", |event| {
            matches!(event, HostEvent::Link { ifindex, name, mtu: 1400, up: true, carrier, .. }
                if *ifindex == near && name == "near" && *carrier)
        })
        .await;

        ip("address add 2001:db8::1/64 dev near nodad");
        let v6 = HostEvent::Address { ifindex: near, address: net("2001:db8::1/64") };
        wait_for(&mut events, "IPv6 address", |event| *event == v6).await;

        ip("route add 203.0.113.0/24 via 192.0.2.9");
        wait_for(&mut events, "route", |event| {
            matches!(event, HostEvent::Route(route) if route.prefix == net("203.0.113.0/24")
                && route.gateway == Some(addr("192.0.2.9")) && !route.is_ours())
        })
        .await;
        ip("route del 203.0.113.0/24");
        wait_for(&mut events, "route gone", |event| {
            matches!(event, HostEvent::RouteRemoved(route) if route.prefix == net("203.0.113.0/24"))
        })
        .await;

        ip("address del 192.0.2.1/24 dev near");
        let gone = HostEvent::AddressRemoved { ifindex: near, address: net("192.0.2.1/24") };
        wait_for(&mut events, "address gone", |event| *event == gone).await;

        ip("link set nearp down");
        wait_for(&mut events, "carrier lost", |event| {
            matches!(event, HostEvent::Link { ifindex, up: true, carrier: false, .. }
                if *ifindex == near)
        })
        .await;

        ip("link del near");
        let gone = HostEvent::LinkRemoved { ifindex: near, name: "near".into() };
        wait_for(&mut events, "link gone", |event| *event == gone).await;
    });
}

#[test]
fn leaving_a_bridge_is_no_removal() {
    isolated(async || {
        device();
        ip("link add middle type bridge");
        ip("link set near master middle");
        let host = Host::new().expect("a host");
        let mut events = host.watch().expect("a watch");
        ip("link set near nomaster");
        ip("link set near mtu 1400");
        let mut seen = Vec::new();
        while !matches!(seen.last(), Some(HostEvent::Link { mtu: 1400, .. })) {
            seen.push(timeout(PATIENCE, events.next()).await.expect("in time").expect("watch"));
        }
        let removed = |event: &HostEvent| matches!(event, HostEvent::LinkRemoved { .. });
        assert!(!seen.iter().any(removed), "{seen:?}");
    });
}

#[test]
fn a_batch_keeps_the_last_word_on_each_subject() {
    isolated(async || {
        let near = device();
        let host = Host::new().expect("a host");
        let mut events = host.watch().expect("a watch");
        for mtu in [1400, 1300, 1350] {
            ip(&format!("link set near mtu {mtu}"));
        }
        let mut batch = Vec::new();
        while !batch.iter().any(|event| matches!(event, HostEvent::Link { mtu: 1350, .. })) {
            batch = timeout(PATIENCE, events.next_batch()).await.expect("in time").expect("watch");
        }
        let of_near = batch
            .iter()
            .filter(|event| matches!(event, HostEvent::Link { ifindex, .. } if *ifindex == near));
        assert_eq!(of_near.count(), 1, "{batch:?}");
    });
}

/// More changes than a socket buffer holds, while nobody reads: this thread's runtime stands still.
fn flood() {
    let mut script = String::new();
    for _ in 0..1000 {
        script.push_str("link set near mtu 1400\nlink set near mtu 1300\n");
    }
    let mut batch =
        Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip -batch");
    let mut stdin = batch.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, script.as_bytes()).expect("ip reads");
    drop(stdin);
    assert!(batch.wait().expect("ip ends").success());
}

#[test]
fn lost_events_are_admitted_and_the_watch_goes_on() {
    isolated(async || {
        let near = device();
        let host = Host::new().expect("a host");
        let mut events = host.watch().expect("a watch");
        flood();
        wait_for(&mut events, "overrun", |event| *event == HostEvent::Overrun).await;
        ip("link set near mtu 1234");
        wait_for(
            &mut events,
            "the next change",
            |event| matches!(event, HostEvent::Link { ifindex, mtu: 1234, .. } if *ifindex == near),
        )
        .await;
        // The other connection is not disturbed by any of it.
        assert_eq!(host.underlay_link("near").await.expect("a read").mtu, 1234);
    });
}
