//! Turns one text or number into one value: MAC addresses, names, numbers, words of a list.
//! IP addresses are the matter of `address`.

use std::ops::RangeInclusive;

use crate::config::choice::Choice;
use crate::config::error::Problems;
use crate::config::text::item::Item;
use crate::config::text::section::Section;
use crate::config::text::source::quoted;
use crate::config::text::suggest;
use crate::config::types::{Located, OuterField};

/// The kernel's IFNAMSIZ without the closing zero.
const INTERFACE_BYTES: usize = 15;
/// Longest name of a node or peer: names are metric labels and table columns.
const NAME_BYTES: usize = 63;

/// Reads a unicast MAC address.
pub(in crate::config) fn mac(item: &Item<&str>, problems: &mut Problems) -> Option<[u8; 6]> {
    let octet = |part: &str| match part.len() {
        2 if part.bytes().all(|byte| byte.is_ascii_hexdigit()) => u8::from_str_radix(part, 16).ok(),
        _ => None,
    };
    let octets: Option<Vec<u8>> = item.value.split(':').map(octet).collect();
    let why = match octets.and_then(|octets| <[u8; 6]>::try_from(octets).ok()) {
        None => "is not a MAC address",
        Some([0, 0, 0, 0, 0, 0]) => "is no interface's MAC address",
        Some(mac) if mac[0] & 1 == 1 => "is a multicast MAC address",
        Some(mac) => return Some(mac),
    };
    let example = item.instead("\"02:00:00:00:44:01\"");
    problems.add(
        item.line,
        format!("{item} {why}. Write that of the peer's overlay interface, such as {example}."),
    );
    None
}

/// Reads the name of a node or peer.
pub(in crate::config) fn name(
    item: &Item<&str>,
    problems: &mut Problems,
) -> Option<Located<String>> {
    let text = item.value;
    let why = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > NAME_BYTES {
        format!("is longer than {NAME_BYTES} bytes")
    } else if let Some(bad) =
        text.chars().find(|at| !at.is_ascii_alphanumeric() && !matches!(at, '-' | '_' | '.'))
    {
        format!("has the character {bad:?}")
    } else {
        return Some(item.locate(text.to_owned()));
    };
    let example = item.instead("\"aws-1\"");
    problems.add(
        item.line,
        format!("{item} {why}. Write letters, digits, '-', '_' and '.', such as {example}."),
    );
    None
}

/// Reads a name that the kernel accepts for an interface.
pub(in crate::config) fn interface(
    item: &Item<&str>,
    example: &str,
    problems: &mut Problems,
) -> Option<Located<String>> {
    let text = item.value;
    // '%' is a pattern to the kernel, and "all" and "default" are directories of its settings.
    let bad = |at: &char| !at.is_ascii_graphic() || matches!(at, '/' | ':' | '%' | '"' | '\\');
    let why = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > INTERFACE_BYTES {
        format!("is {} bytes long, the kernel takes {INTERFACE_BYTES}", text.len())
    } else if let Some(bad) = text.chars().find(bad) {
        format!("has the character {bad:?}")
    } else if matches!(text, "." | ".." | "all" | "default" | "lo") {
        "is a name the kernel keeps for itself".to_owned()
    } else {
        return Some(item.locate(text.to_owned()));
    };
    let example = item.instead(&quoted(example));
    problems.add(item.line, format!("{item} {why}. Write an interface name, such as {example}."));
    None
}

/// Reads a number within `low..=high`.
pub(in crate::config) fn range(
    item: &Item<i64>,
    low: u32,
    high: u32,
    what: &str,
    problems: &mut Problems,
) -> Option<Located<u32>> {
    match u32::try_from(item.value) {
        Ok(number) if (low..=high).contains(&number) => Some(item.locate(number)),
        Ok(_) | Err(_) => {
            problems.add(
                item.line,
                format!("{item} is not {what}. Write a number from {low} to {high}."),
            );
            None
        }
    }
}

/// Reads a range of ports: "low-high".
pub(in crate::config) fn ports(
    item: &Item<&str>,
    problems: &mut Problems,
) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u16>().ok().filter(|port| *port != 0),
        false => None,
    };
    let why = match item.value.split_once('-').map(|(low, high)| (port(low), port(high))) {
        Some((Some(low), Some(high))) if low <= high => return Some(low..=high),
        Some((Some(low), Some(high))) => {
            let good = item.instead(&format!("\"{high}-{low}\""));
            problems.add(item.line, format!("{item} ends before it begins. Write {good}."));
            return None;
        }
        Some(_) => "has an end that is not 1 to 65535",
        None => "is not a range of ports",
    };
    let example = item.instead("\"32768-60999\"");
    problems
        .add(item.line, format!("{item} {why}. Write the first and the last, such as {example}."));
    None
}

/// Reads a field of the outer IP header: a number within `low..=high`, or the word for the inner
/// header's value.
pub(in crate::config) fn outer_field(
    section: &Section<'_>,
    key: &str,
    (low, high): (u8, u8),
    what: &str,
    problems: &mut Problems,
) -> Option<OuterField> {
    const INHERIT: &str = "inherit";
    let (line, message) = match section.number_or_text(key, problems)? {
        Ok(item) => match u8::try_from(item.value) {
            Ok(number) if (low..=high).contains(&number) => return Some(OuterField::Fixed(number)),
            Ok(_) | Err(_) => (item.line, format!("{item} is not {what}.")),
        },
        Err(item) if item.value == INHERIT => return Some(OuterField::Inherit),
        Err(item) => match item.value.trim().parse::<u8>() {
            Ok(number) => {
                let good = item.instead(&number.to_string());
                problems.add(item.line, format!("{item} is text. Write {good}, without quotes."));
                return None;
            }
            Err(_) if key == "dscp" && dscp(item.value).is_some() => {
                let good = item.instead(&dscp(item.value).unwrap_or_default().to_string());
                let message = format!("{item} is the name of a code point. Write {good}.");
                problems.add(item.line, message);
                return None;
            }
            Err(_) => (item.line, format!("{item} is neither a number nor \"{INHERIT}\".")),
        },
    };
    let range = format!("Write a number from {low} to {high}, or \"{INHERIT}\".");
    problems.add(line, format!("{message} {range}"));
    None
}

/// Returns the number of a differentiated services code point by its name (RFC 2474, 2597, 3246,
/// 5865, 8622).
fn dscp(name: &str) -> Option<u8> {
    let name = name.trim().to_ascii_uppercase();
    match name.as_str() {
        "BE" | "DF" | "DEFAULT" => return Some(0),
        "EF" => return Some(46),
        "VA" | "VOICE-ADMIT" => return Some(44),
        "LE" => return Some(1),
        _ => {}
    }
    let digits = |text: &str| text.parse::<u8>().ok();
    if let Some(class) = name.strip_prefix("CS").and_then(digits) {
        return (class < 8).then_some(class * 8);
    }
    let both = name.strip_prefix("AF").and_then(digits)?;
    let (class, precedence) = (both / 10, both % 10);
    ((1..=4).contains(&class) && (1..=3).contains(&precedence))
        .then_some(class * 8 + precedence * 2)
}

/// Reads a word of a fixed list. Returns the list's default without the key.
pub(in crate::config) fn choice<T: Choice>(
    section: &Section<'_>,
    key: &str,
    problems: &mut Problems,
) -> Located<T> {
    let default = Located::from_default(T::default());
    let Some(item) = section.text(key, problems) else { return default };
    let words = || T::ALL.iter().map(|choice| choice.word());
    if let Some(choice) = T::ALL.iter().find(|choice| choice.word() == item.value) {
        return item.locate(*choice);
    }
    let all = words().map(quoted).collect::<Vec<_>>().join(", ");
    let remedy = match suggest::nearest(item.value, words()) {
        Some(meant) => format!("Write {} (of {all}).", item.instead(&quoted(meant))),
        None => format!("Write one of {all}."),
    };
    problems.add(item.line, format!("{item} is not a known word. {remedy}"));
    default
}
