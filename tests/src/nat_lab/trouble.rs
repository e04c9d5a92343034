//! What goes wrong on the lab's internet: packets of one direction that do not arrive, and a path
//! that is narrower in one direction than in the other.

use anyhow::Result;

use super::{NatLab, Side, internet_interface};
use crate::conserve::NftCounter;

impl NatLab {
    /// Lets no UDP through from one place to another (`a`, `b`, `third`), without a word to
    /// anybody, until what is returned is dropped. It counts what was lost.
    pub fn block(&self, from: &str, to: &str) -> Result<NftCounter> {
        self.lose(from, to, "meta l4proto udp")
    }

    /// The same of those packets that are meant in nft's words.
    pub fn lose(&self, from: &str, to: &str, matching: &str) -> Result<NftCounter> {
        let (from, to) = (internet_interface(from), internet_interface(to));
        NftCounter::lost_in_transit(&self.internet, &from, &to, matching)
    }

    /// From now on a packet to this side may be no longer than `mtu`, and its sender is told (RFC
    /// 1191). What comes from there is not concerned.
    pub fn narrow(&self, towards: Side, mtu: u32) -> Result<()> {
        let options = format!("mtu {mtu}");
        if self.site(towards).nat().is_none() {
            self.internet.run(&self.route(towards, "replace", &options))?;
        }
        let (network, gateway) = (towards.internet(0, 25), towards.internet(1, 25));
        let interface = internet_interface(towards.name());
        let gateway = gateway.trim_end_matches("/25");
        // Beside the one that came with the address.
        self.internet.run(&format!(
            "ip route replace {network} dev {interface} proto kernel scope link src {gateway} \
            {options}"
        ))?;
        Ok(())
    }

    /// The same, but nobody is told: a black hole.
    pub fn narrow_silently(&self, towards: Side, mtu: u32) -> Result<NftCounter> {
        self.lose(towards.other().name(), towards.name(), &format!("meta length > {mtu}"))
    }
}
