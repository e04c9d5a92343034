//! Keys: what is one, what is none, and who may read its file.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::probe::{Key, name_id};

const HEXADECIMAL: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refusal(text: &str) -> String {
    Key::parse(text).expect_err(text).to_string()
}

#[test]
fn both_forms_are_the_same_key() {
    let tag = Key::parse(HEXADECIMAL).expect("hexadecimal").tag();
    for text in [BASE64.to_owned(), format!("\n {BASE64}\r\n"), format!("{HEXADECIMAL}\n\n")] {
        assert_eq!(Key::parse(&text).expect("a key").tag(), tag, "{text}");
    }
}

#[test]
fn what_is_no_key_is_refused_with_a_reason() {
    for (text, why) in [
        ("", "There is no key in it."),
        (" \n", "There is no key in it."),
        ("secret!", "neither base64"),
        (&HEXADECIMAL[1..], "neither base64"),
        (&HEXADECIMAL.replace('f', "g"), "neither base64"),
        (&BASE64[..43], "neither base64"),
        (&format!("{BASE64}\n{BASE64}"), "neither base64"),
        (&HEXADECIMAL.replace('1', "ä"), "neither base64"),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "It holds 31 bytes, not 32."),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", "It holds 33 bytes, not 32."),
        (&"0".repeat(64), "All bytes of the key are zero."),
        (&format!("{}=", "A".repeat(43)), "All bytes of the key are zero."),
    ] {
        let message = refusal(text);
        assert!(message.contains(why), "{text:?}: {message}");
        assert!(message.ends_with("prints them."), "{message}");
    }
}

#[test]
fn nothing_shows_the_key() {
    assert_eq!(format!("{:?}", Key::parse(BASE64)), "Ok(Key(..))");
    assert!(!refusal("hunter2hunter2").contains("hunter2"));
}

/// Computed with the command `openssl`.
#[test]
fn tag_and_name_are_what_others_compute() {
    let key = Key::parse(HEXADECIMAL).expect("a key");
    assert_eq!(hexadecimal(&key.tag()), "2be6a91d334f70b8");
    assert_eq!(hexadecimal(&name_id("aws-1")), "db032d3bcf7584cf");
}

/// RFC 4231 has no case with a key of 32 bytes; computed with the command `openssl`.
#[test]
fn authenticator_is_what_others_compute() {
    let key = Key::parse(HEXADECIMAL).expect("a key");
    let message = b"what do ya want for nothing?";
    let authenticator = key.authenticator(message);
    assert_eq!(
        hexadecimal(&authenticator),
        "099805f4ac310786968565c098db515cc50862b420ae31e20238312344bed36a"
    );
    assert!(key.verify(message, &authenticator));
    assert!(!key.verify(&message[1..], &authenticator));
    assert!(!key.verify(message, &authenticator[..31]));
    assert!(!key.verify(message, &[]));
    for bit in 0..256 {
        let mut other = authenticator;
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.verify(message, &other), "bit {bit}");
    }
}

#[test]
fn a_file_is_read_if_nobody_else_may() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("aws.key");
    let load = |mode, text: &str| {
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("mode set");
        Key::load(&path).map(|key| key.tag()).map_err(|error| error.to_string())
    };
    let tag = Key::parse(BASE64).expect("a key").tag();
    for mode in [0o600, 0o400, 0o700] {
        assert_eq!(load(mode, &format!("{BASE64}\n")), Ok(tag));
    }
    for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
        let message = load(mode, BASE64).expect_err("open to others");
        assert!(message.contains(&format!("chmod 600 {}", path.display())), "{message}");
        assert!(message.contains(&format!("{mode:04o}")), "{message}");
    }
    let message = load(0o600, "nonsense!").expect_err("no key");
    assert!(message.contains("aws.key: It holds neither"), "{message}");
    let message = load(0o600, &" ".repeat(1025)).expect_err("too long");
    assert!(message.contains("longer than 1024 bytes"), "{message}");
    assert!(load(0o600, &format!("{BASE64}{}", " ".repeat(1024 - 44))).is_ok());
}

#[test]
fn what_is_no_file_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let message = |path: &Path| Key::load(path).expect_err("no key").to_string();
    let missing = message(&directory.path().join("missing"));
    assert!(missing.contains("cannot be read: No such file"), "{missing}");
    assert!(message(directory.path()).contains("not a regular file"));
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    assert!(message(&pipe).contains("not a regular file"));
}
