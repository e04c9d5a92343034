//! From text to TOML tree. The sentences about text that is not TOML are the matter of `syntax`.

use std::ops::Range;

use toml::de::DeTable;

use super::section::Section;
use super::source::Source;
use super::syntax;
use crate::config::error::Problems;

/// Errors of syntax that are told at once. A file that is no TOML at all has one on each line.
const MAX_SYNTAX_ERRORS: usize = 20;

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
        let line_of = |at: Range<usize>| source.line(at.start);
        let first_line = errors.first().map(|error| line_of(error.span().unwrap_or_default()));
        match first_line.and_then(|line| syntax::open_list(&source, line)) {
            Some((line, problem)) => problems.add(line, problem),
            None => {
                let mut last_line = None;
                for error in errors.iter().take(MAX_SYNTAX_ERRORS) {
                    let line = line_of(error.span().unwrap_or_default());
                    // What follows on the same line is nearly always a consequence.
                    if last_line.replace(line) != Some(line) {
                        problems.add(line, syntax::line(&source, line, error.message()));
                        if syntax::is_header(&source, line) {
                            break;
                        }
                    }
                }
            }
        }
        errors.is_empty().then(|| Self { source, tree: tree.into_inner() })
    }

    pub(in crate::config) fn root(&self) -> Section<'_> {
        Section::root(&self.tree, &self.source)
    }
}
