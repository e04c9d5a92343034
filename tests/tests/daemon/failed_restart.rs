//! A restart that fails must not take down what a previous run left at work.

use std::{cell::RefCell, net::TcpListener};

use anyhow::{Result, ensure};

use crate::host::{CONFIG, Host, State, changed, lab_of};

/// `b` runs, ends, and fails to start again with `config` after `prepare`. Traffic goes on, and a
/// start with a good configuration takes over as if nothing had been. Returns the host before and
/// after the failure.
fn fails_to_restart(
    config: &str,
    prepare: impl Fn(&Host) -> Result<()>,
    amend: impl Fn(&Host) -> Result<()>,
) -> Result<[State; 2]> {
    let (mut host, other) = Host::up(&CONFIG)?;
    host.daemon.terminate()?;
    host.daemon.write_config(config)?;
    prepare(&host)?;
    let before = host.state()?;
    let out = host.vxlan(&["run"])?;
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let after = host.state()?;
    host.assert_ping(&format!("after `{}`", out.stderr.trim()))?;
    let shown = host.vxlan(&["show", "peers", "--json"])?;
    let peers: serde_json::Value = serde_json::from_str(&shown.stdout)?;
    let rx = peers["peers"][0]["networks"][0]["rx"]["packets"].as_u64();
    ensure!(rx >= Some(10), "`show` after `{}`: {peers:#}", out.stderr.trim());

    amend(&host)?;
    host.daemon.write_config(&CONFIG)?;
    host.daemon.launch()?;
    host.assert_ping(&format!("after a good start after `{}`", out.stderr.trim()))?;
    host.daemon.stop()?;
    assert!(!host.pair.b.has_interface("vxlan43")?);
    other.stop()?;
    Ok([before, after])
}

#[test]
fn for_a_taken_metrics_port() -> Result<()> {
    let taken = RefCell::new(None);
    let take = |host: &Host| {
        let listener = host.ns().exec(|| TcpListener::bind("127.0.0.1:9839"))??;
        taken.replace(Some(listener));
        Ok(())
    };
    let free = |_: &Host| {
        taken.replace(None);
        Ok(())
    };
    let [before, after] = fails_to_restart(&CONFIG, take, free)?;
    after.assert_is(&before, "the failed restart");
    Ok(())
}

#[test]
fn for_a_mistake_in_the_configuration() -> Result<()> {
    let config = changed("vni = 43", "vni = 43\nmtu = 9000");
    let [before, after] = fails_to_restart(&config, |_| Ok(()), |_| Ok(()))?;
    after.assert_is(&before, "the failed restart");
    Ok(())
}

/// 65,536 prefixes and one: more than the kernel's table of them holds.
#[test]
fn for_more_prefixes_than_there_is_room_for() -> Result<()> {
    let prefixes: Vec<String> =
        (0..65_536).map(|n| format!("\"10.{}.{}.{}/32\"", n >> 14, n >> 8 & 63, n & 255)).collect();
    let all = format!("[\"192.168.43.0/24\", {}]", prefixes.join(", "));
    let config = changed("[\"192.168.43.0/24\"]", &all);
    let [before, after] = fails_to_restart(&config, |_| Ok(()), |_| Ok(()))?;
    after.assert_is(&before, "the failed restart");
    Ok(())
}

#[test]
fn for_a_foreign_route() -> Result<()> {
    let config = changed("[\"192.168.43.0/24\"]", "[\"192.168.43.0/24\", \"10.9.0.0/16\"]");
    let add = |host: &Host| host.ns().run("ip route add 10.9.0.0/16 via 203.0.113.1").map(drop);
    let [before, after] = fails_to_restart(&config, add, |_| Ok(()))?;
    after.assert_is(&before, "the failed restart");
    Ok(())
}

#[test]
fn for_a_hidden_port_whose_name_is_taken() -> Result<()> {
    let config = format!("{}{}", *CONFIG, lab_of("a"));
    let add =
        |host: &Host| host.ns().run("ip link add vxport7 type veth peer name other").map(drop);
    let [before, after] = fails_to_restart(&config, add, |_| Ok(()))?;
    after.assert_is(&before, "the failed restart");
    Ok(())
}
