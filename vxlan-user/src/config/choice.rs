//! The keys that take one word of a fixed list, and those words. The first line of each list is
//! not special: the default is the variant marked `#[default]`.

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
            /// The word in the file and in every output.
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
        /// By the rule of this program; another port is a NAT's work.
        #[default] Flow = "flow",
        /// The VXLAN port.
        Fixed = "fixed",
        /// One of a range, as with a kernel `vxlan` device.
        Any = "any",
    }
}

choice! {
    /// The UDP checksum of what a peer sends.
    PeerUdpChecksum {
        /// It sends none; one that is there is a NAT's work.
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
        /// Nowhere: whoever needs routes makes them.
        Off = "off",
    }
}

choice! {
    /// How XDP hands an accepted frame to TC.
    Tag {
        /// Metadata if the driver has room for it, else the MAC address.
        #[default] Auto = "auto",
        /// In the packet's XDP metadata.
        Metadata = "metadata",
        /// As a secret destination MAC address, drawn anew at each start.
        Mac = "mac",
    }
}

choice! {
    /// What the reserved bits of a received VXLAN header say.
    ReservedBits {
        /// Another protocol: the packet is dropped.
        #[default] Refuse = "refuse",
        /// Nothing (RFC 7348, section 5).
        Ignore = "ignore",
    }
}

choice! {
    /// What a UDP checksum that is not zero says of a received packet.
    UdpChecksum {
        /// It must be right.
        #[default] Verify = "verify",
        /// Nothing (RFC 7348, section 5, leaves it to the receiver).
        Ignore = "ignore",
    }
}

choice! {
    /// What happens to a frame for a MAC address that nobody is known to have, and an address that
    /// no member owns.
    UnknownUnicast {
        /// Every member gets a copy.
        #[default] Flood = "flood",
        Drop = "drop",
    }
}

choice! {
    /// What happens to a VXLAN packet that comes through the tunnel.
    NestedTunnels {
        #[default] Drop = "drop",
        Pass = "pass",
    }
}
