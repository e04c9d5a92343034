//! Who on the lab is whose peer, and with what configuration. What the daemons do then is seen
//! through `world.rs`.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    process::Command,
};

use anyhow::{Context as _, Result};
use vxlan_tests::{
    Config, Ns, cmd,
    conserve::NftCounter,
    daemon::Daemon,
    nat_lab::{Nat, NatLab, THIRD},
};

use crate::world::{Host, INTERVAL, OVERLAY, VNI, World};

/// A host of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    A,
    B,
    /// Behind the same router as `A`.
    Second,
    /// On the internet.
    Third,
}

impl Node {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Second => "second",
            Self::Third => "third",
        }
    }

    /// On the overlay.
    pub(crate) fn inner(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 50, self as u8 + 1)
    }

    /// In its second network.
    pub(crate) fn second_inner(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 60, self as u8 + 1)
    }

    pub(crate) fn nat(self, lab: &NatLab) -> Nat {
        match self {
            Self::A | Self::Second => lab.a.nat(),
            Self::B => lab.b.nat(),
            Self::Third => Nat::None,
        }
    }

    /// What its own card carries.
    pub(crate) fn own(self, lab: &NatLab) -> Ipv4Addr {
        match self {
            Self::A => lab.a.own(),
            Self::Second => lab.second_own(),
            Self::B => lab.b.own(),
            Self::Third => THIRD,
        }
    }

    /// Where its packets seem to come from.
    pub(crate) fn public(self, lab: &NatLab) -> Ipv4Addr {
        match self {
            Self::A | Self::Second => lab.a.public(),
            Self::B => lab.b.public(),
            Self::Third => THIRD,
        }
    }

    fn ns(self, lab: &NatLab) -> Result<Ns> {
        let netns = match self {
            Self::A => &lab.a.host,
            Self::B => &lab.b.host,
            Self::Second => lab.second().context("the lab has no second host")?,
            Self::Third => &lab.third,
        };
        Ok((**netns).clone())
    }
}

/// A lab, and who on it shall be whose peer.
pub(crate) struct Setup {
    pub(crate) lab: NatLab,
    links: Vec<[Node; 2]>,
    probe: String,
    /// Networks, `allowed_ips` and keys that differ from those of the other end.
    networks: BTreeMap<Node, u32>,
    /// A second network.
    second: BTreeMap<Node, u32>,
    allowed: BTreeMap<Node, String>,
    other_keys: BTreeSet<Node>,
}

impl Setup {
    /// `a` and `b` are peers.
    pub(crate) fn new(a: Nat, b: Nat) -> Result<Self> {
        Ok(Self {
            lab: NatLab::new(a, b)?,
            links: vec![[Node::A, Node::B]],
            probe: format!("interval = {}", INTERVAL.as_secs()),
            networks: BTreeMap::new(),
            second: BTreeMap::new(),
            allowed: BTreeMap::new(),
            other_keys: BTreeSet::new(),
        })
    }

    /// `a` and the third host are peers too.
    pub(crate) fn with_third(mut self) -> Self {
        self.links.push([Node::A, Node::Third]);
        self
    }

    /// There is a second host beside `a`, and it is `b`'s peer too.
    pub(crate) fn with_second(mut self) -> Result<Self> {
        self.lab.add_second()?;
        self.links.push([Node::Second, Node::B]);
        Ok(self)
    }

    /// The network that a host has instead of the usual one.
    pub(crate) fn network(mut self, node: Node, vni: u32) -> Self {
        self.networks.insert(node, vni);
        self
    }

    /// A host has a second network.
    pub(crate) fn second_network(mut self, node: Node, vni: u32) -> Self {
        self.second.insert(node, vni);
        self
    }

    /// What a host allows its peers instead of their addresses.
    pub(crate) fn allow(mut self, node: Node, prefix: &str) -> Self {
        self.allowed.insert(node, prefix.to_owned());
        self
    }

    /// A host has other keys than its peers.
    pub(crate) fn other_key(mut self, node: Node) -> Self {
        self.other_keys.insert(node);
        self
    }

    /// What is in `[probe]`.
    pub(crate) fn probe(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.probe);
        self
    }

    /// The configuration of a host.
    pub(crate) fn configuration(&self, node: Node) -> Config {
        let Self { lab, probe, .. } = self;
        // Behind a NAPT a host is reached only by the port that it sends from.
        let fixed = self.links.iter().flatten().any(|node| is_napt(node.nat(lab)));
        let ports = if fixed { "fixed" } else { "flow" };
        let mut config = Config::new(node.name()).set("address", node.own(lab));
        if node.nat(lab) == Nat::OneToOne {
            config = config.set("public_address", node.public(lab));
        }
        config = config.set("source_port", ports).section("[probe]").lines(probe);
        for peer in self.peers(node) {
            config = match peer.nat(lab) {
                Nat::None => config.peer(peer.name(), peer.own(lab)),
                Nat::OneToOne => {
                    config.peer(peer.name(), peer.public(lab)).set("private_address", peer.own(lab))
                }
                Nat::PortPreserving | Nat::Mapped(_) | Nat::Symmetric => {
                    config.peer(peer.name(), "learn")
                }
            };
            let other = if self.other_keys.contains(&node) { "other-" } else { "" };
            let key = format!("{other}{}", key_name(node, peer));
            config = config.set("source_port", ports).set("key_file", key);
        }
        let vni = self.networks.get(&node).copied().unwrap_or(VNI);
        config = config.network(vni, OVERLAY, &[format!("{}/24", node.inner())]);
        config = self.peers(node).into_iter().fold(config, |config, peer| {
            let own = || format!("{}/32", peer.inner());
            let allowed = self.allowed.get(&node).cloned().unwrap_or_else(own);
            config.member(peer.name(), &[allowed])
        });
        let Some(second) = self.second.get(&node) else { return config };
        config = config.network(*second, "second", &[format!("{}/24", node.second_inner())]);
        self.peers(node).into_iter().fold(config, |config, peer| {
            config.member(peer.name(), &[format!("{}/32", peer.second_inner())])
        })
    }

    fn peers(&self, node: Node) -> Vec<Node> {
        let others = self.links.iter().filter_map(|&[left, right]| {
            let pair = [(left, right), (right, left)];
            pair.into_iter().find(|(one, _)| *one == node).map(|(_, other)| other)
        });
        others.collect()
    }

    /// Makes the keys and starts all daemons.
    pub(crate) fn start(self) -> Result<World> {
        self.start_with(&|_| Vec::new())
    }

    /// The same; `environment` is what a host's daemon finds in its environment besides.
    pub(crate) fn start_with(
        self,
        environment: &dyn Fn(Node) -> Vec<(String, String)>,
    ) -> Result<World> {
        let links = self.links.iter().flat_map(|&[left, right]| {
            let name = key_name(left, right);
            [format!("other-{name}"), name]
        });
        for name in links {
            let path = self.lab.run.dir().join(name);
            let script = "umask 077; head -c 32 /dev/urandom | base64 > \"$0\"";
            cmd::run(Command::new("sh").arg("-c").arg(script).arg(path))?;
        }
        let mut nodes: Vec<Node> = self.links.iter().flatten().copied().collect();
        nodes.sort();
        nodes.dedup();
        // Who is behind a box speaks first, and somebody should be there then.
        nodes.sort_by_key(|node| is_napt(node.nat(&self.lab)));
        let start = |node: Node| -> Result<Host> {
            let ns = node.ns(&self.lab)?;
            let config = self.configuration(node);
            let mut daemon = Daemon::prepare(&ns, &self.lab.run, node.name(), &config)?;
            for (key, value) in environment(node) {
                daemon.set_environment(&key, &value);
            }
            daemon.launch()?;
            let sent = NftCounter::egress(&ns, OVERLAY, "")?;
            let delivered = NftCounter::ingress(&ns, OVERLAY, "")?;
            Ok(Host { node, peers: self.peers(node), ns, sent, delivered, daemon })
        };
        let hosts = nodes.into_iter().map(start).collect::<Result<_>>()?;
        Ok(World { hosts, wrong: RefCell::default(), lab: self.lab })
    }
}

pub(crate) fn is_napt(nat: Nat) -> bool {
    !matches!(nat, Nat::None | Nat::OneToOne)
}

fn key_name(one: Node, other: Node) -> String {
    format!("{}-{}.key", one.min(other).name(), one.max(other).name())
}
