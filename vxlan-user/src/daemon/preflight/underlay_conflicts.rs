//! Checks that neither an endpoint nor an overlay prefix takes what is the underlay's own: this
//! host's address, its subnet, its gateway. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    config::{Config, ConfigError, Located, Network, Peer, RouteTable},
    host::UnderlayLink,
    plan::unfit_on_link,
};

/// Refuses what would cut the host off, or leads nowhere.
///
/// # Errors
/// The first conflict. Else sentences about prefixes that take a part of the underlay's subnet.
pub(super) fn check(
    config: &Config,
    underlay: &UnderlayLink,
    gateways: &[IpAddr],
) -> Result<Vec<String>, ConfigError> {
    let own: Vec<IpNet> = underlay.addresses.iter().map(|at| at.address).collect();
    check_endpoints(config, underlay, &own)?;
    check_learned(config)?;
    let conflicts = Conflicts { config, underlay, own: &own, gateways };
    let mut warnings = Vec::new();
    for network in &config.networks {
        // The kernel makes a route for the network of an address, whatever is in the configuration.
        for address in &network.addresses {
            let claim = Claim { key: "addresses", at: address, network };
            warnings.extend(conflicts.check(&claim)?);
        }
        if network.route_table.value == RouteTable::Main {
            for prefix in network.prefixes() {
                let claim = Claim { key: "allowed_ips", at: prefix, network };
                warnings.extend(conflicts.check(&claim)?);
            }
        }
    }
    Ok(warnings)
}

/// Refuses endpoints that are this host, or all hosts of its link.
fn check_endpoints(
    config: &Config,
    underlay: &UnderlayLink,
    own: &[IpNet],
) -> Result<(), ConfigError> {
    for peer in &config.peers {
        for endpoint in &peer.endpoints {
            let unfit = own.iter().find_map(|own| unfit_on_link(own, endpoint.ip()));
            let Some(what) = unfit else { continue };
            let message = format!(
                "endpoint {endpoint} of peer \"{}\" {what} on {}. Write the address of the \
                 peer.",
                peer.name, underlay.name
            );
            return Err(config.error(endpoint, message));
        }
    }
    Ok(())
}

/// Refuses the whole address space, or half of it, as a route beside a peer whose endpoint is
/// learned: wherever that is found, the route would lead the tunnel into itself.
fn check_learned(config: &Config) -> Result<(), ConfigError> {
    let Some(peer) = config.peers.iter().find(|peer| peer.learns) else { return Ok(()) };
    let routed = config.networks.iter().filter(|at| at.route_table.value == RouteTable::Main);
    for network in routed {
        // 2000::/3 is all that is routed in IPv6.
        let wide = |prefix: IpNet| prefix.prefix_len() <= if is_ipv4(&prefix) { 1 } else { 3 };
        let Some(prefix) = network.prefixes().find(|prefix| wide(prefix.value)) else { continue };
        let Peer { name, .. } = peer;
        let message = format!(
            "allowed_ips \"{prefix}\" may hold the endpoint of peer \"{name}\", which is learned: \
             a route for it would lead the tunnel into itself, and takes the place of this host's \
             default route. Write route_table = \"off\" in network {} and route by hand what shall \
             go through it.",
            network.vni
        );
        return Err(config.error(prefix, message));
    }
    Ok(())
}

fn is_ipv4(prefix: &IpNet) -> bool {
    prefix.addr().is_ipv4()
}

/// A prefix that a route to an overlay interface is made for.
struct Claim<'a> {
    /// The key that it is written under.
    key: &'static str,
    at: &'a Located<IpNet>,
    network: &'a Network,
}

struct Conflicts<'a> {
    config: &'a Config,
    underlay: &'a UnderlayLink,
    /// The addresses of the underlay interface.
    own: &'a [IpNet],
    gateways: &'a [IpAddr],
}

impl Conflicts<'_> {
    /// Returns a warning if the prefix takes a part of the underlay's subnet.
    fn check(&self, claim: &Claim<'_>) -> Result<Option<String>, ConfigError> {
        let prefix = claim.at.value.trunc();
        let name = &self.underlay.name;
        let subnets = self.own.iter().filter(|own| !is_link_local(own.addr()));
        let held = subnets.clone().find_map(|own| {
            if prefix.contains(&own.addr()) {
                Some(format!("the address {} of {name}", own.addr()))
            } else {
                prefix
                    .contains(&own.trunc())
                    .then(|| format!("the subnet {} of {name}", own.trunc()))
            }
        });
        let gateway = || {
            let held = self.gateways.iter().find(|gateway| prefix.contains(*gateway))?;
            Some(format!("the gateway {held} of {name}"))
        };
        // For allowed_ips, of which there may be many, that is checked with the routes.
        let endpoint = || {
            if claim.key != "addresses" {
                return None;
            }
            let endpoints = self.config.peers.iter().flat_map(|peer| &peer.endpoints);
            let held = endpoints.into_iter().find(|at| prefix.contains(&at.ip()))?;
            Some(format!("the endpoint {}", held.ip()))
        };
        let held = held.or_else(gateway).or_else(endpoint);
        let text = format!("{} \"{}\"", claim.key, claim.at);
        if let Some(held) = held {
            let remedy = match claim.key {
                "addresses" => "Write an address of the overlay network".to_owned(),
                _ => format!(
                    "Write the prefixes behind the peer, or route_table = \"off\" in network {} \
                     and route by hand what shall go through it",
                    claim.network.vni
                ),
            };
            let message = format!(
                "{text} holds {held}: what this host sends there would go into the tunnel, and cut \
                 the host off. {remedy}."
            );
            return Err(self.config.error(claim.at, message));
        }
        let inside = subnets.map(|own| own.trunc()).find(|subnet| subnet.contains(&prefix));
        Ok(inside.map(|subnet| {
            format!(
                "{text} is a part of {subnet}, the subnet of {name}: hosts there that have these \
                 addresses cannot be reached any more"
            )
        }))
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config, host::InterfaceAddress};

    fn underlay(addresses: &[&str]) -> UnderlayLink {
        let address = |text: &&str| InterfaceAddress {
            address: text.parse().expect("an address"),
            secondary: false,
            deprecated: false,
            tentative: false,
            duplicate: false,
        };
        UnderlayLink {
            ifindex: 2,
            name: "eth0".to_owned(),
            mac: [2; 6],
            mtu: 1500,
            kind: None,
            bus: None,
            addresses: addresses.iter().map(address).collect(),
            up: true,
            carrier: true,
            xdp: None,
        }
    }

    fn configuration(endpoint: &str, addresses: &str, allowed_ips: &str, rest: &str) -> Config {
        let key = if endpoint == "learn" { "key_file = \"/a.key\"\n" } else { "" };
        let port = if endpoint == "learn" { "source_port = \"fixed\"\n" } else { "" };
        let text = format!(
            "[node]\nname = \"b\"\n[underlay]\ninterface = \"eth0\"\n{port}[[peer]]\nname = \
             \"a\"\nendpoint = \"{endpoint}\"\n{key}[[network]]\nvni = 43\ninterface = \
             \"vxlan43\"\naddresses = [\"{addresses}\"]\n{rest}[[network.member]]\npeer = \
             \"a\"\nallowed_ips = [\"{allowed_ips}\"]\n"
        );
        config::parse(&text, Path::new("vxlan.toml")).expect("valid")
    }

    fn result(config: &Config) -> Result<Vec<String>, String> {
        let gateways = ["192.0.2.1".parse().expect("an address")];
        let underlay = underlay(&["192.0.2.2/24", "2001:db8::2/64", "fe80::2/64"]);
        check(config, &underlay, &gateways).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn ordinary_configurations_pass() {
        for (endpoint, addresses, allowed_ips, rest) in [
            ("192.0.2.1", "192.168.43.1/24", "192.168.44.0/24", ""),
            ("198.51.100.20", "10.0.0.1/8", "10.1.0.0/16", ""),
            ("[2001:db8::1]", "fd00::1/64", "fd00:44::/64", ""),
            ("192.0.2.1", "192.168.43.1/24", "0.0.0.0/0", "route_table = \"off\"\n"),
            ("learn", "192.168.43.1/24", "192.168.0.0/16", ""),
            ("learn", "192.168.43.1/24", "0.0.0.0/0", "route_table = \"off\"\n"),
            ("192.0.2.1", "192.168.43.1/24", "192.0.2.0/24", "route_table = \"off\"\n"),
        ] {
            let config = configuration(endpoint, addresses, allowed_ips, rest);
            assert_eq!(result(&config), Ok(Vec::new()), "{endpoint} {addresses} {allowed_ips}");
        }
    }

    #[test]
    fn an_endpoint_is_another_host() {
        for (endpoint, what) in [
            ("192.0.2.2", "this host's own address on eth0"),
            ("[2001:db8::2]", "this host's own address on eth0"),
            ("192.0.2.255", "the broadcast address of the network on eth0"),
            ("192.0.2.0", "the address of the network itself on eth0"),
        ] {
            let config = configuration(endpoint, "192.168.43.1/24", "192.168.44.0/24", "");
            let refused = result(&config).expect_err(endpoint);
            assert!(refused.contains(what), "{refused}");
        }
    }

    #[test]
    fn what_would_cut_the_host_off_is_refused() {
        for (addresses, allowed_ips, held) in [
            ("192.168.43.1/24", "192.0.2.0/24", "holds the address 192.0.2.2 of eth0"),
            ("192.168.43.1/24", "192.0.0.0/16", "holds the address 192.0.2.2 of eth0"),
            ("192.168.43.1/24", "192.0.2.0/31", "holds the gateway 192.0.2.1 of eth0"),
            ("192.168.43.1/24", "2001:db8::/64", "holds the address 2001:db8::2 of eth0"),
            ("192.0.2.77/24", "192.168.44.0/24", "holds the address 192.0.2.2 of eth0"),
            ("198.51.100.1/24", "192.168.44.0/24", "holds the endpoint 198.51.100.20"),
        ] {
            let config = configuration("198.51.100.20", addresses, allowed_ips, "");
            let refused = result(&config).expect_err(held);
            assert!(refused.contains(held), "{refused}");
        }
    }

    #[test]
    fn a_part_of_the_subnet_is_a_warning() {
        for (addresses, allowed_ips) in
            [("192.168.43.1/24", "192.0.2.128/25"), ("192.0.2.77/32", "192.168.44.0/24")]
        {
            let config = configuration("198.51.100.20", addresses, allowed_ips, "");
            let warnings = result(&config).expect("accepted");
            let [warning] = &warnings[..] else { panic!("{warnings:?}") };
            assert!(warning.contains("is a part of 192.0.2.0/24, the subnet of eth0"), "{warning}");
        }
    }

    #[test]
    fn a_learned_endpoint_may_be_anywhere() {
        for allowed_ips in ["0.0.0.0/0", "128.0.0.0/1", "::/0", "2000::/3"] {
            let config = configuration("learn", "192.168.43.1/24", allowed_ips, "");
            let refused = result(&config).expect_err(allowed_ips);
            assert!(refused.contains("peer \"a\", which is learned"), "{refused}");
        }
    }
}
