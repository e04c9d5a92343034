//! What a guest is given to do, and how a word is written for its shell.

use std::time::Duration;

/// One command in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) command: String,
    /// By the guest's clock.
    pub(crate) limit: Option<Duration>,
    /// For tests: how many there are at least.
    pub(crate) tests: Option<usize>,
}

/// Quotes one word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A real shell reads the word.
    #[test]
    fn a_quoted_word_is_one_word_for_a_shell() {
        let name = "it's";
        let out = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", quoted(name))])
            .output()
            .expect("a shell");
        assert_eq!(String::from_utf8_lossy(&out.stdout), name);
    }
}
