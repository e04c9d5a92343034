//! The networks the suites and the lab run on. Each is a set of namespaces joined by veth pairs;
//! none has a tunnel in it.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

pub use crate::link::{UNDERLAY, Wire};
use crate::{
    link::{self, End, connect, hush_ipv6, set_queue},
    netns::{Netns, Ns},
    run::Run,
    two_hosts::{self, Family, TwoHosts},
};

/// Two hosts in two clouds that use the same private range, each behind a router that does 1:1 NAT,
/// with an internet in between:
///
/// ```text
/// gcp 10.0.0.2 ──── gcp-router (203.0.113.10) ──┐
///                                             internet
/// aws 10.0.0.119 ── aws-router (198.51.100.20) ─┘
/// ```
#[derive(Debug)]
pub struct TwoClouds {
    pub gcp: Netns,
    pub aws: Netns,
    /// Interfaces `lan` and `wan`, as on the other router.
    pub gcp_router: Netns,
    pub aws_router: Netns,
    /// Interfaces `gcp` and `aws`.
    pub internet: Netns,
    /// Last: it must outlive the namespaces.
    pub run: Run,
}

impl TwoClouds {
    pub const GCP_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    pub const GCP_PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
    /// What a GCP network has unless told otherwise.
    pub const GCP_MTU: u32 = 1460;
    pub const AWS_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 119);
    pub const AWS_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
    pub const AWS_MTU: u32 = 1500;

    pub fn new(wire: Wire) -> Result<Self> {
        Self::in_run(Run::new()?, wire)
    }

    pub fn in_run(run: Run, wire: Wire) -> Result<Self> {
        let clouds = Self {
            gcp: run.netns("gcp")?,
            aws: run.netns("aws")?,
            gcp_router: run.netns("gcp-router")?,
            aws_router: run.netns("aws-router")?,
            internet: run.netns("internet")?,
            run,
        };
        let (gcp, aws) = (&clouds.gcp, &clouds.aws);
        let (gcp_router, aws_router) = (&clouds.gcp_router, &clouds.aws_router);
        for router in [gcp_router, aws_router, &clouds.internet] {
            router.sysctl("net.ipv4.ip_forward", "1")?;
        }
        connect(
            End { ns: gcp, interface: UNDERLAY, address: "10.0.0.2/24" },
            End { ns: gcp_router, interface: "lan", address: "10.0.0.1/24" },
            Self::GCP_MTU,
            wire,
        )?;
        connect(
            End { ns: aws, interface: UNDERLAY, address: "10.0.0.119/24" },
            End { ns: aws_router, interface: "lan", address: "10.0.0.1/24" },
            Self::AWS_MTU,
            wire,
        )?;
        connect(
            End { ns: gcp_router, interface: "wan", address: "203.0.113.10/24" },
            End { ns: &clouds.internet, interface: "gcp", address: "203.0.113.1/24" },
            1500,
            wire,
        )?;
        connect(
            End { ns: aws_router, interface: "wan", address: "198.51.100.20/24" },
            End { ns: &clouds.internet, interface: "aws", address: "198.51.100.1/24" },
            1500,
            wire,
        )?;
        for (ns, gateway) in [
            (gcp, "10.0.0.1"),
            (aws, "10.0.0.1"),
            (gcp_router, "203.0.113.1"),
            (aws_router, "198.51.100.1"),
        ] {
            ns.run(&format!("ip route add default via {gateway}"))?;
        }
        for (ns, interface) in [
            (gcp, UNDERLAY),
            (aws, UNDERLAY),
            (gcp_router, "lan"),
            (gcp_router, "wan"),
            (aws_router, "lan"),
            (aws_router, "wan"),
            (&clouds.internet, "gcp"),
            (&clouds.internet, "aws"),
        ] {
            set_queue(ns, interface)?;
        }
        one_to_one_nat(gcp_router, Self::GCP_PUBLIC, Self::GCP_PRIVATE)?;
        one_to_one_nat(aws_router, Self::AWS_PUBLIC, Self::AWS_PRIVATE)?;
        Ok(clouds)
    }
}

/// What a cloud's internet gateway does: one public address stands for one private address.
fn one_to_one_nat(router: &Ns, public: Ipv4Addr, private: Ipv4Addr) -> Result<()> {
    let rules = format!(
        "table ip nat {{
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                iifname \"wan\" ip daddr {public} dnat to {private}
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                oifname \"wan\" ip saddr {private} snat to {public}
            }}
        }}"
    );
    router.run_with_input("nft -f -", &rules).map(drop)
}

/// Two hosts back to back on one cable, without any NAT.
#[derive(Debug)]
pub struct Pair {
    pub a: Netns,
    pub b: Netns,
    pub a_address: IpAddr,
    pub b_address: IpAddr,
    /// Last: it must outlive the namespaces.
    pub run: Run,
}

impl Pair {
    /// `a` is 203.0.113.1, `b` is 203.0.113.2, the MTU is 1500.
    pub fn new(wire: Wire) -> Result<Self> {
        Self::over(Family::V4, wire)
    }

    /// With the addresses of [`two_hosts::Side::underlay`].
    pub fn over(outer: Family, wire: Wire) -> Result<Self> {
        let [a, b] = two_hosts::Side::BOTH.map(|end| end.underlay_prefix(outer));
        Self::with(&a, &b, 1500, wire)
    }

    /// Like [`Pair::over`]; besides nothing crosses the cable but what is sent on purpose, and what
    /// a ring has no room for waits: each packet counts.
    pub fn counted(outer: Family, wire: Wire) -> Result<Self> {
        let pair = Self::over(outer, wire)?;
        pair.static_neighbours()?;
        for ns in [&pair.a, &pair.b] {
            set_queue(ns, UNDERLAY)?;
            if outer == Family::V6 {
                hush_ipv6(ns, UNDERLAY)?;
                ns.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")?;
            }
        }
        Ok(pair)
    }

    /// Addresses come with their prefix length, IPv4 or IPv6.
    pub fn with(a_address: &str, b_address: &str, mtu: u32, wire: Wire) -> Result<Self> {
        let run = Run::new()?;
        let pair = Self {
            a: run.netns("a")?,
            b: run.netns("b")?,
            a_address: host_part(a_address)?,
            b_address: host_part(b_address)?,
            run,
        };
        connect(
            End { ns: &pair.a, interface: UNDERLAY, address: a_address },
            End { ns: &pair.b, interface: UNDERLAY, address: b_address },
            mtu,
            wire,
        )?;
        Ok(pair)
    }

    /// See [`link::static_neighbours`].
    pub fn static_neighbours(&self) -> Result<()> {
        let hosts: [(&Ns, &[IpAddr]); 2] =
            [(&self.a, &[self.a_address]), (&self.b, &[self.b_address])];
        link::static_neighbours(UNDERLAY, &hosts)
    }
}

impl TwoHosts for Pair {
    fn ns(&self, end: two_hosts::Side) -> &Ns {
        match end {
            two_hosts::Side::A => &self.a,
            two_hosts::Side::B => &self.b,
        }
    }
}

fn host_part(address: &str) -> Result<IpAddr> {
    Ok(address.split('/').next().unwrap_or(address).parse()?)
}
