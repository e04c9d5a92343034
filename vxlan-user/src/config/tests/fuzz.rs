//! Holds that no text makes the reader panic, and that every refusal has an error.

use super::{EXAMPLE, LEARNING, TWO_PEERS, read};

fn survives(text: &str) {
    if let Err(errors) = read(text) {
        assert!(errors.iter().count() > 0);
        for error in errors.iter() {
            assert!(error.message().ends_with('.'), "{error}");
            assert!(!error.message().contains('\n'), "{error}");
            let lines = text.matches('\n').count() + 1;
            assert!(error.line().is_none_or(|line| line as usize <= lines), "{error}");
        }
    }
}

#[test]
fn truncated_anywhere() {
    for text in [EXAMPLE, TWO_PEERS, LEARNING] {
        for end in 0..=text.len() {
            survives(&text[..end]);
        }
    }
}

#[test]
fn any_byte_replaced_removed_or_doubled() {
    // One of each kind: structure, quotes, digits, letters, control, and the edges of ASCII.
    let others = b"\0\n \"#'-./09:=[\\]af{\x7f";
    let read = |bytes: Vec<u8>| survives(&String::from_utf8_lossy(&bytes));
    for text in [EXAMPLE, LEARNING].map(str::as_bytes) {
        for position in 0..text.len() {
            for other in others {
                let mut bytes = text.to_vec();
                bytes[position] = *other;
                read(bytes);
            }
            let mut bytes = text.to_vec();
            bytes.insert(position, bytes[position]);
            read(bytes.clone());
            bytes.drain(position..position + 2);
            read(bytes);
        }
    }
}

#[test]
fn random_bytes_in_random_places() {
    // xorshift64: a fixed seed, so that a failure happens again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..4000 {
        let mut bytes = [EXAMPLE, TWO_PEERS, LEARNING][random(3)].as_bytes().to_vec();
        for _ in 0..=random(6) {
            let position = random(bytes.len());
            match random(3) {
                0 => bytes[position] = random(256) as u8,
                1 => bytes.truncate(position + 1),
                _ => {
                    let end = (position + random(40)).min(bytes.len());
                    let piece = bytes[position..end].to_vec();
                    let target = random(bytes.len());
                    bytes.splice(target..target, piece);
                }
            }
        }
        survives(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn lines_swapped_or_repeated() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for first in 0..lines.len() {
        for second in 0..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(first, second);
            survives(&swapped.join("\n"));
        }
        let mut repeated = lines.clone();
        repeated.insert(first, lines[first]);
        survives(&repeated.join("\r\n"));
    }
}

#[test]
fn hostile_shapes() {
    for text in [
        "",
        "\u{feff}",
        "[",
        "[[",
        "a.b.c = 1",
        "node = [[[[]]]]",
        "node = 99999999999999999999999999999999999999999",
        "[[network]]\nvni = -99999999999999999999999999999999999999999",
        "[[network]]\nmember = [{}, 1, \"a\", [], {peer = 1979-05-27}]",
        "peer = {name = \"\\u0000\\n\\\"\"}",
        "underlay = {interface = \"\u{10ffff}\u{0301}äöü\"}",
    ] {
        survives(text);
    }
    survives(&"[".repeat(100_000));
    survives(&format!("a = {}", "[".repeat(100_000)));
    survives(&format!("[node]\n{} = 1", "ä".repeat(100_000)));
    for shift in ["", "a", "ab", "abc"] {
        let long = format!("{shift}{}", "ä\u{10ffff}".repeat(10_000));
        survives(&format!("[node]\nname = \"{long}\""));
        survives(&format!("[node]\n\"{long}\" = 1"));
        survives(&format!("[node]\nname = [\"{long}\"]"));
        survives(&format!("[node]\nname = {long}"));
    }
    survives(&"[[peer]]\nname = \"a\"\nendpoint = \"192.0.2.1\"\n".repeat(2_000));
}
