//! Nothing is lost: 10,000 packets a second each way while a daemon is killed, ended, started and
//! given other configurations.

use anyhow::{Result, ensure};
use vxlan_tests::numbered::Stream;

use crate::{
    hooks::{assert_depth_is_one, assert_one_of_all},
    host::{CONFIG, STRANGER, lab_of},
    rounds,
    tunnel::Tunnel,
    watch::Watch,
};

/// Datagrams between two events.
const BETWEEN: u64 = 500;

/// `CONFIG` with a peer and a network that have nothing to do with the traffic, before and after
/// it: so every index is another one. And with another prefix behind `a`.
pub(crate) fn larger() -> String {
    let (peers, networks) = CONFIG.split_once("[[network]]").expect("a network");
    let (head, a) = peers.split_once("[[peer]]").expect("a peer");
    let networks =
        networks.replace("[\"192.168.43.0/24\"]", "[\"192.168.43.0/24\", \"10.9.0.0/16\"]");
    let lab = lab_of("stranger");
    format!("{head}{STRANGER}[[peer]]{a}{lab}[[network]]{networks}")
}

#[derive(Clone, Copy)]
enum Event {
    Killed,
    Ended,
    Reloaded,
    /// The other side's daemon.
    OtherKilled,
}

/// What is in force: every other reload takes the larger configuration.
struct Turns {
    larger: bool,
}

impl Turns {
    fn overlays(&self) -> &'static [&'static str] {
        if self.larger { &["vxlan43", "lab"] } else { &["vxlan43"] }
    }

    fn take(&mut self, event: Event, tunnel: &mut Tunnel) -> Result<()> {
        let daemon = &mut tunnel.host.daemon;
        match event {
            Event::Killed => {
                daemon.kill()?;
                daemon.launch()
            }
            Event::Ended => {
                daemon.terminate()?;
                daemon.launch()
            }
            Event::OtherKilled => {
                tunnel.other.kill()?;
                tunnel.other.launch()
            }
            Event::Reloaded => {
                self.larger = !self.larger;
                daemon.write_config(&if self.larger { larger() } else { CONFIG.to_owned() })?;
                let out = daemon.vxlan(&["reload"])?;
                ensure!(out.status.code() == Some(0), "{}", out.stderr);
                Ok(())
            }
        }
    }
}

fn nothing_is_lost(what: &str, events: &[Event]) -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let mut turns = Turns { larger: false };
    let watch = Watch::start(tunnel.host.ns(), &tunnel.host.daemon, "a");
    let rounds = rounds();
    tunnel.carries_all(&format!("{rounds} times {what}"), |tunnel, stream: &Stream| {
        for round in 0..rounds {
            for event in events {
                turns.take(*event, tunnel)?;
                assert_one_of_all(&tunnel.host, turns.overlays())?;
                stream.wait_for(BETWEEN)?;
            }
            if round % 5 == 0 {
                assert_depth_is_one(tunnel)?;
            }
        }
        Ok(())
    })?;
    let looked = watch.finish()?;
    ensure!(looked.scrapes > rounds, "{looked:?}");
    tunnel.down()
}

#[test]
fn by_sigkill_and_start() -> Result<()> {
    nothing_is_lost("SIGKILL and start", &[Event::Killed])
}

#[test]
fn by_sigterm_and_start() -> Result<()> {
    nothing_is_lost("SIGTERM and start", &[Event::Ended])
}

#[test]
fn by_reload() -> Result<()> {
    nothing_is_lost("reload", &[Event::Reloaded])
}

#[test]
fn by_all_of_it_at_both_ends() -> Result<()> {
    let mixture =
        [Event::Reloaded, Event::Killed, Event::OtherKilled, Event::Reloaded, Event::Ended];
    nothing_is_lost("reload, SIGKILL and start at either end, SIGTERM and start", &mixture)
}
