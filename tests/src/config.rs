//! The text of a configuration file, as a person writes it: section after section, in the order in
//! which they are named. Every suite makes its configurations with it. What a host of a certain
//! topology needs is said there ([`crate::two_hosts::Tunnel`], [`crate::lab::Side`]).

use std::{
    fmt::{self, Display, Write as _},
    ops::Deref,
};

use crate::link::UNDERLAY;

/// A configuration file. It is text already: wherever text is wanted, `&config` is that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    text: String,
}

impl Config {
    /// `[node]`, and an `[underlay]` on [`UNDERLAY`], which is the section that keys then go to.
    pub fn new(node: &str) -> Self {
        let config = Self { text: String::new() };
        config.section("[node]").set("name", node).section("[underlay]").set("interface", UNDERLAY)
    }

    /// Begins a section, brackets included: `[probe]`.
    pub fn section(mut self, header: &str) -> Self {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.lines(header)
    }

    /// Begins a `[[peer]]`; `endpoint` is an address, or `learn`.
    pub fn peer(self, name: &str, endpoint: impl Display) -> Self {
        self.section("[[peer]]").set("name", name).set("endpoint", endpoint)
    }

    /// Begins a `[[network]]`; addresses have their prefix lengths.
    pub fn network(self, vni: u32, interface: &str, addresses: &[impl AsRef<str>]) -> Self {
        self.section("[[network]]")
            .lines(&format!("vni = {vni}"))
            .set("interface", interface)
            .list("addresses", addresses)
    }

    /// Begins a `[[network.member]]` of the network named last.
    pub fn member(self, peer: &str, allowed_ips: &[impl AsRef<str>]) -> Self {
        self.section("[[network.member]]").set("peer", peer).list("allowed_ips", allowed_ips)
    }

    /// A key with a text for its value, in the section begun last.
    pub fn set(self, key: &str, value: impl Display) -> Self {
        self.lines(&format!("{key} = \"{value}\""))
    }

    /// A key with a list of texts.
    pub fn list(mut self, key: &str, values: &[impl AsRef<str>]) -> Self {
        let quoted: Vec<_> = values.iter().map(|value| format!("\"{}\"", value.as_ref())).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{key} = [{}]", quoted.join(", "));
        self
    }

    /// Whatever else stands in the section begun last, to the letter; nothing if it is empty.
    pub fn lines(mut self, lines: &str) -> Self {
        if !lines.is_empty() {
            self.text.push_str(lines.trim_end());
            self.text.push('\n');
        }
        self
    }
}

impl Deref for Config {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl From<Config> for String {
    fn from(config: Config) -> Self {
        config.text
    }
}

impl Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_person_writes_it() {
        let config = Config::new("a")
            .lines("mtu = 1500\n")
            .lines("")
            .peer("b", "203.0.113.2")
            .network(43, "vxlan43", &["192.168.43.1/24", "2001:db8:43::1/64"])
            .member("b", &["192.168.44.0/24"]);
        let text = r#"[node]
name = "a"

[underlay]
interface = "eth0"
mtu = 1500

[[peer]]
name = "b"
endpoint = "203.0.113.2"

[[network]]
vni = 43
interface = "vxlan43"
addresses = ["192.168.43.1/24", "2001:db8:43::1/64"]

[[network.member]]
peer = "b"
allowed_ips = ["192.168.44.0/24"]
"#;
        assert_eq!(&*config, text);
    }
}
