//! Telling overlay pairs of ours from everybody else's interfaces, and the changes that need no
//! more than that: MTU and removal.
//!
//! A device is ours when its alias says so ([`overlay_alias`]), or, until it has one, its group
//! ([`OVERLAY_GROUP`]). Owns those marks.

use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::{
    connection::Host,
    error::{During as _, HostError},
    link::Link,
};

/// An overlay interface of ours that was found on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedOverlay {
    pub name: String,
    pub vni: u32,
    pub ifindex: u32,
    /// `None` when somebody moved the hidden port to another namespace.
    pub hidden_ifindex: Option<u32>,
}

const OVERLAY_ALIAS: &str = "vxlan overlay VNI ";
const HIDDEN_ALIAS: &str = "vxlan hidden port VNI ";
/// Interface groups that a new pair gets, with its VNI in the lower 24 bits. An alias cannot be set
/// in the same request: by its groups a pair is known as ours if the daemon is killed before the
/// alias is set.
pub(super) const OVERLAY_GROUP: u32 = 0x7600_0000;
pub(super) const HIDDEN_GROUP: u32 = 0x7700_0000;
pub(super) fn overlay_alias(vni: u32) -> String {
    format!("{OVERLAY_ALIAS}{vni}")
}

pub(super) fn hidden_alias(vni: u32) -> String {
    format!("{HIDDEN_ALIAS}{vni}")
}

/// Returns the VNI in the alias or, as long as there is no alias, in the group of one end of a
/// pair. `None`: the interface is not ours.
fn marked(link: &Link, alias: &str, group: u32) -> Option<u32> {
    if !link.is_veth() {
        return None;
    }
    match &link.alias {
        Some(given) => given.strip_prefix(alias)?.parse().ok(),
        None => (link.group & 0xff00_0000 == group).then_some(link.group & 0x00ff_ffff),
    }
}

pub(super) fn vni_of(overlay: &Link) -> Option<u32> {
    marked(overlay, OVERLAY_ALIAS, OVERLAY_GROUP)
}

fn vni_of_hidden(port: &Link) -> Option<u32> {
    marked(port, HIDDEN_ALIAS, HIDDEN_GROUP)
}

impl Host {
    /// Checks that no foreign interface has this name, which one end of the network's overlay pair
    /// gets: the name is free, or that of an end of its pair. With `known` it may also be that of
    /// another network's pair, which the caller made and may remove. Changes nothing.
    ///
    /// # Errors
    /// [`HostError::ForeignInterface`]
    pub async fn may_use_name(&self, name: &str, vni: u32, known: bool) -> Result<(), HostError> {
        let Some(link) = self.link_by_name(name).await? else { return Ok(()) };
        let found = vni_of(&link).or(vni_of_hidden(&link));
        let ours = found.is_some_and(|found| known || found == vni);
        if ours { Ok(()) } else { Err(foreign(&link)) }
    }

    /// Sets the MTU of both ends. An end that is to send less does so before the other one takes
    /// less.
    pub async fn set_overlay_mtu(&self, name: &str, mtu: u32) -> Result<(), HostError> {
        let overlay = self.existing_link(name).await?;
        if vni_of(&overlay).is_none() {
            return Err(foreign(&overlay));
        }
        let links = self.links().await?;
        let hidden = links.into_iter().find(|link| Some(link.ifindex) == overlay.peer);
        let mut ends: Vec<Link> = hidden.into_iter().collect();
        ends.insert(if mtu < overlay.mtu { 0 } else { ends.len() }, overlay);
        for link in &ends {
            let change = LinkUnspec::new_with_index(link.ifindex).mtu(mtu);
            self.change(link, change, &format!("set MTU {mtu} on")).await?;
        }
        Ok(())
    }

    /// Removes the pair of this name if it is ours. `false`: there is no such interface.
    pub async fn delete_overlay(&self, name: &str) -> Result<bool, HostError> {
        let Some(link) = self.link_by_name(name).await? else { return Ok(false) };
        if vni_of(&link).is_none() {
            return Err(foreign(&link));
        }
        self.delete_link(&link).await?;
        Ok(true)
    }

    /// All overlay interfaces in this namespace that are ours, whatever their names.
    pub async fn list_overlays(&self) -> Result<Vec<OwnedOverlay>, HostError> {
        let owned = |link: Link| {
            Some(OwnedOverlay {
                vni: vni_of(&link)?,
                ifindex: link.ifindex,
                hidden_ifindex: link.peer,
                name: link.name,
            })
        };
        Ok(self.links().await?.into_iter().filter_map(owned).collect())
    }

    pub(super) async fn change(
        &self,
        link: &Link,
        change: LinkMessageBuilder<LinkUnspec>,
        doing: &str,
    ) -> Result<(), HostError> {
        let request = self.handle.link().change(change.build());
        request.execute().await.during(|| format!("{doing} {}", link.name))
    }

    pub(super) async fn delete_link(&self, link: &Link) -> Result<(), HostError> {
        let request = self.handle.link().del(link.ifindex);
        request.execute().await.during(|| format!("delete interface {}", link.name))
    }
}

pub(super) fn foreign(link: &Link) -> HostError {
    HostError::ForeignInterface { name: link.name.clone(), found: link.describe() }
}
