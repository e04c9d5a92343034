//! The configuration: the file format of `vxlan.toml` and everything that must be right about it.
//!
//! Owns reading the file, the meaning of every key, and the sentences a user reads when a key is
//! wrong. Knows nothing of BPF or netlink: what only the running host can tell (is the address on
//! the interface? does the interface exist?) is checked by the host room, which reports it through
//! [`Config::error`] so that both kinds of mistake look the same.
//!
//! The way of a file: `document` and `raw` read the TOML tree with positions, `schema` says which
//! keys there are, `value` and `word` turn one text into one value, `validate` and its like give
//! the whole its meaning. Each goes on after a mistake, so that one run shows all of them.

use std::fs;
use std::path::Path;

mod choice;
mod document;
mod error;
mod overlap;
mod raw;
mod schema;
mod source;
mod suggest;
mod types;
mod validate;
mod validate_limits;
mod validate_network;
mod validate_peers;
mod validate_prefixes;
mod validate_probes;
mod value;
mod word;

#[cfg(test)]
mod tests;

pub use choice::{
    NestedTunnels, PeerSourcePort, PeerUdpChecksum, ReservedBits, RouteTable, SourcePort, Tag,
    TcMode, UdpChecksum, UnknownUnicast, UnknownVni, XdpMode,
};
pub use error::{ConfigError, ConfigErrors};
pub use types::{
    Config, Located, Member, Metrics, Network, Node, OuterField, Peer, PerFamily, Probe, Underlay,
    Vni,
};
pub use validate_limits::MOST_STATIONS;

/// Where the configuration is when the command line does not say.
pub const DEFAULT_PATH: &str = "/etc/vxlan/vxlan.toml";

/// Reads and validates the file at `path`.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let bytes = fs::read(path).map_err(|error| {
        ConfigError::at(
            path,
            None,
            format!(
                "the configuration cannot be read: {error}. Put it there, or name another file \
                 with --config."
            ),
        )
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, path),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default());
            let line = source::Source::new(&text).line(text.len());
            Err(ConfigError::at(
                path,
                line,
                "this line holds a byte that is not UTF-8. Save the file as UTF-8 text.",
            )
            .into())
        }
    }
}

/// Validates `text` as the contents of `file`. Nothing is read: `file` is what errors name, and
/// relative `key_file` paths are taken from its directory.
pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigErrors> {
    let mut problems = error::Problems::new(file);
    let config = document::Document::parse(text, &mut problems)
        .and_then(|document| validate::config(&document.root(), &mut problems));
    problems.finish(config)
}
