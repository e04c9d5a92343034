//! The configuration: the file format of `vxlan.toml` and everything that must be right about it.
//!
//! Owns reading the file, the meaning of every key, and the sentences a user reads when a key is
//! wrong. Knows nothing of BPF or netlink: what only the running host can tell (is the address on
//! the interface? does the interface exist?) is checked by the daemon's preflight, which reports it
//! through [`Config::error`] so that both kinds of mistake look the same.
//!
//! From file to [`Config`]: `text` reads the TOML tree with positions and the keys that there are,
//! `values` turns one text into one value, `rules` holds the values against each other. Each goes
//! on after a mistake, so that one run reports all of them.
//!
//! Import order, lowest first: `error`, `choice`, `vni`, `types`, `text`, `values`, `rules`,
//! `unreadable`, `changes`.

use std::fs;
use std::path::Path;

mod changes;
mod choice;
mod error;
mod rules;
mod text;
mod types;
mod unreadable;
mod values;
mod vni;

#[cfg(test)]
mod tests;

pub use changes::Changes;
pub use choice::{
    NestedTunnels, PeerSourcePort, PeerUdpChecksum, RedirectMode, ReservedBits, RouteTable,
    SourcePort, TagMode, TcMode, UdpChecksumPolicy, UnknownUnicast, UnknownVni, UnspecifiedSource,
    XdpSetting,
};
pub use error::{ConfigError, ConfigErrors};
pub use rules::MAX_FDB_ENTRIES;
pub use types::{
    Config, Located, Member, Metrics, Network, Node, OuterField, Peer, PerFamily, Probe, Underlay,
};
pub use values::address::unfit_for_endpoint;
pub use vni::Vni;

/// Where the configuration is when the command line does not say.
pub const DEFAULT_PATH: &str = "/etc/vxlan/vxlan.toml";

/// Reads and validates the file at `path`.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let bytes = fs::read(path)
        .map_err(|error| ConfigError::at(path, None, unreadable::sentence(path, &error)))?;
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, path),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default());
            let line = text::source::Source::new(&text).line(text.len());
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
    let config = text::document::Document::parse(text, &mut problems)
        .and_then(|document| rules::config(&document.root(), &mut problems));
    problems.finish(config)
}
