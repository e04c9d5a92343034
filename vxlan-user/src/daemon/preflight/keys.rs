//! Loads the keys that this host shares with its peers, one for each peer. [`Key`] knows the format
//! of a key file.

use std::collections::HashMap;

use vxlan_common::probe::ProbeTag;

use crate::{
    config::{Config, ConfigError},
    probe::Key,
};

/// Loads the key of each peer that has one.
///
/// # Errors
/// A file that is missing, unreadable, open to others or without a key in it; one key for two
/// peers.
pub(in crate::daemon) fn load(config: &Config) -> Result<Vec<Option<Key>>, ConfigError> {
    let mut keys = Vec::with_capacity(config.peers.len());
    let mut owners: HashMap<ProbeTag, usize> = HashMap::new();
    for (index, peer) in config.peers.iter().enumerate() {
        let Some(file) = &peer.key_file else {
            keys.push(None);
            continue;
        };
        let path = file.value.display();
        let key = Key::load(&file.value).map_err(|error| {
            let hint = if file.value.exists() {
                String::new()
            } else {
                format!(
                    " Make a key with `(umask 077; head -c 32 /dev/urandom | base64 > {path})`, \
                     and give the peer the same."
                )
            };
            config.error(file, format!("key_file of peer \"{}\": {error}{hint}", peer.name))
        })?;
        if let Some(other) = owners.insert(key.tag(), index).and_then(|at| config.peers.get(at)) {
            let message = format!(
                "key_file of peer \"{}\": {path} holds the key of peer \"{}\" too, so that either \
                 could speak for the other. Make another key for one of the two, here and on that \
                 peer.",
                peer.name, other.name
            );
            return Err(config.error(file, message));
        }
        keys.push(Some(key));
    }
    Ok(keys)
}

/// Lists the tag that each key gives to probes, with the index of its peer.
pub(in crate::daemon) fn probers(keys: &[Option<Key>]) -> Vec<(ProbeTag, u32)> {
    let tag = |(key, index): (&Option<Key>, u32)| Some((key.as_ref()?.tag(), index));
    keys.iter().zip(0..).filter_map(tag).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;
    use crate::config;

    const ONE: &str = "0101010101010101010101010101010101010101010101010101010101010101\n";

    /// Two peers with keys of their own, and one without.
    fn configuration(directory: &Path) -> Config {
        let mut text = "[node]\nname = \"hub\"\n[underlay]\ninterface = \"eth0\"\n".to_owned();
        for (n, key) in [(1, true), (2, false), (3, true)] {
            text += &format!("[[peer]]\nname = \"p{n}\"\nendpoint = \"192.0.2.{n}\"\n");
            if key {
                text += &format!("key_file = \"p{n}.key\"\n");
            }
        }
        text += "[[network]]\nvni = 1\ninterface = \"one\"\naddresses = [\"10.0.0.1/16\"]\n";
        for n in 1..=3 {
            text += &format!(
                "[[network.member]]\npeer = \"p{n}\"\nallowed_ips = [\"10.0.{n}.0/24\"]\n"
            );
        }
        config::parse(&text, &directory.join("vxlan.toml")).expect("valid")
    }

    fn write(directory: &Path, name: &str, key: &str) {
        let path = directory.join(name);
        fs::write(&path, key).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("set");
    }

    #[test]
    fn each_peer_has_its_own_key() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = configuration(directory.path());
        write(directory.path(), "p1.key", ONE);
        write(directory.path(), "p3.key", &ONE.replace("01", "03"));
        let keys = load(&config).expect("keys");
        let present: Vec<bool> = keys.iter().map(Option::is_some).collect();
        assert_eq!(present, [true, false, true]);
        let tags = probers(&keys);
        assert_eq!(tags.iter().map(|(_, peer)| *peer).collect::<Vec<_>>(), [0, 2]);
        assert_ne!(tags[0].0, tags[1].0);
    }

    #[test]
    fn a_refusal_names_the_line_of_the_key_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = configuration(directory.path());
        let refusal = || load(&config).expect_err("refused").to_string();
        let at = directory.path().display();
        write(directory.path(), "p1.key", ONE);
        assert_eq!(
            refusal(),
            format!(
                "{at}/vxlan.toml:15: key_file of peer \"p3\": Key file {at}/p3.key cannot be read: \
                 No such file or directory (os error 2). Make a key with `(umask 077; head -c 32 \
                 /dev/urandom | base64 > {at}/p3.key)`, and give the peer the same."
            )
        );
        write(directory.path(), "p3.key", ONE.trim());
        assert_eq!(
            refusal(),
            format!(
                "{at}/vxlan.toml:15: key_file of peer \"p3\": {at}/p3.key holds the key of peer \
                 \"p1\" too, so that either could speak for the other. Make another key for one of \
                 the two, here and on that peer."
            )
        );
        let open = fs::Permissions::from_mode(0o640);
        fs::set_permissions(directory.path().join("p3.key"), open).expect("set");
        let open = refusal();
        assert!(open.contains("vxlan.toml:15: ") && open.contains("chmod 600"), "{open}");
        write(directory.path(), "p1.key", "none");
        let malformed = refusal();
        assert!(malformed.contains("vxlan.toml:8: key_file of peer \"p1\""), "{malformed}");
        assert!(!malformed.contains("umask"), "{malformed}");
    }
}
