//! The segmenter: a veth pair whose one end has no offloads, so that the kernel cuts up GSO packets
//! that leave by it, and completes their checksums. The pieces arrive at the other end. Owns the
//! pair; what passes is decided by the programs.

use netlink_packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{LinkUnspec, LinkVeth};

use super::{
    connection::Host,
    error::{During as _, HostError},
    ethtool,
    link::Link,
    overlay_owner::foreign,
    overlay_step::LinkChange,
};

/// More than any packet has that may have to be cut up, and the most that a veth pair takes.
const MTU: u32 = 65_535;
const ALIAS: &str = "vxlan segmenter";

/// The indices of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmenter {
    /// By this one packets leave.
    pub entrance: u32,
    /// At this one their pieces arrive.
    pub exit: u32,
}

/// The names of the pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmenterNames {
    pub entrance: String,
    pub exit: String,
}

impl SegmenterNames {
    /// Names the pair of the daemon with this number.
    pub fn new(number: u16) -> Self {
        Self { entrance: format!("vxseg{number:04x}"), exit: format!("vxseg{number:04x}i") }
    }
}

impl Host {
    /// Makes the pair, or what is missing of it.
    pub async fn ensure_segmenter(&self, names: &SegmenterNames) -> Result<Segmenter, HostError> {
        if self.link_by_name(&names.entrance).await?.is_none() {
            let exit = LinkUnspec::new_with_name(&names.exit).mtu(MTU).build();
            let entrance = LinkVeth::new(&names.entrance, &names.exit)
                .set_info_data(InfoData::Veth(InfoVeth::Peer(exit)))
                .mtu(MTU);
            let request = self.handle.link().add(entrance.build());
            let doing = || format!("create {} and {}", names.entrance, names.exit);
            request.execute().await.during(doing)?;
        }
        let entrance = self.existing_link(&names.entrance).await?;
        let exit = self.existing_link(&names.exit).await?;
        if entrance.peer != Some(exit.ifindex) {
            return Err(foreign(&entrance));
        }
        for link in [&entrance, &exit] {
            if !is_ours(link) {
                return Err(foreign(link));
            }
            // Only what is not so yet: each change is news to all who watch.
            let unmarked = link.alias.is_none().then(|| LinkChange::Alias(ALIAS.to_owned()));
            let addresses =
                (link.generates_ipv6 == Some(true)).then_some(LinkChange::GenerateIpv6(false));
            let down = (!link.up).then_some(LinkChange::Up);
            for change in [unmarked, addresses, down].into_iter().flatten() {
                self.change_link(link.ifindex, &link.name, &change).await?;
            }
        }
        ethtool::switch_offloads_off(&names.entrance).map_err(|source| HostError::Kernel {
            doing: format!("switch the offloads of {} off", names.entrance),
            source,
        })?;
        Ok(Segmenter { entrance: entrance.ifindex, exit: exit.ifindex })
    }

    /// Removes the pair, if it is there and ours.
    pub async fn delete_segmenter(&self, names: &SegmenterNames) -> Result<(), HostError> {
        match self.link_by_name(&names.entrance).await? {
            Some(link) if is_ours(&link) => self.delete_link(link.ifindex, &link.name).await,
            Some(_) | None => Ok(()),
        }
    }
}

/// A pair that was just made has no alias yet.
fn is_ours(link: &Link) -> bool {
    link.is_veth() && link.alias.as_deref().is_none_or(|alias| alias == ALIAS)
}
