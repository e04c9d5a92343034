//! A peer whose endpoint is learned: what is known of it before and after, without any probe; and
//! keys that stop a start.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use vxlan_tests::{daemon::Daemon, traffic::ping};

use crate::{
    host::{CONFIG_A, Host, changed, line_of},
    refused::assert_refused,
};

const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101\n";

/// The configuration of `b`, to which `a` could be anywhere.
fn learning() -> String {
    changed("endpoint = \"203.0.113.1\"", "endpoint = \"learn\"\nkey_file = \"a.key\"")
        .replace("xdp = \"auto\"", "xdp = \"auto\"\nsource_port = \"fixed\"")
}

fn write_key(host: &Host, name: &str, mode: u32) -> Result<()> {
    let path = host.daemon.config().with_file_name(name);
    fs::write(&path, KEY)?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(mode))?)
}

fn peer(host: &Host) -> Result<Value> {
    let out = host.vxlan(&["show", "peers", "--json"])?;
    let shown: Value = serde_json::from_str(&out.stdout).with_context(|| out.stderr.clone())?;
    Ok(shown["peers"][0].clone())
}

fn answers(host: &Host) -> Result<bool> {
    let (from, to): (IpAddr, IpAddr) = ([192, 168, 43, 1].into(), [192, 168, 44, 1].into());
    let answers = ping(&host.pair.a, Some(from), to, 2)?;
    // What waits for an answer to ARP would let the next ones wait and fail with it.
    host.pair.a.run("ip neigh flush dev vxlan43")?;
    Ok(answers.all_answered())
}

#[test]
fn nothing_passes_until_a_former_run_has_learned_where_it_is() -> Result<()> {
    let mut host = Host::new(&learning())?;
    write_key(&host, "a.key", 0o600)?;
    let fixed = CONFIG_A.replace("[[peer]]", "source_port = \"fixed\"\n[[peer]]");
    let mut other = Daemon::start(&host.pair.a, &host.pair.run, "a", &fixed)?;
    host.daemon.launch()?;
    assert!(host.daemon.log().contains("its endpoint is not learned yet"));
    assert_eq!(peer(&host)?["endpoint"], Value::Null);
    assert!(!answers(&host)?, "a packet proves nothing");
    assert_eq!(peer(&host)?["endpoint"], Value::Null, "and moves nothing");

    host.daemon.kill()?;
    let file = host.daemon.run_dir().join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&file)?)?;
    assert_eq!(state["peers"][0]["learned"], Value::Null);
    state["peers"][0]["learned"] =
        json!({ "endpoint": "203.0.113.1:4789", "sent_from": "203.0.113.1" });
    fs::write(&file, state.to_string())?;
    host.daemon.launch()?;
    assert_eq!(peer(&host)?["endpoint"], "203.0.113.1:4789");
    host.assert_ping("with what was learned")?;

    // Over a further start, too, and only from that port.
    host.daemon.terminate()?;
    host.daemon.launch()?;
    host.assert_ping("again")?;
    other.terminate()?;
    other.write_config(&CONFIG_A)?;
    other.launch()?;
    assert!(!answers(&host)?, "from another port it is nobody's packet");
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn keys_that_stop_a_start() -> Result<()> {
    let config = learning()
        + r#"[[peer]]
name = "second"
endpoint = "203.0.113.9"
key_file = "second.key"
[[network.member]]
peer = "second"
allowed_ips = ["192.168.45.0/24"]
"#;
    let host = Host::new(&config)?;
    let file = host.daemon.config().display();
    let key = host.daemon.config().with_file_name("a.key");
    let at = format!("{file}:{}: key_file of peer \"a\":", line_of(&config, "a.key"));
    assert_refused(
        &host,
        &format!(
            "{at} Key file {0} cannot be read: No such file or directory (os error 2). Make a key \
            with \
             `(umask 077; head -c 32 /dev/urandom | base64 > {0})`, and give the peer the same.",
            key.display()
        ),
    )?;
    write_key(&host, "a.key", 0o644)?;
    assert_refused(
        &host,
        &format!(
            "{at} Key file {0} is open to others than its owner (mode 0644). Type \"chmod 600 \
            {0}\"; if \
             others may have read it, put a new key there, too.",
            key.display()
        ),
    )?;
    write_key(&host, "a.key", 0o600)?;
    write_key(&host, "second.key", 0o600)?;
    let second = key.with_file_name("second.key");
    assert_refused(
        &host,
        &format!(
            "{file}:{}: key_file of peer \"second\": {} holds the key of peer \"a\" too, so that \
            either \
             could speak for the other. Make another key for one of the two, here and on that \
                 peer.",
            line_of(&config, "second.key"),
            second.display()
        ),
    )
}
