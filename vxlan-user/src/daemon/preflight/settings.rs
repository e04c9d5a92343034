//! Checks settings of the kernel's network stack that a configuration depends on: IPv6, forwarding,
//! the reverse path filter. A service may be barred from seeing them; then nothing is said.

use ipnet::IpNet;

use crate::{
    config::{Config, ConfigError, Located, Network, RouteTable},
    host::{has_ipv6, sysctl},
};

/// Refuses IPv6 in a network where the kernel has none for its interface: neither addresses nor
/// routes could be made.
pub(super) fn check_ipv6(config: &Config) -> Result<(), ConfigError> {
    for network in &config.networks {
        let Some((key, at)) = needs_ipv6(network) else { continue };
        let interface = &network.interface.value;
        // Of an interface that is to be made, the default holds.
        let of_interface = format!("ipv6/conf/{interface}/disable_ipv6");
        let default = "ipv6/conf/default/disable_ipv6";
        let (setting, value) = match sysctl(&of_interface) {
            Some(value) => (of_interface.as_str(), Some(value)),
            None => (default, sysctl(default)),
        };
        let why = if has_ipv6() == Some(false) {
            "this kernel has no IPv6 (its command line has ipv6.disable=1, or it was built so). \
             Boot with IPv6"
                .to_owned()
        } else if value.as_deref() == Some("1") {
            // sysctl(8) takes slashes too: the name of an interface may have dots.
            let mut setting = format!("net/{setting}");
            if !setting.contains('.') {
                setting = setting.replace('/', ".");
            }
            format!(
                "IPv6 is switched off here: sysctl {setting} is 1. Switch it on with `sysctl -w \
                 {setting}=0`"
            )
        } else {
            continue;
        };
        let message = format!(
            "{key} \"{at}\" of network {} needs IPv6, and {why}, or take the IPv6 prefixes out.",
            network.vni
        );
        return Err(config.error(at, message));
    }
    Ok(())
}

/// Returns what of a network is made in the kernel's IPv6, with its key.
fn needs_ipv6(network: &Network) -> Option<(&'static str, &Located<IpNet>)> {
    let is_ipv6 = |at: &&Located<IpNet>| at.value.addr().is_ipv6();
    let address = network.addresses.iter().find(is_ipv6).map(|at| ("addresses", at));
    let routed = network.route_table.value == RouteTable::Main;
    let mut prefixes = network.prefixes().filter(|_| routed);
    address.or_else(|| prefixes.find(is_ipv6).map(|at| ("allowed_ips", at)))
}

/// Lists settings with which packets are lost in the kernel behind this program.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for (ipv4, setting, advice) in [
        (true, "ipv4/ip_forward", "net.ipv4.ip_forward"),
        (false, "ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
    ] {
        if sysctl(setting).as_deref() != Some("0") {
            continue;
        }
        let behind = config.networks.iter().find_map(|network| {
            let mut prefixes = network.local_ips.iter();
            Some((network, prefixes.find(|at| is_behind(network, at, ipv4))?))
        });
        if let Some((network, prefix)) = behind {
            warnings.push(format!(
                "local_ips {prefix} of network {} is behind this host, which forwards nothing: \
                 sysctl {advice} is 0. Members reach no host there until `sysctl -w {advice}=1`",
                network.vni
            ));
        }
    }
    let filter = |name: &str| {
        sysctl(&format!("ipv4/conf/{name}/rp_filter")).and_then(|value| value.parse::<u8>().ok())
    };
    for network in &config.networks {
        let interface = &network.interface.value;
        let ipv4 = network.prefixes().any(|at| at.value.addr().is_ipv4());
        let routed = network.route_table.value == RouteTable::Main;
        // The larger of the value for all and the interface's own: 1 is strict, 2 is loose.
        let own = filter(interface).or_else(|| filter("default"));
        if ipv4 && !routed && own.max(filter("all")) == Some(1) {
            warnings.push(format!(
                "network {} has route_table = \"off\", and the reverse path filter is strict: the \
                 kernel drops what members send from addresses that no route of yours leads back \
                 to through {interface}. Add such routes, or set `sysctl -w \
                 net.ipv4.conf.{interface}.rp_filter=2`",
                network.vni
            ));
        }
    }
    warnings
}

/// Returns whether hosts other than this one have the addresses of a prefix of `local_ips`: it is
/// wider than one address, and not the network of the overlay interface.
fn is_behind(network: &Network, prefix: &IpNet, ipv4: bool) -> bool {
    let is_wide = prefix.prefix_len() < prefix.max_prefix_len();
    prefix.addr().is_ipv4() == ipv4 && is_wide && !network.is_on_link(prefix)
}
