//! Which word did the user mean? Owns the edit distance and the words people bring along from
//! `ip link add type vxlan`.

/// Longer words are no typing mistake of ours, and the distance costs their product.
const LONGEST: usize = 64;

/// Options of `ip link` and the keys that stand for them here.
const FROM_IP_LINK: [(&str, &str); 10] = [
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
];

/// The candidate that `word` was probably meant to be.
pub(in crate::config) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let word = fold(word);
    let alias = FROM_IP_LINK.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if alias == Some(candidate) {
            return Some(candidate);
        }
        let distance = distance(word.as_bytes(), fold(candidate).as_bytes());
        // One mistake in three letters is a slip; more is another word.
        let close = distance * 3 <= word.len().max(candidate.len());
        if close && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> String {
    word.to_ascii_lowercase().replace('-', "_")
}

/// Insertions, deletions, replacements and swaps of neighbours between `a` and `b`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![0usize; (a.len() + 1) * width];
    for (j, cell) in rows.iter_mut().take(width).enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        rows[i * width] = i;
        for j in 1..=b.len() {
            let here = i * width + j;
            let replaced = rows[here - width - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[here - width] + 1).min(rows[here - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[here - 2 * width - 2] + 1);
            }
            rows[here] = least;
        }
    }
    rows[a.len() * width + b.len()]
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

    #[test]
    fn distance_counts_single_edits() {
        for (a, b, edits) in
            [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3), ("x", "x", 0)]
        {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), edits, "{a} {b}");
        }
    }
}
