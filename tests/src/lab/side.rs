//! The two hosts of the lab: their names, addresses and configurations.

use std::net::Ipv4Addr;

use crate::{config::Config, topology::TwoClouds};

/// Where each side serves its metrics, inside its namespace.
const METRICS_PORT: u16 = 9839;
/// The key that both sides probe each other with; beside their configurations.
pub(super) const KEY_FILE: &str = "lab.key";
/// GCP's MTU less the outer headers; on both sides, as neither knows the other's.
const OVERLAY_MTU: u32 = TwoClouds::GCP_MTU - 50;
pub const VNI: u32 = 43;

/// One of the two clouds' hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Gcp,
    Aws,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Gcp, Self::Aws];

    pub fn name(self) -> &'static str {
        match self {
            Self::Gcp => "gcp",
            Self::Aws => "aws",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::Gcp => Self::Aws,
            Self::Aws => Self::Gcp,
        }
    }

    pub fn private(self) -> Ipv4Addr {
        match self {
            Self::Gcp => TwoClouds::GCP_PRIVATE,
            Self::Aws => TwoClouds::AWS_PRIVATE,
        }
    }

    pub fn public(self) -> Ipv4Addr {
        match self {
            Self::Gcp => TwoClouds::GCP_PUBLIC,
            Self::Aws => TwoClouds::AWS_PUBLIC,
        }
    }

    /// Third byte of its overlay network, and number in its interface's name.
    fn number(self) -> u8 {
        match self {
            Self::Gcp => 43,
            Self::Aws => 44,
        }
    }

    pub fn interface(self) -> String {
        format!("vxlan{}", self.number())
    }

    pub fn overlay(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, self.number(), 1)
    }

    /// Port of the host at which its metrics are offered.
    pub(super) fn metrics_port(self) -> u16 {
        match self {
            Self::Gcp => 9841,
            Self::Aws => 9842,
        }
    }

    /// What a person would write for this host, without a key.
    pub fn configuration(self) -> String {
        self.configuration_for("")
    }

    /// The same, with a key for probes, beside the file.
    pub fn configuration_with_key(self) -> String {
        self.configuration_for(&format!("key_file = \"{KEY_FILE}\"\n"))
    }

    fn configuration_for(self, key: &str) -> String {
        let (own, peer) = (self.name(), self.other());
        let comment = format!(
            "# {own}'s side of the lab, as it would be on a virtual machine in that cloud.\n"
        );
        let config = Config::new(own)
            .set("address", self.private())
            .set("public_address", self.public())
            .section("[metrics]")
            .set("listen", format!("0.0.0.0:{METRICS_PORT}"))
            .peer(peer.name(), format!("{}:4789", peer.public()))
            .set("private_address", peer.private())
            .lines(key)
            .network(VNI, &self.interface(), &[format!("{}/24", self.overlay())])
            .lines(&format!("mtu = {OVERLAY_MTU}"))
            .member(peer.name(), &[format!("192.168.{}.0/24", peer.number())]);
        comment + &config
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;

    #[test]
    fn configurations_mirror_each_other() -> Result<()> {
        let tables: Vec<toml::Table> = Side::BOTH
            .iter()
            .map(|s| s.configuration_with_key().parse())
            .collect::<Result<_, _>>()?;
        for (mine, theirs) in [(&tables[0], &tables[1]), (&tables[1], &tables[0])] {
            let peer = &mine["peer"][0];
            assert_eq!(peer["key_file"].as_str(), Some(KEY_FILE));
            assert_eq!(peer["name"], theirs["node"]["name"]);
            let public = theirs["underlay"]["public_address"].as_str().unwrap_or_default();
            assert_eq!(peer["endpoint"].as_str(), Some(format!("{public}:4789").as_str()));
            assert_eq!(peer["private_address"], theirs["underlay"]["address"]);
            let (network, far) = (&mine["network"][0], &theirs["network"][0]);
            assert_eq!((&network["vni"], &network["mtu"]), (&far["vni"], &far["mtu"]));
            assert_eq!(network["mtu"].as_integer(), Some(1410));
            let allowed = network["member"][0]["allowed_ips"][0].as_str().unwrap_or_default();
            let address = far["addresses"][0].as_str().unwrap_or_default();
            assert_eq!(allowed.replace(".0/24", ".1/24"), address);
        }
        Ok(())
    }
}
