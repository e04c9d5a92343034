//! The kernel vxlan device at the far end of a wire: its counters, and those of the wire itself.

use anyhow::Result;
use vxlan_tests::{
    Ns, Wire,
    conserve::{LinkStats, link_stats},
};

use crate::{
    ledger::{Ledger, Merging, link_since},
    meter::Network,
};

/// Counters of a host whose tunnel is a kernel vxlan device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FarEnd {
    /// All zero before the device is made.
    device: LinkStats,
    wire: LinkStats,
}

impl FarEnd {
    pub(crate) fn read(ns: &Ns, device: &str) -> Result<Self> {
        let exists = ns.has_interface(device)?;
        Ok(Self {
            device: if exists { link_stats(ns, device)? } else { LinkStats::default() },
            wire: link_stats(ns, "eth0")?,
        })
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            device: link_since(&self.device, &before.device),
            wire: link_since(&self.wire, &before.wire),
        }
    }

    /// What crossed the wire at this end.
    pub(crate) fn wire(&self) -> &LinkStats {
        &self.wire
    }

    /// What ours sent is what the device received, and what the device sent is what ours received
    /// or, in `dropped` packets, refused.
    pub(crate) fn check(
        &self,
        ledger: &mut Ledger,
        ours: &Network,
        dropped: u64,
        wire: Wire,
        how: Merging,
    ) {
        ledger.flawless("the kernel's device", &self.device);
        ledger.flawless("the kernel's wire", &self.wire);
        // The device counts frames without their Ethernet header.
        let with_ethernet = |packets, bytes| (packets, bytes + 14 * packets);
        ledger.merged(
            "sent by us against received by the kernel's device",
            (ours.tx, ours.tx_bytes),
            with_ethernet(self.device.rx_packets, self.device.rx_bytes),
            how,
        );
        match wire {
            Wire::Real => {
                let what = "sent by us against frames on the kernel's wire";
                ledger.equal(what, ours.tx, self.wire.rx_packets);
            }
            // GSO frames cross whole, and the device gets them as they were.
            Wire::Default => {
                let what = "frames on the wire against frames received by the kernel's device";
                ledger.equal(what, self.wire.rx_packets, self.device.rx_packets);
            }
        }
        // Towards us no GSO frame crosses either wire: XDP has switched that off.
        let what = "frames on the kernel's wire against packets received and dropped by us";
        ledger.equal(what, self.wire.tx_packets, ours.rx + dropped);
        if dropped == 0 {
            ledger.merged(
                "received by us against sent by the kernel's device",
                (ours.rx, ours.rx_bytes),
                with_ethernet(self.device.tx_packets, self.device.tx_bytes),
                how,
            );
        }
    }
}
