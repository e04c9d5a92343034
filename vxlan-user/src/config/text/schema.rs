//! The sections and keys that there are. Unknown keys are found by this list, examples in errors
//! come from it, and a test holds docs/configuration.md to it.

/// The TOML type that a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum ValueKind {
    Text,
    Number,
    /// `true` or `false`.
    Bool,
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

impl ValueKind {
    pub(in crate::config) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a whole number",
            Self::Bool => "true or false",
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
    pub(in crate::config) kind: ValueKind,
    /// The text behind the `=`; for a section its header.
    pub(in crate::config) example: &'static str,
    /// Without the key the value is chosen automatically, by what the host has.
    pub(in crate::config) has_automatic_value: bool,
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
            ValueKind::Section | ValueKind::Sections => self.example,
            ValueKind::Text
            | ValueKind::Number
            | ValueKind::Bool
            | ValueKind::NumberOrText
            | ValueKind::List
            | ValueKind::TextOrList => self.name,
        }
    }
}

impl Schema {
    pub(in crate::config) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Returns all keys, as messages list them.
    pub(in crate::config) fn list(&self) -> String {
        self.keys.iter().map(Key::written).collect::<Vec<_>>().join(", ")
    }

    pub(in crate::config) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

const fn key(name: &'static str, kind: ValueKind, example: &'static str) -> Key {
    Key { name, kind, example, has_automatic_value: false }
}

const fn automatic(name: &'static str, kind: ValueKind, example: &'static str) -> Key {
    Key { has_automatic_value: true, ..key(name, kind, example) }
}

pub(in crate::config) static ROOT: Schema = Schema {
    header: "the top of the file",
    keys: &[
        key("node", ValueKind::Section, "[node]"),
        key("underlay", ValueKind::Section, "[underlay]"),
        key("metrics", ValueKind::Section, "[metrics]"),
        key("probe", ValueKind::Section, "[probe]"),
        key("peer", ValueKind::Sections, "[[peer]]"),
        key("network", ValueKind::Sections, "[[network]]"),
    ],
};

pub(in crate::config) static NODE: Schema =
    Schema { header: "[node]", keys: &[key("name", ValueKind::Text, "\"gcp\"")] };

pub(in crate::config) static UNDERLAY: Schema = Schema {
    header: "[underlay]",
    keys: &[
        key("interface", ValueKind::Text, "\"ens4\""),
        key("address", ValueKind::TextOrList, "\"10.0.0.2\""),
        key("public_address", ValueKind::TextOrList, "\"203.0.113.10\""),
        key("port", ValueKind::Number, "4789"),
        key("xdp", ValueKind::Text, "\"auto\""),
        key("redirect", ValueKind::Text, "\"auto\""),
        key("tc", ValueKind::Text, "\"auto\""),
        key("source_port", ValueKind::Text, "\"flow\""),
        key("unknown_vni", ValueKind::Text, "\"drop\""),
        key("reserved_bits", ValueKind::Text, "\"refuse\""),
        key("udp_checksum", ValueKind::Text, "\"verify\""),
        key("ttl", ValueKind::NumberOrText, "64"),
        key("dscp", ValueKind::NumberOrText, "0"),
        key("tag", ValueKind::Text, "\"auto\""),
    ],
};

pub(in crate::config) static METRICS: Schema =
    Schema { header: "[metrics]", keys: &[key("listen", ValueKind::Text, "\"127.0.0.1:9839\"")] };

pub(in crate::config) static PROBE: Schema = Schema {
    header: "[probe]",
    keys: &[
        key("vni", ValueKind::Number, "16777215"),
        key("interval", ValueKind::Number, "5"),
        key("keepalive", ValueKind::Number, "20"),
    ],
};

pub(in crate::config) static PEER: Schema = Schema {
    header: "[[peer]]",
    keys: &[
        key("name", ValueKind::Text, "\"aws\""),
        key("endpoint", ValueKind::TextOrList, "\"198.51.100.20:4789\""),
        key("private_address", ValueKind::TextOrList, "\"10.0.0.119\""),
        key("accept_private", ValueKind::Bool, "true"),
        key("packets_per_second", ValueKind::Number, "1000000"),
        key("bytes_per_second", ValueKind::Number, "125000000"),
        key("source_port", ValueKind::Text, "\"any\""),
        key("source_ports", ValueKind::Text, "\"32768-60999\""),
        key("udp_checksum", ValueKind::Text, "\"any\""),
        key("key_file", ValueKind::Text, "\"/etc/vxlan/aws.key\""),
    ],
};

pub(in crate::config) static NETWORK: Schema = Schema {
    header: "[[network]]",
    keys: &[
        key("vni", ValueKind::Number, "43"),
        key("interface", ValueKind::Text, "\"vxlan43\""),
        key("addresses", ValueKind::List, "[\"192.168.43.1/24\"]"),
        key("local_ips", ValueKind::List, "[\"192.168.43.0/24\"]"),
        automatic("mtu", ValueKind::Number, "1410"),
        key("route_table", ValueKind::Text, "\"main\""),
        key("blackhole", ValueKind::Bool, "true"),
        key("broadcast_rate", ValueKind::Number, "1000"),
        key("unknown_unicast", ValueKind::Text, "\"flood\""),
        key("unspecified_source", ValueKind::Text, "\"drop\""),
        key("nested_tunnels", ValueKind::Text, "\"drop\""),
        key("ageing", ValueKind::Number, "300"),
        key("max_stations", ValueKind::Number, "256"),
        key("member", ValueKind::Sections, "[[network.member]]"),
    ],
};

pub(in crate::config) static MEMBER: Schema = Schema {
    header: "[[network.member]]",
    keys: &[
        key("peer", ValueKind::Text, "\"aws\""),
        key("allowed_ips", ValueKind::List, "[\"192.168.44.0/24\"]"),
        key("mac", ValueKind::Text, "\"02:00:00:00:44:01\""),
        key("probe_address", ValueKind::Text, "\"192.168.44.1\""),
    ],
};

/// Every section that holds keys with values.
pub(in crate::config) static SECTIONS: [&Schema; 7] =
    [&NODE, &UNDERLAY, &METRICS, &PROBE, &PEER, &NETWORK, &MEMBER];
