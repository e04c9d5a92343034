//! Neighbour resolution across a veth into a second namespace.

use std::net::IpAddr;

use tokio::time::timeout;
use vxlan_user::host::{Host, HostEvent, HostEvents, Neighbour, NeighbourState};

use crate::namespace::{Elsewhere, PATIENCE, addr, ifindex, ip, ip_json, isolated, link};

const THEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn wire() -> (Elsewhere, u32) {
    let elsewhere = Elsewhere::new();
    ip("link add near type veth peer name far address 02:00:00:00:00:02");
    ip(&format!("link set far netns {}", elsewhere.id));
    ip("address add 192.0.2.1/24 dev near");
    ip("address add 2001:db8::1/64 dev near nodad");
    ip("link set near up");
    elsewhere.ip("address add 192.0.2.2/24 dev far");
    elsewhere.ip("address add 2001:db8::2/64 dev far nodad");
    elsewhere.ip("link set far up");
    (elsewhere, ifindex("near"))
}

/// Reads events until the entry is what is wanted.
async fn wait_for(events: &mut HostEvents, address: IpAddr, want: fn(&Neighbour) -> bool) {
    let seen = async {
        while let Some(event) = events.next().await {
            if let HostEvent::Neighbour(neighbour) = event
                && neighbour.address == address
                && want(&neighbour)
            {
                return;
            }
        }
        panic!("the watch has ended");
    };
    timeout(PATIENCE, seen).await.expect("an event for the neighbour");
}

#[test]
fn resolves_both_families() {
    isolated(async || {
        let (_elsewhere, near) = wire();
        let host = Host::new().expect("a host");
        for text in ["192.0.2.2", "2001:db8::2"] {
            let address = addr(text);
            let mut events = host.watch().expect("a watch");
            assert_eq!(host.neighbour(near, address).await.expect("no entry"), None);

            host.resolve_neighbour(near, address).await.expect("started");
            wait_for(&mut events, address, |neighbour| neighbour.usable_mac().is_some()).await;

            let entry = host.neighbour(near, address).await.expect("a read").expect("an entry");
            assert_eq!((entry.ifindex, entry.mac), (near, Some(THEIR_MAC)));
            assert_eq!(entry.state, NeighbourState::Reachable);
            let all = host.neighbours(near).await.expect("a list");
            assert!(all.contains(&entry), "{all:?}");

            let shown = ip_json(&format!("neighbour show {text} dev near"));
            assert_eq!(shown[0]["lladdr"], "02:00:00:00:00:02");
            // Again: confirms, is no error.
            host.resolve_neighbour(near, address).await.expect("started again");
        }
    });
}

#[test]
fn a_silent_neighbour_fails_and_has_no_usable_mac() {
    isolated(async || {
        let (_elsewhere, near) = wire();
        let host = Host::new().expect("a host");
        let mut events = host.watch().expect("a watch");
        let nobody = addr("192.0.2.99");
        host.resolve_neighbour(near, nobody).await.expect("started");
        wait_for(&mut events, nobody, |entry| entry.state == NeighbourState::Failed).await;
        let entry = host.neighbour(near, nobody).await.expect("a read").expect("an entry");
        assert_eq!(entry.usable_mac(), None);
    });
}

#[test]
fn reads_permanent_entries_of_this_interface_only() {
    isolated(async || {
        let (_elsewhere, near) = wire();
        ip("link add third type veth peer name thirdp");
        ip("link set third up");
        ip("neighbour add 192.0.2.50 lladdr 02:00:00:00:00:50 dev near nud permanent");
        ip("neighbour add 192.0.2.51 lladdr 02:00:00:00:00:51 dev third nud permanent");
        let host = Host::new().expect("a host");
        let entry = host.neighbour(near, addr("192.0.2.50")).await.expect("read").expect("entry");
        assert_eq!(entry.state, NeighbourState::Permanent);
        assert_eq!(entry.usable_mac(), Some([2, 0, 0, 0, 0, 0x50]));
        let listed = host.neighbours(near).await.expect("a list");
        assert!(listed.iter().all(|n| n.ifindex == near), "{listed:?}");
        assert!(listed.contains(&entry));
        assert_eq!(host.neighbour(near, addr("192.0.2.51")).await.expect("no entry"), None);
        assert_eq!(link("near")["ifindex"], near);
    });
}
