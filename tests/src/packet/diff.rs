//! Tells how two frames differ: the first field that is not the same, then both in hex.

use std::fmt::Write as _;

use super::dissect::fields;

/// # Panics
/// When the frames are not the same, with [`diff`] as the message.
#[track_caller]
pub fn assert_frames_equal(expected: &[u8], actual: &[u8]) {
    if let Some(difference) = diff(expected, actual) {
        panic!("{difference}");
    }
}

/// Nothing when the frames are the same.
pub fn diff(expected: &[u8], actual: &[u8]) -> Option<String> {
    if expected == actual {
        return None;
    }
    let same = expected.iter().zip(actual).take_while(|(left, right)| left == right).count();
    let longer = if expected.len() > same { expected } else { actual };
    let field = fields(longer).into_iter().find(|field| field.range.contains(&same));
    let (name, range) = field.map_or(("bytes".to_owned(), same..same + 1), |f| (f.name, f.range));
    let mut text = format!("frames differ first at byte {same}, in {name}");
    let piece = |frame: &[u8]| {
        let end = range.end.min(frame.len());
        let bytes = frame.get(range.start..end).filter(|bytes| !bytes.is_empty());
        match bytes {
            Some(bytes) if bytes.len() <= 16 => hex(bytes),
            Some(bytes) => format!("{} …", hex(&bytes[..16])),
            None => "(nothing: the frame ends before)".to_owned(),
        }
    };
    let _ = write!(text, "\n  expected {}\n  actual   {}", piece(expected), piece(actual));
    if expected.len() != actual.len() {
        let _ = write!(text, "\n  {} bytes expected, {} there", expected.len(), actual.len());
    }
    for start in (0..expected.len().max(actual.len())).step_by(16) {
        let row =
            |frame: &[u8]| hex(frame.get(start..frame.len().min(start + 16)).unwrap_or_default());
        let (left, right) = (row(expected), row(actual));
        if left == right {
            let _ = write!(text, "\n  {start:04x}  {left}");
        } else {
            let _ = write!(text, "\n- {start:04x}  {left}\n+ {start:04x}  {right}");
        }
    }
    Some(text)
}

/// `de ad be ef`
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
