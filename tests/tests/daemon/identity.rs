//! What peers know this host by stays: the address that packets leave from, and the MAC address of
//! the overlay interface.

use std::fs;

use anyhow::{Result, ensure};
use vxlan_tests::{Run, daemon::Daemon, two_hosts::OVERLAY};

use crate::host::{CONFIG, Host, changed, logged, wait_until};

fn chosen(host: &Host) -> Result<Vec<String>> {
    let text = fs::read_to_string(host.daemon.run_dir().join("state.json"))?;
    let state: serde_json::Value = serde_json::from_str(&text)?;
    let addresses = state["underlay"]["addresses"].as_array().cloned().unwrap_or_default();
    Ok(addresses.iter().filter_map(|at| at.as_str().map(str::to_owned)).collect())
}

#[test]
fn a_further_address_moves_nothing() -> Result<()> {
    let config = changed("address = \"203.0.113.2\"\n", "");
    let (mut host, other) = Host::up(&config)?;
    host.ns().run("ip addr add 2001:db8:9::2/64 dev eth0 nodad")?;
    wait_until("both are in use", || Ok(chosen(&host)? == ["203.0.113.2", "2001:db8:9::2"]))?;
    for line in [
        // The kernel lists the newest IPv6 address first.
        "ip addr add 2001:db8:9::99/64 dev eth0 nodad",
        "ip addr add 203.0.113.99/24 dev eth0",
        "ip addr add 198.51.100.99/24 dev eth0",
    ] {
        host.ns().run(line)?;
    }
    host.assert_ping("with further addresses")?;
    for restart in [false, true] {
        if restart {
            host.daemon.terminate()?;
            host.daemon.launch()?;
        } else {
            let reloaded = host.vxlan(&["reload"])?;
            ensure!(reloaded.success(), "{}", reloaded.stderr);
        }
        // 2001:db8:9::2 was never home: it came later. It is in use all the same.
        assert_eq!(chosen(&host)?, ["203.0.113.2", "2001:db8:9::2"], "restart {restart}");
        host.assert_ping("still")?;
    }
    other.stop()
}

/// `promote_secondaries`, and the address that peers know comes back as a secondary one.
#[test]
fn packets_leave_from_home_again() -> Result<()> {
    let config = changed("address = \"203.0.113.2\"\n", "");
    let (host, other) = Host::up(&config)?;
    host.ns().run("sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1")?;
    host.ns().run("ip addr add 203.0.113.99/24 dev eth0")?;
    host.ns().run("ip addr del 203.0.113.2/24 dev eth0")?;
    wait_until("the other one is used", || Ok(chosen(&host)? == ["203.0.113.99"]))?;
    host.ns().run("ip addr add 203.0.113.2/24 dev eth0")?;
    wait_until("the first one is used again", || Ok(chosen(&host)? == ["203.0.113.2"]))?;
    host.assert_ping("from home")?;
    other.stop()
}

fn detects_duplicates(host: &Host) -> Result<()> {
    for setting in ["accept_dad=1", "dad_transmits=1"] {
        host.ns().run(&format!("sysctl -qw net.ipv6.conf.eth0.{setting}"))?;
    }
    Ok(())
}

/// The other host has the address already: duplicate address detection fails.
#[test]
fn an_address_that_is_not_unique_is_not_chosen() -> Result<()> {
    let config = changed("address = \"203.0.113.2\"\n", "");
    let (host, other) = Host::up(&config)?;
    host.pair.a.run("ip addr add 2001:db8:9::7/64 dev eth0 nodad")?;
    detects_duplicates(&host)?;
    host.ns().run("ip addr add 2001:db8:9::7/64 dev eth0")?;
    wait_until("detection fails", || {
        Ok(host.ns().run("ip -6 addr show dev eth0")?.contains("dadfailed"))
    })?;
    host.ns().run("ip addr add 2001:db8:9::8/64 dev eth0 nodad")?;
    wait_until(
        "the unique one is used",
        || Ok(chosen(&host)? == ["203.0.113.2", "2001:db8:9::8"]),
    )?;
    ensure!(!host.daemon.log().contains("2001:db8:9::7"), "{}", host.daemon.log());
    other.stop()
}

/// A start just after the card has got its address waits for the kernel's detection.
#[test]
fn a_start_waits_for_a_tentative_address() -> Result<()> {
    let config = CONFIG
        .replace("address = \"203.0.113.2\"\n", "")
        .replace("endpoint = \"203.0.113.1\"", "endpoint = \"[2001:db8:9::1]\"");
    ensure!(config.contains("2001:db8:9::1"), "{config}");
    let mut host = Host::new(&config)?;
    detects_duplicates(&host)?;
    host.ns().run("ip addr add 2001:db8:9::2/64 dev eth0")?;
    ensure!(host.ns().run("ip -6 addr show dev eth0 tentative")?.contains("2001:db8:9::2"));
    host.daemon.launch()?;
    ensure!(chosen(&host)?.contains(&"2001:db8:9::2".to_owned()));
    Ok(())
}

/// Two clouds, or two containers: their cards' MACs are made of the same internal address.
#[test]
fn hosts_whose_cards_have_one_mac_have_overlays_of_their_own() -> Result<()> {
    let run = Run::new()?;
    let [left, right] = [run.netns("left")?, run.netns("right")?];
    let mut macs = Vec::new();
    for (ns, name) in [(&left, "l"), (&right, "r")] {
        ns.run("ip link add eth0 type veth peer name wire")?;
        ns.run("ip link set eth0 address 42:01:0a:00:00:02")?;
        ns.run("ip addr add 203.0.113.2/24 dev eth0")?;
        ns.run("ip link set wire up")?;
        ns.run("ip link set eth0 up")?;
        let mut daemon = Daemon::prepare(ns, &run, name, &CONFIG)?;
        daemon.launch()?;
        let mac = ns.mac(OVERLAY)?;
        // Of a network that is made anew, and after a restart, it is the same.
        daemon.kill()?;
        ns.run(&format!("ip link del {OVERLAY}"))?;
        daemon.launch()?;
        assert_eq!(ns.mac(OVERLAY)?, mac);
        daemon.stop()?;
        macs.push(mac);
    }
    assert_ne!(macs[0], macs[1]);
    Ok(())
}

/// Somebody has cloned a host: the log of the other one says so, with the peer's name.
#[test]
fn a_peer_with_our_own_mac_is_named() -> Result<()> {
    let (host, other) = Host::up(&CONFIG)?;
    host.assert_ping("while they differ")?;
    let own = host.ns().mac(OVERLAY)?.map(|byte| format!("{byte:02x}")).join(":");
    host.pair.a.run(&format!("ip link set {OVERLAY} address {own}"))?;
    wait_until("its frames are counted", || {
        let _lost = host.pair.a.output("ping -c 1 -W 1 192.168.44.1");
        let labels = [("reason", "own_mac"), ("peer", "a")];
        Ok(host.daemon.metrics()?.total("vxlan_drops_total", &labels) > 0.0)
    })?;
    logged(&host.daemon, "has the same MAC address as ours")?;
    other.stop()
}
