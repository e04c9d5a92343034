//! A peer behind a 1:1 NAT that also has a private way to us. What arrives from its private address
//! was not rewritten, what arrives from its public one was.

use anyhow::{Result, ensure};
use vxlan_tests::{Pair, Wire, daemon::Daemon, traffic::ping};

use crate::{
    ledger::{Ledger, Merging},
    meter::{Meter, Reading, quiet},
};

const A: &str = "10.0.0.2";
const B: &str = "10.0.0.119";
const B_PUBLIC: &str = "198.51.100.20";

fn configuration(name: &str, own: &str, public: &str, peer: &str) -> String {
    let (mine, theirs) = if name == "a" { (43, 44) } else { (44, 43) };
    format!(
        r#"[node]
name = "{name}"

[underlay]
interface = "eth0"
address = "{own}"
{public}

[[peer]]
name = "other"
{peer}

[[network]]
vni = 43
interface = "vxlan{mine}"
addresses = ["192.168.{mine}.1/24"]

[[network.member]]
peer = "other"
allowed_ips = ["192.168.{theirs}.0/24"]
"#
    )
}

#[test]
fn only_a_source_that_was_rewritten_counts_as_rewritten() -> Result<()> {
    let pair = Pair::with(&format!("{A}/24"), &format!("{B}/24"), 1500, Wire::Real)?;
    // `a` sends to the public address; here it is on the same wire.
    pair.b.run(&format!("ip addr add {B_PUBLIC}/32 dev eth0"))?;
    pair.a.run(&format!("ip route add {B_PUBLIC}/32 dev eth0"))?;
    pair.static_neighbours()?;
    let mac = pair.b.mac("eth0")?.map(|byte| format!("{byte:02x}")).join(":");
    pair.a.run(&format!("ip neigh replace {B_PUBLIC} dev eth0 lladdr {mac}"))?;

    let peer = format!("endpoint = \"{B_PUBLIC}\"\nprivate_address = \"{B}\"");
    let a = Daemon::start(&pair.a, &pair.run, "a", &configuration("a", A, "", &peer))?;
    let public = format!("public_address = \"{B_PUBLIC}\"");
    let peer = format!("endpoint = \"{A}\"");
    let mut b = Daemon::start(&pair.b, &pair.run, "b", &configuration("b", B, &public, &peer))?;
    let a_meter = Meter::new(&pair.a, &[("vxlan43", 43)])?;
    let b_meter = Meter::new(&pair.b, &[("vxlan44", 43)])?;

    let exchange = |b: &Daemon, rewritten: bool| -> Result<()> {
        let read = || quiet(|| Ok((a_meter.read(&a)?, b_meter.read(b)?)));
        let before = read()?;
        let from = [192, 168, 44, 1].into();
        let result = ping(&pair.b, Some(from), [192, 168, 43, 1].into(), 20)?;
        ensure!(result.all_answered(), "{}", result.output);
        let now = read()?;
        let (a, b): (Reading, Reading) = (now.0.since(&before.0), now.1.since(&before.1));
        let mut ledger = Ledger::default();
        ledger.host("a", &a, &[], Merging::None);
        ledger.host("b", &b, &[], Merging::None);
        ledger.equal("b sent, a received", b.tx(), a.rx());
        ledger.equal("a sent, b received", a.tx(), b.rx());
        let expected = if rewritten { a.rx() } else { 0 };
        ledger.equal("a: sources rewritten", a.rewritten_source, expected);
        ledger.equal("a: destinations rewritten", a.rewritten_destination, 0);
        ledger.equal("b: sources rewritten", b.rewritten_source, 0);
        // It gets them at its public address, as they were sent.
        ledger.equal("b: destinations rewritten", b.rewritten_destination, 0);
        ledger.close(&format!("rewritten: {rewritten}, {a:?}, {b:?}"))?;
        ensure!(a.rx() >= 20, "{a:?}");
        Ok(())
    };
    exchange(&b, false)?;
    // As if a NAT had been on the way: the same packets from the public address.
    b.terminate()?;
    b.write_config(&configuration("b", B_PUBLIC, "", &peer))?;
    b.launch()?;
    exchange(&b, true)
}
