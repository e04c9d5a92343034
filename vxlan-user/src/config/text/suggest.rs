//! Finds the word that the user probably meant. Owns how many mistakes a slip may have, and the
//! words that people know from other tools.

/// Longest word that is compared: no key is as long, and the effort grows with the product of the
/// lengths.
const MAX_BYTES: usize = 64;

/// Words of `ip link`, `bridge` and other tools, and the words that stand for them here.
const KNOWN_ELSEWHERE: [(&str, &str); 26] = [
    ("id", "vni"),
    ("vnid", "vni"),
    ("dev", "interface"),
    ("device", "interface"),
    ("remote", "endpoint"),
    ("local", "address"),
    ("dstport", "port"),
    ("srcport", "source_port"),
    ("tos", "dscp"),
    ("maxaddress", "max_stations"),
    ("key", "key_file"),
    ("psk", "key_file"),
    ("secret", "key_file"),
    ("preshared_key", "key_file"),
    ("ips", "allowed_ips"),
    ("allowedips", "allowed_ips"),
    ("ageing_time", "ageing"),
    ("nic", "interface"),
    ("driver", "native"),
    ("drv", "native"),
    ("xdpdrv", "native"),
    ("skb", "generic"),
    ("xdpgeneric", "generic"),
    ("none", "off"),
    ("false", "off"),
    ("true", "auto"),
];

/// Returns the candidate that `word` was probably meant to be.
pub(in crate::config) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    if word.is_empty() || word.len() > MAX_BYTES {
        return None;
    }
    let word = fold(word);
    let alias = KNOWN_ELSEWHERE.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if alias == Some(candidate) {
            return Some(candidate);
        }
        let distance = strsim::osa_distance(&word, &fold(candidate));
        // One mistake in three letters is a slip; with more mistakes it is another word.
        let close = distance * 3 <= word.len().max(candidate.len());
        if close && best.is_none_or(|(smallest, _)| distance < smallest) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Makes words equal that differ only in case, or in `-` for `_`.
fn fold(word: &str) -> String {
    word.to_ascii_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = ["vni", "interface", "addresses", "mtu", "endpoint", "allowed_ips"];

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        for (word, meant) in [
            ("vin", Some("vni")),
            ("adresses", Some("addresses")),
            ("address", Some("addresses")),
            ("AllowedIPs", Some("allowed_ips")),
            ("allowed-ips", Some("allowed_ips")),
            ("Endpoint", Some("endpoint")),
            ("remote", Some("endpoint")),
            ("dev", Some("interface")),
            ("id", Some("vni")),
            ("learning", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, KEYS), meant, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(100_000), KEYS), None);
    }
}
