//! The key that two hosts share: reads its file, and computes authenticators. Which peer has which
//! key is stated in the configuration, which bytes are authenticated in `wire`.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use vxlan_common::probe::ProbeTag;

/// Length of a key in bytes.
const KEY_LEN: usize = 32;
/// Length of an HMAC-SHA256 in bytes.
pub(super) const AUTHENTICATOR_LEN: usize = 32;
/// A longer file holds no key; in bytes.
const MAX_FILE_LEN: usize = 1024;
/// The message whose HMAC is the tag.
const TAG_TEXT: &[u8] = b"vxlan probe tag";
/// What a key is and how to make one, for messages.
const KEY_HINT: &str = "32 random bytes, as \"head -c 32 /dev/urandom | base64\" prints them";

/// The first bytes of the SHA-256 of a `node.name`.
pub type NameId = [u8; 8];

/// Returns the short form of the name of a host, which probes carry.
pub fn name_id(name: &str) -> NameId {
    first_bytes(&Sha256::digest(name.as_bytes()).into())
}

/// A secret of 32 bytes that two hosts share.
#[derive(Clone)]
pub struct Key {
    secret: [u8; KEY_LEN],
    /// HMAC with the secret, before the message: every probe needs it, and its tag.
    hmac: Hmac<Sha256>,
    tag: ProbeTag,
}

/// Why there is no key: one or two sentences that say what to do. Contains no part of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(..)")
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret
    }
}

impl Eq for Key {}

impl Key {
    fn new(secret: [u8; KEY_LEN]) -> Self {
        // One block at most: HMAC pads the key with zeros to a block.
        let mut block = [0; 64];
        block[..KEY_LEN].copy_from_slice(&secret);
        let hmac = Hmac::<Sha256>::new(&block.into());
        let tag = first_bytes(&hmac.clone().chain_update(TAG_TEXT).finalize().into_bytes().into());
        Self { secret, hmac, tag }
    }

    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no regular file, can be read by group or others, or holds no
    /// key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let file_name = path.display();
        let cannot = |error| KeyError(format!("Key file {file_name} cannot be read: {error}."));
        // Opening a named pipe must not block the start.
        let mut open = OpenOptions::new();
        let file = open.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(cannot)?;
        // Checks the open file, which cannot be replaced meanwhile.
        let metadata = file.metadata().map_err(cannot)?;
        if !metadata.is_file() {
            return Err(KeyError(format!("Key file {file_name} is not a regular file.")));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError(format!(
                "Key file {file_name} is open to others than its owner (mode {mode:04o}). Type \
                 \"chmod 600 {file_name}\"; if others may have read it, put a new key there, too."
            )));
        }
        let mut text = Vec::new();
        file.take(MAX_FILE_LEN as u64 + 1).read_to_end(&mut text).map_err(cannot)?;
        if text.len() > MAX_FILE_LEN {
            return Err(KeyError(format!(
                "Key file {file_name} is longer than {MAX_FILE_LEN} bytes. A key is {KEY_HINT}."
            )));
        }
        let text = String::from_utf8_lossy(&text);
        Self::parse(&text).map_err(|why| KeyError(format!("Key file {file_name}: {why}")))
    }

    /// Reads a key from text: base64 or hexadecimal digits, with white space around.
    ///
    /// # Errors
    ///
    /// It is neither, it is not 32 bytes long, or all of it is zero.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim_ascii();
        let decoded = if text.len() == 2 * KEY_LEN { hexadecimal(text) } else { base64(text) };
        let why = match decoded {
            _ if text.is_empty() => "There is no key in it.".to_owned(),
            None => "It holds neither base64 nor 64 hexadecimal digits.".to_owned(),
            Some(bytes) => match <[u8; KEY_LEN]>::try_from(bytes.as_slice()) {
                Err(_) => format!("It holds {} bytes, not {KEY_LEN}.", bytes.len()),
                Ok([0, rest @ ..]) if rest.iter().all(|byte| *byte == 0) => {
                    "All bytes of the key are zero.".to_owned()
                }
                Ok(bytes) => return Ok(Self::new(bytes)),
            },
        };
        Err(KeyError(format!("{why} A key is {KEY_HINT}.")))
    }

    /// Returns the tag by which the data plane recognizes whose key a probe claims to be made with.
    pub fn tag(&self) -> ProbeTag {
        self.tag
    }

    /// Returns the HMAC-SHA256 of a message (RFC 2104).
    pub fn authenticator(&self, message: &[u8]) -> [u8; AUTHENTICATOR_LEN] {
        self.hmac.clone().chain_update(message).finalize().into_bytes().into()
    }

    /// Verifies an authenticator in constant time.
    pub fn verify(&self, message: &[u8], authenticator: &[u8]) -> bool {
        self.hmac.clone().chain_update(message).verify_slice(authenticator).is_ok()
    }
}

fn first_bytes(hash: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    [a, b, c, d, e, f, g, h]
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| match *pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    text.as_bytes().chunks(2).map(byte).collect()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
