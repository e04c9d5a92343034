//! A value of the file, with key and line, and how errors name the value.

use std::fmt;

use crate::config::types::Located;

/// A value of the right TOML type, with what an error about the value needs.
#[derive(Clone)]
pub(in crate::config) struct Item<T> {
    pub(in crate::config) value: T,
    pub(in crate::config) line: u32,
    pub(in crate::config) key: &'static str,
    /// The value as it stands in the file, shortened.
    pub(super) written: String,
    /// The value is one of several in a list.
    pub(super) in_list: bool,
}

impl<T> Item<T> {
    /// Returns a value that was made from this item, with the item's line.
    pub(in crate::config) fn locate<U>(&self, value: U) -> Located<U> {
        Located { value, line: Some(self.line) }
    }

    /// Returns what to write instead: a value, with the key in front where the key is not a list.
    pub(in crate::config) fn instead(&self, good: &str) -> String {
        if self.in_list { good.to_owned() } else { format!("{} = {good}", self.key) }
    }
}

impl<T> fmt::Display for Item<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.in_list {
            write!(f, "{} in {}", self.written, self.key)
        } else {
            write!(f, "{} = {}", self.key, self.written)
        }
    }
}
