//! Chooses how to attach: the XDP modes that the configuration allows, without those that a foreign
//! program occupies, and the kind of TC hook. Generic XDP only where the configuration asks for it:
//! the kernel then merges no packets of that interface any more, other traffic's neither
//! (`netif_elide_gro`). Also lists what keeps a driver from native XDP, with
//! the remedy. The kernel decides; the list only explains a refusal.

use super::redirecting;
use crate::{
    attach_mode::AttachMode,
    config::{Config, TcMode, XdpSetting},
    dataplane::{AttachModes, DataPlaneError, Pins, Refusal, TcHook, names, program_name},
    host::{DriverInfo, UnderlayLink, VirtioFeatures},
};

/// Lists the attach modes to try on this host, in the fallback order.
///
/// # Errors
/// The configuration asks for an XDP mode, and a foreign program is attached; or for generic XDP on
/// an interface that stands on others. Or the daemon's own link cannot be read.
pub(in crate::daemon) fn for_host(
    config: &Config,
    underlay: &UnderlayLink,
    pins: &Pins,
) -> anyhow::Result<AttachModes> {
    let mut modes = match config.underlay.xdp.value {
        XdpSetting::Auto => vec![AttachMode::Native, AttachMode::Off],
        XdpSetting::Only(AttachMode::Off) => {
            return Ok(AttachModes { allowed: vec![AttachMode::Off], ..AttachModes::default() });
        }
        XdpSetting::Only(AttachMode::Generic) if is_stacked(underlay) => {
            return Err(config.error(&config.underlay.xdp, stacked(&underlay.name)).into());
        }
        XdpSetting::Only(mode) => vec![mode],
    };
    let mut refused = Vec::new();
    if let Some(foreign) = foreign(underlay, pins)? {
        let (is_decap, reason) = (foreign.is_decap(), foreign.sentence(&underlay.name));
        if is_decap || config.underlay.xdp.value != XdpSetting::Auto {
            return Err(config.error(&config.underlay.interface, format!("{reason}.")).into());
        }
        // The kernel takes no second program in either mode.
        modes.retain(|mode| *mode == AttachMode::Off);
        refused.push(Refusal { mode: AttachMode::Native, reason });
    }
    if !modes.contains(&AttachMode::Native) {
        return Ok(AttachModes { allowed: modes, refused, ..AttachModes::default() });
    }
    let device = DriverInfo::read(&underlay.name, underlay.mac);
    let native_limits = native_limits(&device, &underlay.name, underlay.mtu);
    let (mode, networks) = (config.underlay.redirect, config.networks.len());
    let no_redirect = redirecting::obstacle(mode, networks, device.driver.as_deref());
    Ok(AttachModes { allowed: modes, refused, no_redirect, native_limits })
}

/// Chooses the hook of TC programs: the configured kind, or what this kernel has.
pub(in crate::daemon) fn tc_hook(config: &Config) -> TcHook {
    match config.underlay.tc {
        TcMode::Auto => TcHook::for_kernel(),
        TcMode::Tcx => TcHook::Tcx,
        TcMode::Clsact => TcHook::Netlink,
    }
}

/// The number of networks up to which `encap` is attached by links where that is not configured.
/// The kernel waits for all of its CPUs, holding the lock of the whole network configuration, for
/// each link that it attaches, and for each interface with a link that it removes (`tcx_entry_sync`
/// in include/net/tcx.h): 4 to 20 ms. It does not for a filter.
const MAX_LINKED_NETWORKS: usize = 32;

/// Chooses the hook of `encap` on one overlay interface. `before` is the present hook there. A link
/// stays one: to replace the program in it takes no time.
pub(in crate::daemon) fn encap_hook(config: &Config, before: Option<TcHook>) -> TcHook {
    let many = config.networks.len() > MAX_LINKED_NETWORKS;
    match (tc_hook(config), config.underlay.tc) {
        (TcHook::Tcx, TcMode::Auto) if many => before.unwrap_or(TcHook::Netlink),
        (hook, _) => hook,
    }
}

/// Lists, before anything is tried, the reasons why native XDP will be refused.
pub(in crate::daemon) fn warnings(modes: &AttachModes) -> Vec<String> {
    let limits = modes.native_limits.iter().map(|limit| format!("native XDP: {limit}"));
    let refused = modes.refused.iter().filter(|refused| refused.mode == AttachMode::Native);
    let refused = refused.map(|refused| format!("receiving in TC alone: {}", refused.reason));
    let generic = (modes.allowed == [AttachMode::Generic]).then(|| {
        "generic XDP: the kernel merges no received packets of the underlay interface any more \
         (GRO), which costs its other TCP traffic CPU time; `xdp = \"auto\"` receives in TC where \
         the driver has no native XDP"
            .to_owned()
    });
    limits.chain(refused).chain(generic).collect()
}

/// Kinds of virtual devices that stand on others, which merge packets before generic XDP sees them.
/// To a program each merged packet looks like one.
const STACKED: [&str; 9] =
    ["bond", "bridge", "ipvlan", "ipvtap", "macvlan", "macvtap", "openvswitch", "team", "vlan"];

fn is_stacked(underlay: &UnderlayLink) -> bool {
    underlay.kind.as_deref().is_some_and(|kind| STACKED.contains(&kind))
}

fn stacked(interface: &str) -> String {
    format!(
        "generic XDP on {interface} would see packets that the interface below has merged, and \
         take each for one: write `xdp = \"auto\"` or `\"off\"`, which receives in TC."
    )
}

/// A foreign XDP program: any program but that behind the pinned link of this daemon. The daemon
/// never replaces a foreign program.
struct Foreign {
    id: u32,
    name: Option<String>,
}

fn foreign(underlay: &UnderlayLink, pins: &Pins) -> Result<Option<Foreign>, DataPlaneError> {
    let Some(id) = underlay.xdp.map(|xdp| xdp.program_id) else { return Ok(None) };
    let ours = pins.decap_program()? == Some(id);
    Ok((!ours).then(|| Foreign { id, name: program_name(id) }))
}

impl Foreign {
    /// Returns whether the program is `decap` of another daemon, which then receives every packet
    /// to the VXLAN port.
    fn is_decap(&self) -> bool {
        self.name.as_deref() == Some(names::DECAP)
    }

    /// Describes the program and how to remove it, for a message.
    fn sentence(&self, interface: &str) -> String {
        let id = self.id;
        let name = match self.name.as_deref() {
            None => String::new(),
            Some(names::DECAP) => ", decap: another `vxlan`".to_owned(),
            Some("xdp_dispatcher") => ", xdp_dispatcher: that of libxdp".to_owned(),
            Some(name) => format!(", {name}"),
        };
        format!(
            "interface {interface} carries an XDP program already (id {id}{name}), which is not \
             ours and stays. See whose it is with `bpftool prog show id {id}`; stop its owner, or \
             detach it with `ip link set dev {interface} xdp off`"
        )
    }
}

/// What a driver requires before it accepts an XDP program, according to its function that sets an
/// XDP program, in Linux 6.12 with pages of 4 KiB.
struct Driver {
    name: &'static str,
    /// The largest MTU.
    mtu: u32,
    /// The driver needs a spare queue for each queue in use, so at most half of them may be in use.
    needs_spare_queues: bool,
    /// The device must not merge received packets.
    forbids_merging: bool,
}

const DRIVERS: [Driver; 6] = [
    // veth_xdp_set. The MTU of the other end counts, which mostly is the same.
    Driver { name: "veth", mtu: 3_506, needs_spare_queues: false, forbids_merging: false },
    // virtnet_xdp_set. The host merges, which cannot always be switched off.
    Driver { name: "virtio_net", mtu: 3_506, needs_spare_queues: false, forbids_merging: true },
    // ena_xdp_set, ENA_XDP_MAX_MTU.
    Driver { name: "ena", mtu: 3_498, needs_spare_queues: true, forbids_merging: false },
    // gve_verify_xdp_configuration, in its GQI format.
    Driver { name: "gve", mtu: 2_032, needs_spare_queues: true, forbids_merging: true },
    // ixgbe_xdp_setup: a frame in one buffer of 3 KiB.
    Driver { name: "ixgbe", mtu: 3_050, needs_spare_queues: false, forbids_merging: true },
    // netvsc_vf_setxdp and netvsc_xdp_set: frame and headroom in a page.
    Driver { name: "hv_netvsc", mtu: 3_826, needs_spare_queues: false, forbids_merging: true },
];

/// Lists what keeps the device from native XDP, each with its remedy.
fn native_limits(device: &DriverInfo, interface: &str, mtu: u32) -> Vec<String> {
    let name = device.driver.as_deref();
    let Some(driver) = DRIVERS.iter().find(|driver| name == Some(driver.name)) else {
        return Vec::new();
    };
    let (name, max_mtu) = (driver.name, driver.mtu);
    let mut found = Vec::new();
    if mtu > max_mtu {
        found.push(format!(
            "MTU {mtu} is more than the {max_mtu} that {name} takes with an XDP program: `ip link \
             set {interface} mtu {max_mtu}`"
        ));
    }
    if let Some(channels) = device.channels.filter(|_| driver.needs_spare_queues) {
        let half = channels.max / 2;
        if channels.used > half && half > 0 {
            found.push(format!(
                "{name} needs a spare queue for each of the {} in use, and has {} in all: `ethtool \
                 -L {interface} {}`",
                channels.used,
                channels.max,
                channels.command(half)
            ));
        } else if channels.used > half {
            found.push(format!(
                "{name} needs a spare queue, and has one in all: give the machine more CPUs or \
                 queues"
            ));
        }
    }
    for offload in device.merging_offloads.iter().filter(|_| driver.forbids_merging) {
        found.push(if offload.fixed {
            format!(
                "{} is on, which {name} cannot have with an XDP program, and the host of this \
                 machine does not let it be switched off: that is a setting of the hypervisor",
                offload.name
            )
        } else if name == "virtio_net" {
            // The driver switches it off by itself.
            continue;
        } else {
            format!(
                "{} is on, which {name} cannot have with an XDP program: `ethtool -K {interface} \
                 {} off`",
                offload.name, offload.name
            )
        });
    }
    if device.virtio.is_some_and(VirtioFeatures::leaves_checksums) {
        found.push(format!(
            "the host of this machine leaves checksums to be computed here, which {name} cannot \
             have with an XDP program, and does not let it be switched off: that is a setting of \
             the hypervisor (VIRTIO_NET_F_GUEST_CSUM without \
             VIRTIO_NET_F_CTRL_GUEST_OFFLOADS)"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Channels, Offload};

    fn limits_of(
        driver: &str,
        mtu: u32,
        channels: Option<Channels>,
        merging: &[Offload],
    ) -> String {
        let driver = Some(driver.to_owned());
        let device =
            DriverInfo { driver, channels, merging_offloads: merging.to_vec(), virtio: None };
        native_limits(&device, "eth0", mtu).join("\n")
    }

    #[test]
    fn an_mtu_is_measured_by_its_driver() {
        for (driver, max_mtu) in DRIVERS.map(|driver| (driver.name, driver.mtu)) {
            assert_eq!(limits_of(driver, max_mtu, None, &[]), "");
            let limits = limits_of(driver, max_mtu + 1, None, &[]);
            assert!(limits.contains(&format!("`ip link set eth0 mtu {max_mtu}`")), "{limits}");
        }
        assert_eq!(limits_of("e1000e", 9_000, None, &[]), "", "a driver that is not listed");
    }

    #[test]
    fn half_the_queues_are_left_for_xdp() {
        let channels = |used, max, combined| Some(Channels { used, max, combined });
        assert_eq!(limits_of("ena", 1_500, channels(4, 8, true), &[]), "");
        let limits = limits_of("ena", 1_500, channels(5, 8, true), &[]);
        assert!(limits.ends_with("`ethtool -L eth0 combined 4`"), "{limits}");
        let limits = limits_of("gve", 1_460, channels(2, 2, false), &[]);
        assert!(limits.ends_with("`ethtool -L eth0 rx 1 tx 1`"), "{limits}");
        let limits = limits_of("gve", 1_460, channels(1, 1, false), &[]);
        assert!(limits.contains("one in all"), "{limits}");
        assert_eq!(limits_of("veth", 1_500, channels(8, 8, true), &[]), "");
    }

    #[test]
    fn what_a_device_merges_is_named_with_its_remedy() {
        let on = |name, fixed| [Offload { name, fixed }];
        let limits = limits_of("gve", 1_460, None, &on("rx-lro", false));
        assert!(limits.ends_with("`ethtool -K eth0 rx-lro off`"), "{limits}");
        let limits = limits_of("virtio_net", 1_500, None, &on("rx-gro-hw", true));
        assert!(limits.contains("hypervisor"), "{limits}");
        assert_eq!(limits_of("virtio_net", 1_500, None, &on("rx-gro-hw", false)), "");
        assert_eq!(limits_of("ena", 1_500, None, &on("rx-lro", false)), "");
    }

    #[test]
    fn a_foreign_program_is_named_where_its_name_is_known() {
        let foreign = |name: Option<&str>| Foreign { id: 7, name: name.map(str::to_owned) };
        for (name, text) in [
            (None, "(id 7)"),
            (Some("xdp_filter"), "(id 7, xdp_filter)"),
            (Some("xdp_dispatcher"), "(id 7, xdp_dispatcher: that of libxdp)"),
            (Some("decap"), "(id 7, decap: another `vxlan`)"),
        ] {
            let sentence = foreign(name).sentence("eth0");
            assert!(sentence.contains(text) && sentence.contains("show id 7`"), "{sentence}");
        }
    }
}
