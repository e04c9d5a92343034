//! The sections and keys that there are. Unknown keys are found by this list, examples in errors
//! come from it, and a test holds docs/configuration.md to it.

/// The TOML type that a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    Text,
    Number,
    /// A number, or a word in place of the number.
    NumberOrText,
    /// A list of texts.
    List,
    /// One text, or a list of them.
    TextOrList,
    /// `[name]`
    Section,
    /// `[[name]]`, any number of times.
    Sections,
}

impl Kind {
    pub(in crate::config) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a whole number",
            Self::NumberOrText => "a whole number or text",
            Self::List => "a list",
            Self::TextOrList => "text or a list of texts",
            Self::Section => "a section",
            Self::Sections => "a section that may stand several times",
        }
    }
}

#[derive(Debug)]
pub(in crate::config) struct Key {
    pub(in crate::config) name: &'static str,
    pub(in crate::config) kind: Kind,
    /// The text behind the `=`; for a section its header.
    pub(in crate::config) example: &'static str,
}

#[derive(Debug)]
pub(in crate::config) struct Schema {
    /// The name of the section in errors and in the documentation.
    pub(in crate::config) header: &'static str,
    pub(in crate::config) keys: &'static [Key],
}

impl Key {
    /// Returns the name in messages: of a section, its header.
    pub(in crate::config) fn written(&self) -> &'static str {
        match self.kind {
            Kind::Section | Kind::Sections => self.example,
            Kind::Text | Kind::Number | Kind::NumberOrText | Kind::List | Kind::TextOrList => {
                self.name
            }
        }
    }
}

impl Schema {
    pub(in crate::config) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(in crate::config) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

const fn key(name: &'static str, kind: Kind, example: &'static str) -> Key {
    Key { name, kind, example }
}

pub(in crate::config) static ROOT: Schema = Schema {
    header: "the top of the file",
    keys: &[
        key("node", Kind::Section, "[node]"),
        key("underlay", Kind::Section, "[underlay]"),
        key("metrics", Kind::Section, "[metrics]"),
        key("probe", Kind::Section, "[probe]"),
        key("peer", Kind::Sections, "[[peer]]"),
        key("network", Kind::Sections, "[[network]]"),
    ],
};

pub(in crate::config) static NODE: Schema =
    Schema { header: "[node]", keys: &[key("name", Kind::Text, "\"gcp\"")] };

pub(in crate::config) static UNDERLAY: Schema = Schema {
    header: "[underlay]",
    keys: &[
        key("interface", Kind::Text, "\"ens4\""),
        key("address", Kind::TextOrList, "\"10.0.0.2\""),
        key("public_address", Kind::TextOrList, "\"203.0.113.10\""),
        key("port", Kind::Number, "4789"),
        key("xdp", Kind::Text, "\"auto\""),
        key("tc", Kind::Text, "\"auto\""),
        key("source_port", Kind::Text, "\"flow\""),
        key("unknown_vni", Kind::Text, "\"drop\""),
        key("reserved_bits", Kind::Text, "\"refuse\""),
        key("udp_checksum", Kind::Text, "\"verify\""),
        key("ttl", Kind::NumberOrText, "64"),
        key("dscp", Kind::NumberOrText, "0"),
        key("tag", Kind::Text, "\"auto\""),
    ],
};

pub(in crate::config) static METRICS: Schema =
    Schema { header: "[metrics]", keys: &[key("listen", Kind::Text, "\"127.0.0.1:9839\"")] };

pub(in crate::config) static PROBE: Schema = Schema {
    header: "[probe]",
    keys: &[
        key("vni", Kind::Number, "16777215"),
        key("interval", Kind::Number, "5"),
        key("keepalive", Kind::Number, "20"),
    ],
};

pub(in crate::config) static PEER: Schema = Schema {
    header: "[[peer]]",
    keys: &[
        key("name", Kind::Text, "\"aws\""),
        key("endpoint", Kind::TextOrList, "\"198.51.100.20:4789\""),
        key("private_address", Kind::TextOrList, "\"10.0.0.119\""),
        key("packets_per_second", Kind::Number, "1000000"),
        key("bytes_per_second", Kind::Number, "125000000"),
        key("source_port", Kind::Text, "\"any\""),
        key("source_ports", Kind::Text, "\"32768-60999\""),
        key("udp_checksum", Kind::Text, "\"any\""),
        key("key_file", Kind::Text, "\"/etc/vxlan/aws.key\""),
    ],
};

pub(in crate::config) static NETWORK: Schema = Schema {
    header: "[[network]]",
    keys: &[
        key("vni", Kind::Number, "43"),
        key("interface", Kind::Text, "\"vxlan43\""),
        key("addresses", Kind::List, "[\"192.168.43.1/24\"]"),
        key("local_ips", Kind::List, "[\"192.168.43.0/24\"]"),
        key("mtu", Kind::Number, "1410"),
        key("route_table", Kind::Text, "\"main\""),
        key("broadcast_rate", Kind::Number, "1000"),
        key("unknown_unicast", Kind::Text, "\"flood\""),
        key("nested_tunnels", Kind::Text, "\"drop\""),
        key("ageing", Kind::Number, "300"),
        key("max_stations", Kind::Number, "256"),
        key("member", Kind::Sections, "[[network.member]]"),
    ],
};

pub(in crate::config) static MEMBER: Schema = Schema {
    header: "[[network.member]]",
    keys: &[
        key("peer", Kind::Text, "\"aws\""),
        key("allowed_ips", Kind::List, "[\"192.168.44.0/24\"]"),
        key("mac", Kind::Text, "\"02:00:00:00:44:01\""),
        key("probe_address", Kind::Text, "\"192.168.44.1\""),
    ],
};

/// Every section that holds keys with values.
pub(in crate::config) static SECTIONS: [&Schema; 7] =
    [&NODE, &UNDERLAY, &METRICS, &PROBE, &PEER, &NETWORK, &MEMBER];
