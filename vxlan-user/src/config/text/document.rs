//! From text to TOML tree: owns the sentences about text that is not TOML.

use std::ops::Range;

use toml::de::DeTable;

use super::section::Section;
use super::source::{Source, quoted};
use crate::config::error::Problems;

pub(in crate::config) struct Document<'t> {
    source: Source<'t>,
    tree: DeTable<'t>,
}

impl<'t> Document<'t> {
    /// Parses `text`. `None` if it is not TOML: a tree of the parts that were understood would only
    /// lead to misleading errors.
    pub(in crate::config) fn parse(text: &'t str, problems: &mut Problems) -> Option<Self> {
        let source = Source::new(text);
        let (tree, errors) = DeTable::parse_recoverable(text);
        let mut last_line = None;
        for error in &errors {
            let Range { start, .. } = error.span().unwrap_or_default();
            let line = source.line(start);
            // What follows on the same line is nearly always a consequence.
            if last_line.replace(line) != Some(line) {
                let found = quoted(source.line_text(start));
                problems.add(line, syntax(&found, error.message()));
            }
        }
        errors.is_empty().then(|| Self { source, tree: tree.into_inner() })
    }

    pub(in crate::config) fn root(&self) -> Section<'_> {
        Section::root(&self.tree, &self.source)
    }
}

fn syntax(found: &str, message: &str) -> String {
    if message == "duplicate key" {
        return format!(
            "{found}: this key or section stands here a second time. Keep one of them."
        );
    }
    format!(
        "{found} is not valid TOML: {}. Write key = \"text\", key = 1 or key = [\"a\", \"b\"] \
         under a [section].",
        message.lines().collect::<Vec<_>>().join(", ")
    )
}
