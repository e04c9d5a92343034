//! The equations of conservation. None of them has a tolerance.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use vxlan_tests::conserve::LinkStats;

use crate::meter::{Network, Reading};

/// How packets may be merged into frames on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merging {
    /// Every frame is one packet.
    None,
    /// Those with this length of headers, which all packets of a frame repeat.
    Headers(u64),
}

impl Merging {
    /// TCP with timestamps, as Linux speaks it.
    pub(crate) const TCP4: Self = Self::Headers(14 + 20 + 32);
    pub(crate) const TCP6: Self = Self::Headers(14 + 40 + 32);
}

/// Collects what does not hold, so that a failure shows all of it.
#[derive(Default)]
pub(crate) struct Ledger {
    wrong: Vec<String>,
}

impl Ledger {
    pub(crate) fn equal(&mut self, what: &str, left: u64, right: u64) {
        if left != right {
            self.wrong.push(format!("{what}: {left} is not {right}"));
        }
    }

    /// The host of one daemon, on whose underlay interface nothing but the tunnel arrives: its own
    /// counts against its kernel's, and its drops against those that the scenario names. A reason
    /// that is not named must not occur.
    pub(crate) fn host(&mut self, name: &str, host: &Reading, drops: &[(&str, u64)], how: Merging) {
        self.stack(name, host, drops, how);
        self.equal(
            &format!("{name}: received and dropped packets against those that arrived"),
            host.rx() + host.dropped("rx"),
            host.arrived,
        );
    }

    /// Like [`Ledger::host`], where other traffic arrives too.
    pub(crate) fn stack(
        &mut self,
        name: &str,
        host: &Reading,
        drops: &[(&str, u64)],
        how: Merging,
    ) {
        let named: BTreeMap<String, u64> = drops
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| ((*reason).to_owned(), *count))
            .collect();
        if host.drops != named {
            self.wrong.push(format!("{name} dropped {:?}, and not {named:?}", host.drops));
        }
        self.equal(
            &format!("{name}: sent and dropped packets against those offered"),
            host.tx() + host.dropped("tx"),
            host.offered,
        );
        self.equal(
            &format!("{name}: accepted packets against those received or refused by the kernel"),
            host.accepted(),
            host.rx() + host.dropped("rx redirect_failed"),
        );
        for (vni, network) in &host.networks {
            let Network { rx, rx_bytes, delivered, delivered_bytes, .. } = *network;
            self.merged(
                &format!("{name}, VNI {vni}: received against what its stack got"),
                (rx, rx_bytes),
                (delivered, delivered_bytes),
                how,
            );
        }
    }

    /// `wire` packets and bytes against the same as frames that may hold several packets each.
    pub(crate) fn merged(
        &mut self,
        what: &str,
        wire: (u64, u64),
        frames: (u64, u64),
        how: Merging,
    ) {
        let merged = wire.0.saturating_sub(frames.0);
        let repeated = match how {
            Merging::Headers(length) if wire.0 >= frames.0 => merged * length,
            Merging::Headers(_) | Merging::None => {
                self.equal(&format!("{what}, packets"), wire.0, frames.0);
                0
            }
        };
        self.equal(&format!("{what}, bytes"), wire.1, frames.1 + repeated);
    }

    /// Nothing was lost at an interface.
    pub(crate) fn flawless(&mut self, name: &str, link: &LinkStats) {
        for (what, count) in [
            ("receive errors", link.rx_errors),
            ("frames dropped on receive", link.rx_dropped),
            ("transmit errors", link.tx_errors),
            ("frames dropped on transmit", link.tx_dropped),
        ] {
            self.equal(&format!("{name}: {what}"), count, 0);
        }
    }

    pub(crate) fn close(self, context: &str) -> Result<()> {
        ensure!(self.wrong.is_empty(), "{context}:\n  {}", self.wrong.join("\n  "));
        Ok(())
    }
}

/// What an interface has counted since `before`.
pub(crate) fn link_since(now: &LinkStats, before: &LinkStats) -> LinkStats {
    LinkStats {
        rx_packets: now.rx_packets - before.rx_packets,
        rx_bytes: now.rx_bytes - before.rx_bytes,
        rx_errors: now.rx_errors - before.rx_errors,
        rx_dropped: now.rx_dropped - before.rx_dropped,
        tx_packets: now.tx_packets - before.tx_packets,
        tx_bytes: now.tx_bytes - before.tx_bytes,
        tx_errors: now.tx_errors - before.tx_errors,
        tx_dropped: now.tx_dropped - before.tx_dropped,
    }
}
