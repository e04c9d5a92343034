//! What several rules need: peers as far as they could be read, addresses of both families, and the
//! reference to another line.

use std::net::IpAddr;

use crate::config::error::Problems;
use crate::config::text::item::Item;
use crate::config::text::section::Section;
use crate::config::text::source::quoted;
use crate::config::types::{Located, Peer, PerFamily};
use crate::config::values::address;

/// A peer as far as it could be read.
pub(super) struct PeerDraft {
    /// The line of the section's header.
    pub(super) line: Option<u32>,
    /// The line of `endpoint = "learn"`.
    pub(super) learns: Option<u32>,
    /// Its name is empty where the name could not be read.
    pub(super) peer: Peer,
}

impl PeerDraft {
    /// Returns the name, if it could be read.
    pub(super) fn name(&self) -> Option<&Located<String>> {
        Some(&self.peer.name).filter(|name| !name.is_empty())
    }

    /// Returns the peer's name for messages, or its line where it has no usable name.
    pub(super) fn label(&self) -> String {
        match (self.name(), self.line) {
            (Some(name), _) => quoted(name),
            (None, Some(line)) => format!("on line {line}"),
            (None, None) => "without a name".to_owned(),
        }
    }

    /// Returns the peer, if it has a name and can be reached.
    pub(super) fn finish(self) -> Option<Peer> {
        let reachable = self.peer.learns || !self.peer.endpoints.is_empty();
        (reachable && self.name().is_some()).then_some(self.peer)
    }
}

/// Reads the addresses of a key that takes at most one of each family.
pub(super) fn per_family(section: &Section<'_>, key: &str, problems: &mut Problems) -> PerFamily {
    let mut addresses = PerFamily::default();
    for item in section.texts(key, problems) {
        let Some(address) = address::address(&item, problems) else { continue };
        let second = match address.value {
            IpAddr::V4(v4) => addresses.v4.replace(item.locate(v4)).is_some(),
            IpAddr::V6(v6) => addresses.v6.replace(item.locate(v6)).is_some(),
        };
        if second {
            refuse_second_of_family(&item, address.value, problems);
        }
    }
    addresses
}

pub(super) fn refuse_second_of_family(item: &Item<&str>, address: IpAddr, problems: &mut Problems) {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    problems.add(
        item.line,
        format!("{item} is a second {family} address. Write at most one of each family."),
    );
}

/// Refers to another line, in parentheses.
pub(super) fn on_line(line: Option<u32>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}
