//! The text of the file: the line of each byte, and how errors quote the text.

use toml::Spanned;
use toml::de::DeValue;

/// Longer values are cut when an error quotes them.
const MAX_EXCERPT_CHARS: usize = 60;

/// The text of the file, with the positions of its lines.
pub(in crate::config) struct Source<'t> {
    text: &'t str,
    newlines: Vec<usize>,
}

impl<'t> Source<'t> {
    pub(in crate::config) fn new(text: &'t str) -> Self {
        Self { text, newlines: text.match_indices('\n').map(|(offset, _)| offset).collect() }
    }

    /// Returns the line, counted from 1, of the byte at `offset`.
    pub(in crate::config) fn line(&self, offset: usize) -> u32 {
        let before = self.newlines.partition_point(|newline| *newline < offset);
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Returns a value as the user wrote it, on one line and shortened.
    pub(in crate::config) fn excerpt(&self, value: &Spanned<DeValue<'_>>) -> String {
        match value.get_ref().as_str() {
            Some(text) => quoted(text),
            None => cut(self.text.get(value.span()).unwrap_or_default()),
        }
    }

    /// Returns every line without its indentation, with its number, counted from 1.
    pub(in crate::config) fn lines(&self) -> impl Iterator<Item = (u32, &'t str)> {
        (1..).zip(self.text.lines().map(str::trim))
    }
}

/// Returns a text in quotes, shortened.
pub(in crate::config) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_EXCERPT_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Returns the first line of a text, shortened.
fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(MAX_EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.len() < text.len() => format!("{line}…"),
        None => line.to_owned(),
    }
}
