//! Decides whether native XDP redirects into overlay interfaces on this host. Reads nothing.

use crate::config::RedirectMode;

/// Drivers of network cards whose native XDP has had XDP_REDIRECT since Linux 6.1 or before. Any
/// other might drop what it is to redirect.
///
/// Not among them is veth: the sender there may have left a checksum for a network card to
/// complete. That lies beside the packet, and a redirected frame loses it.
const REDIRECTING: [&str; 16] = [
    "bnxt_en",
    "ena",
    "fsl_dpaa2_eth",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "qede",
    "sfc",
    "st_gmac",
    "virtio_net",
];

/// Networks whose frames XDP redirects, at most: to attach to more takes the kernel too long.
const MAX_REDIRECTED: usize = 32;

/// Tells why XDP is to redirect nothing. `None`: it is to.
pub(super) fn obstacle(
    mode: RedirectMode,
    networks: usize,
    driver: Option<&str>,
) -> Option<String> {
    let known = driver.is_some_and(|driver| REDIRECTING.contains(&driver));
    match (mode, driver) {
        (RedirectMode::Off, _) => Some("redirect = \"off\"".to_owned()),
        _ if networks > MAX_REDIRECTED => {
            Some(format!("there are {networks} networks, and it is for {MAX_REDIRECTED}"))
        }
        (RedirectMode::Auto, Some("veth")) => Some(
            "a veth may bring checksums that are still to be completed. Where none does, write \
             redirect = \"on\""
                .to_owned(),
        ),
        (RedirectMode::Auto, Some(driver)) if !known => {
            Some(format!("the driver {driver} is not known to redirect"))
        }
        (RedirectMode::Auto, None) => Some("the driver is not known".to_owned()),
        (RedirectMode::Auto | RedirectMode::On, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_may_redirect() {
        let reason = |mode, networks, driver| obstacle(mode, networks, driver);
        assert_eq!(reason(RedirectMode::Auto, 32, Some("ena")), None);
        assert_eq!(reason(RedirectMode::On, 1, Some("veth")), None);
        for (mode, networks, driver, part) in [
            (RedirectMode::Auto, 1, Some("veth"), "checksums"),
            (RedirectMode::Auto, 1, Some("nfp"), "nfp is not known"),
            (RedirectMode::Auto, 1, None, "driver is not known"),
            (RedirectMode::On, 33, Some("ena"), "33 networks"),
            (RedirectMode::Off, 1, Some("ena"), "off"),
        ] {
            let found = reason(mode, networks, driver).unwrap_or_default();
            assert!(found.contains(part), "{found}");
        }
    }
}
