//! Removing overlay pairs, as one batch: the kernel waits for its CPUs once for each request that
//! removes interfaces, however many they are.

use std::collections::HashSet;

use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::LinkUnspec;

use super::{
    connection::Host,
    error::{During as _, HostError},
    link::Link,
    overlay_spec::Made,
    pipeline,
};

/// The group that interfaces are put into to be removed together. No pair has it: VNI 0 is none.
const DOOMED_GROUP: u32 = 0x7800_0000;

/// Fewer interfaces than this are removed one by one.
const MIN_BATCH: usize = 4;

impl Host {
    /// Removes the pairs of these networks, as far as their marks say that they are ours and either
    /// end is in this namespace. Returns the VNIs of those that were there.
    pub async fn delete_pairs(&self, vnis: &[u32]) -> Result<Vec<u32>, HostError> {
        let wanted: Vec<_> = vnis.iter().map(|vni| (*vni, Made::default())).collect();
        self.delete_made_pairs(&wanted).await
    }

    /// The same, with the record of what was made.
    pub async fn delete_made_pairs(&self, pairs: &[(u32, Made)]) -> Result<Vec<u32>, HostError> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let view = self.view_links().await?;
        let mut seen = HashSet::new();
        let (mut ends, mut vnis) = (Vec::new(), Vec::new());
        for (vni, made) in pairs {
            let pair = view.pair(*vni, made);
            // By either end: the other one may be in another namespace. Halves of two pairs are
            // removed by one end each.
            let halves =
                if pair.is_whole() { (pair.overlay, None) } else { (pair.overlay, pair.hidden) };
            let found = [halves.0, halves.1].into_iter().flatten();
            let before = ends.len();
            ends.extend(found.filter(|end| seen.insert(end.ifindex)));
            if ends.len() != before {
                vnis.push(*vni);
            }
        }
        let in_use = view.has_group(DOOMED_GROUP);
        if ends.len() < MIN_BATCH || in_use {
            for end in &ends {
                self.delete_link_or_gone(end).await?;
            }
        } else {
            self.delete_together(&ends).await?;
        }
        Ok(vnis)
    }

    async fn delete_link_or_gone(&self, link: &Link) -> Result<(), HostError> {
        match self.delete_link(link.ifindex, &link.name).await {
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            other => other,
        }
    }

    async fn delete_together(&self, ends: &[&Link]) -> Result<(), HostError> {
        let marks = ends.iter().map(async |end| {
            let link = LinkUnspec::new_with_index(end.ifindex)
                .append_extra_attribute(LinkAttribute::Group(DOOMED_GROUP));
            let marked = self.handle.link().change(link.build()).execute().await;
            match marked.during(|| format!("mark {} for its removal", end.name)) {
                Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
                other => other,
            }
        });
        pipeline::all(marks).await.into_iter().collect::<Result<(), _>>()?;
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Group(DOOMED_GROUP));
        let mut request = self.handle.link().del(0);
        *request.message_mut() = message;
        match request.execute().await.during(|| format!("delete {} interfaces", ends.len())) {
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            other => other,
        }
    }
}
