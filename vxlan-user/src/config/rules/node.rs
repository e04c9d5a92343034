//! This host: the sections `[node]`, `[underlay]` and `[metrics]`.

use std::net::SocketAddr;

use vxlan_common::wire::vxlan;

use super::shared::per_family;
use crate::config::error::Problems;
use crate::config::text::schema;
use crate::config::text::section::Section;
use crate::config::types::{Located, Metrics, OuterField, Underlay};
use crate::config::values::{address, scalar};

pub(super) const DEFAULT_PORT: u16 = vxlan::PORT;
/// The default of hosts (RFC 1700). The kernel's `vxlan` device inherits instead.
const DEFAULT_TTL: u8 = 64;
const DEFAULT_DSCP: u8 = 0;
/// The field has six bits (RFC 2474, section 3).
const MAX_DSCP: u8 = 63;
const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9839);

pub(super) fn node_name(root: &Section<'_>, problems: &mut Problems) -> Option<Located<String>> {
    root.require("node", problems);
    let node = root.section("node", &schema::NODE, problems)?;
    node.refuse_unknown_keys(problems);
    scalar::name(&node.required_text("name", problems)?, problems)
}

/// Reads the section `[underlay]`. Returns it, and its interface where that is usable. An unusable
/// interface is empty in [`Underlay`], which leaves this module only when nothing was wrong.
pub(super) fn underlay(
    root: &Section<'_>,
    problems: &mut Problems,
) -> Option<(Underlay, Option<Located<String>>)> {
    root.require("underlay", problems);
    let section = root.section("underlay", &schema::UNDERLAY, problems)?;
    section.refuse_unknown_keys(problems);
    let interface = section
        .required_text("interface", problems)
        .and_then(|item| scalar::interface(&item, "ens4", problems));
    let port = section
        .number("port", problems)
        .and_then(|item| scalar::range(&item, 1, u16::MAX.into(), "a UDP port", problems))
        .and_then(|port| Some(Located { value: u16::try_from(port.value).ok()?, line: port.line }))
        .unwrap_or(Located::from_default(DEFAULT_PORT));
    let underlay = Underlay {
        interface: interface.clone().unwrap_or(Located::from_default(String::new())),
        address: per_family(&section, "address", problems),
        public_address: per_family(&section, "public_address", problems),
        port,
        xdp: scalar::choice(&section, "xdp", problems),
        redirect: scalar::choice(&section, "redirect", problems).value,
        tc: scalar::choice(&section, "tc", problems).value,
        source_port: scalar::choice(&section, "source_port", problems),
        unknown_vni: scalar::choice(&section, "unknown_vni", problems).value,
        reserved_bits: scalar::choice(&section, "reserved_bits", problems).value,
        udp_checksum: scalar::choice(&section, "udp_checksum", problems).value,
        ttl: scalar::outer_field(&section, "ttl", (1, u8::MAX), "a time to live", problems)
            .unwrap_or(OuterField::Fixed(DEFAULT_TTL)),
        dscp: scalar::outer_field(&section, "dscp", (0, MAX_DSCP), "a DSCP", problems)
            .unwrap_or(OuterField::Fixed(DEFAULT_DSCP)),
        tag: scalar::choice(&section, "tag", problems),
    };
    Some((underlay, interface))
}

pub(super) fn metrics(root: &Section<'_>, problems: &mut Problems) -> Metrics {
    let listen = root.section("metrics", &schema::METRICS, problems).and_then(|section| {
        section.refuse_unknown_keys(problems);
        address::listen(&section.text("listen", problems)?, problems)
    });
    Metrics { listen: listen.unwrap_or(Located::from_default(SocketAddr::from(DEFAULT_LISTEN))) }
}
