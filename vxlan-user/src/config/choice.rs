//! The keys that take one word of a fixed list, and those words. The variant marked `#[default]`
//! holds without the key.

use crate::attach_mode::AttachMode;

/// A value chosen from a fixed list of words.
pub(super) trait Choice: Copy + Default + 'static {
    const ALL: &'static [Self];
    fn word(self) -> &'static str;
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name { $($(#[$about])* $variant,)+ }

        impl $name {
            /// Returns the word in the file and in every output.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            fn word(self) -> &'static str {
                self.as_str()
            }
        }
    };
}

/// The modes in which packets may be received on the underlay interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpSetting {
    /// The best mode that the driver and the kernel have.
    #[default]
    Auto,
    /// This mode alone.
    Only(AttachMode),
}

impl Choice for XdpSetting {
    const ALL: &'static [Self] = &[
        Self::Auto,
        Self::Only(AttachMode::Native),
        Self::Only(AttachMode::Generic),
        Self::Only(AttachMode::Off),
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Only(mode) => mode.label(),
        }
    }
}

choice! {
    /// How the TC programs are attached.
    TcMode {
        /// TCX if the kernel has it, else clsact.
        #[default] Auto = "auto",
        /// BPF links, Linux 6.6 and newer.
        Tcx = "tcx",
        /// Filters of a clsact qdisc.
        Clsact = "clsact",
    }
}

choice! {
    /// Whether native XDP redirects accepted UDP into overlay interfaces.
    RedirectMode {
        /// Where the driver is known to redirect, and to receive whole checksums.
        #[default] Auto = "auto",
        /// Whatever the driver.
        On = "on",
        /// No packet.
        Off = "off",
    }
}

choice! {
    /// The UDP source port of the packets this host sends.
    SourcePort {
        /// One port per inner flow, 49152 to 65535.
        #[default] Flow = "flow",
        /// The VXLAN port itself, for peers behind NAPT.
        Fixed = "fixed",
    }
}

choice! {
    /// The UDP source port that a peer's packets have when it sends them.
    PeerSourcePort {
        /// By the rule of this program: a NAT has chosen any other port.
        #[default] Flow = "flow",
        /// The VXLAN port.
        Fixed = "fixed",
        /// One port of a range, as with a kernel `vxlan` device.
        Any = "any",
    }
}

choice! {
    /// The UDP checksum of the packets that a peer sends.
    PeerUdpChecksum {
        /// None: a NAT has added any checksum that arrives.
        #[default] Zero = "zero",
        /// Unknown, as with a kernel `vxlan` device.
        Any = "any",
    }
}

choice! {
    /// What happens to a VXLAN packet with a VNI that no network here has.
    UnknownVni {
        #[default] Drop = "drop",
        /// Left to the kernel, when another VXLAN user shares the port.
        Pass = "pass",
    }
}

choice! {
    /// Where the daemon puts the routes to `allowed_ips`.
    RouteTable {
        /// The main routing table of the host.
        #[default] Main = "main",
        /// None: the operator makes the routes.
        Off = "off",
    }
}

choice! {
    /// How XDP hands an accepted frame to TC.
    TagMode {
        /// Metadata if the driver has room for it, else the MAC address.
        #[default] Auto = "auto",
        /// In the packet's XDP metadata.
        Metadata = "metadata",
        /// As a secret destination MAC address, drawn at random at the first start.
        Mac = "mac",
    }
}

choice! {
    /// What reserved bits that are set in a received VXLAN header mean.
    ReservedBits {
        /// Another protocol: the packet is dropped.
        #[default] Refuse = "refuse",
        /// Nothing (RFC 7348, section 5).
        Ignore = "ignore",
    }
}

choice! {
    /// Whether a UDP checksum that is not zero is verified in received packets.
    UdpChecksumPolicy {
        /// A packet with a wrong checksum is dropped.
        #[default] Verify = "verify",
        /// Not verified (RFC 7348, section 5, leaves that to the receiver).
        Ignore = "ignore",
    }
}

choice! {
    /// What happens to a frame whose destination is neither in the FDB nor an address that a member
    /// owns.
    UnknownUnicast {
        /// Every member gets a copy.
        #[default] Flood = "flood",
        Drop = "drop",
    }
}

choice! {
    /// What happens to frames of hosts behind a member that have no address yet.
    UnspecifiedSource {
        #[default] Drop = "drop",
        /// DHCP, ARP probes and duplicate address detection enter.
        Pass = "pass",
    }
}

choice! {
    /// What happens to a VXLAN packet that arrives inside the tunnel.
    NestedTunnels {
        #[default] Drop = "drop",
        Pass = "pass",
    }
}
