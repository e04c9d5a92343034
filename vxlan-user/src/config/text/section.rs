//! Sections of the TOML tree: takes values of the right TOML type out of them, with their lines.
//!
//! Owns unknown keys and missing keys. TOML syntax is the matter of `document`, the meaning of a
//! text or number is the matter of `values`. The tree is walked by hand, since deserializing into
//! structs would stop at the first mistake.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::item::Item;
use super::schema::{self, Key, Schema, ValueKind};
use super::source::{Source, quoted};
use super::suggest;
use super::wrong_type;
use crate::config::error::Problems;

/// One section of the file: `[underlay]`, or one of several `[[peer]]`.
#[derive(Clone, Copy)]
pub(in crate::config) struct Section<'d> {
    schema: &'static Schema,
    table: &'d DeTable<'d>,
    /// The line of the header; absent for the top of the file.
    pub(in crate::config) line: Option<u32>,
    source: &'d Source<'d>,
}

impl<'d> Section<'d> {
    pub(in crate::config) fn root(table: &'d DeTable<'d>, source: &'d Source<'d>) -> Self {
        Self { schema: &schema::ROOT, table, line: None, source }
    }

    /// Reports every key that the schema does not have. Called once for each section. Returns
    /// whether all keys are known.
    pub(in crate::config) fn refuse_unknown_keys(&self, problems: &mut Problems) -> bool {
        let mut all_known = true;
        let mut names: Vec<_> = self.table.iter().map(|(name, _)| name).collect();
        names.sort_by_key(|name| name.span().start);
        for name in names {
            let written: &str = name.get_ref();
            if self.schema.key(written).is_some() {
                continue;
            }
            all_known = false;
            let header = self.schema.header;
            let meant = suggest::nearest(written, self.schema.names());
            let remedy = match meant.and_then(|meant| self.schema.key(meant)) {
                Some(meant) => format!("Write {}.", meant.written()),
                None => {
                    let keys = problems.may_list(header).then(|| self.schema.list());
                    match (sections_with(written), keys) {
                        (Some(others), Some(keys)) => {
                            format!("That key belongs in {others}; {header} has: {keys}.")
                        }
                        (Some(others), None) => format!("That key belongs in {others}."),
                        (None, Some(keys)) => format!("Remove it, or write one of: {keys}."),
                        (None, None) => "Remove it.".to_owned(),
                    }
                }
            };
            let what = if self.line.is_none() { "section or key" } else { "key" };
            let written = quoted(written);
            let line = self.source.line(name.span().start);
            problems.add(line, format!("{header} has no {what} {written}. {remedy}"));
        }
        all_known
    }

    pub(in crate::config) fn text(
        &self,
        name: &str,
        problems: &mut Problems,
    ) -> Option<Item<&'d str>> {
        let (key, value) = self.get(name)?;
        match value.get_ref().as_str() {
            Some(text) => Some(self.item(key, value, text, false)),
            None => self.wrong_type(key, value, problems),
        }
    }

    pub(in crate::config) fn required_text(
        &self,
        name: &str,
        problems: &mut Problems,
    ) -> Option<Item<&'d str>> {
        self.require(name, problems);
        self.text(name, problems)
    }

    /// Returns a number. A number beyond `i64` is returned as the nearest limit of `i64`, which no
    /// key takes.
    pub(in crate::config) fn number(
        &self,
        name: &str,
        problems: &mut Problems,
    ) -> Option<Item<i64>> {
        let (key, value) = self.get(name)?;
        match value.get_ref().as_integer() {
            Some(integer) => {
                let digits = integer.as_str();
                let limit = if digits.starts_with('-') { i64::MIN } else { i64::MAX };
                let number = i64::from_str_radix(digits, integer.radix()).unwrap_or(limit);
                Some(self.item(key, value, number, false))
            }
            None => self.wrong_type(key, value, problems),
        }
    }

    /// Returns whether a key is `true`.
    pub(in crate::config) fn boolean(
        &self,
        name: &str,
        problems: &mut Problems,
    ) -> Option<Item<bool>> {
        let (key, value) = self.get(name)?;
        match value.get_ref().as_bool() {
            Some(set) => Some(self.item(key, value, set, false)),
            None => self.wrong_type(key, value, problems),
        }
    }

    /// Returns a number, or the word in place of the number.
    pub(in crate::config) fn number_or_text(
        &self,
        name: &str,
        problems: &mut Problems,
    ) -> Option<Result<Item<i64>, Item<&'d str>>> {
        let (_, value) = self.get(name)?;
        if value.get_ref().is_str() {
            return self.text(name, problems).map(Err);
        }
        self.number(name, problems).map(Ok)
    }

    /// Returns the texts of a list or, where the schema allows that, a single text.
    pub(in crate::config) fn texts(
        &self,
        name: &str,
        problems: &mut Problems,
    ) -> Vec<Item<&'d str>> {
        let Some((key, value)) = self.get(name) else { return Vec::new() };
        if let (ValueKind::TextOrList, Some(text)) = (key.kind, value.get_ref().as_str()) {
            return vec![self.item(key, value, text, false)];
        }
        let Some(list) = value.get_ref().as_array() else {
            return self.wrong_type(key, value, problems).into_iter().collect();
        };
        let mut items = Vec::new();
        for element in list.iter() {
            match element.get_ref().as_str() {
                Some(text) => items.push(self.item(key, element, text, true)),
                None => problems.add(
                    self.source.line(element.span().start),
                    wrong_type::element(key, element, self.source),
                ),
            }
        }
        items
    }

    pub(in crate::config) fn section(
        &self,
        name: &str,
        schema: &'static Schema,
        problems: &mut Problems,
    ) -> Option<Section<'d>> {
        let (key, value) = self.get(name)?;
        match value.get_ref().as_table() {
            Some(table) => Some(self.open(schema, table, value.span())),
            None => self.wrong_type(key, value, problems),
        }
    }

    pub(in crate::config) fn sections(
        &self,
        name: &str,
        schema: &'static Schema,
        problems: &mut Problems,
    ) -> Vec<Section<'d>> {
        let Some((key, value)) = self.get(name) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            return self.wrong_type(key, value, problems).into_iter().collect();
        };
        let mut sections = Vec::new();
        for element in list.iter() {
            match element.get_ref().as_table() {
                Some(table) => sections.push(self.open(schema, table, element.span())),
                None => sections.extend(self.wrong_type::<Section<'d>>(key, element, problems)),
            }
        }
        sections
    }

    /// Reports a key that is not there. Returns whether the key is there.
    pub(in crate::config) fn require(&self, name: &str, problems: &mut Problems) -> bool {
        let Some(key) = self.schema.key(name) else { return false };
        let present = self.has(name);
        if !present {
            let header = self.schema.header;
            problems.add(
                self.line,
                match key.kind {
                    ValueKind::Section | ValueKind::Sections => {
                        format!("the file has no {0} section. Write {0} and its keys.", key.example)
                    }
                    ValueKind::Text
                    | ValueKind::Number
                    | ValueKind::Bool
                    | ValueKind::NumberOrText
                    | ValueKind::List
                    | ValueKind::TextOrList => {
                        format!(
                            "{header} has no {name}. Write one, such as {name} = {}.",
                            key.example
                        )
                    }
                },
            );
        }
        present
    }

    pub(in crate::config) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    pub(in crate::config) fn is_list_or_absent(&self, name: &str) -> bool {
        self.table.get(name).is_none_or(|value| value.get_ref().is_array())
    }

    pub(in crate::config) fn is_empty_list(&self, name: &str) -> bool {
        let list = self.table.get(name).and_then(|value| value.get_ref().as_array());
        list.is_some_and(|list| list.is_empty())
    }

    /// Returns the line of the value of a key.
    pub(in crate::config) fn line_of(&self, name: &str) -> Option<u32> {
        Some(self.source.line(self.table.get(name)?.span().start))
    }

    fn open(&self, schema: &'static Schema, table: &'d DeTable<'d>, at: Range<usize>) -> Self {
        Self { schema, table, line: Some(self.source.line(at.start)), source: self.source }
    }

    fn get(&self, name: &str) -> Option<(&'static Key, &'d Spanned<DeValue<'d>>)> {
        let key = self.schema.key(name);
        debug_assert!(key.is_some(), "{name} is read but not in the schema");
        Some((key?, self.table.get(name)?))
    }

    fn item<T>(
        &self,
        key: &'static Key,
        at: &Spanned<DeValue<'_>>,
        value: T,
        in_list: bool,
    ) -> Item<T> {
        let line = self.source.line(at.span().start);
        Item { value, line, key: key.name, written: self.source.excerpt(at), in_list }
    }

    fn wrong_type<T>(
        &self,
        key: &'static Key,
        value: &Spanned<DeValue<'_>>,
        problems: &mut Problems,
    ) -> Option<T> {
        let line = self.source.line(value.span().start);
        problems.add(line, wrong_type::value(key, value, self.source));
        None
    }
}

/// Returns the headers of the sections that have a key of this name.
fn sections_with(name: &str) -> Option<String> {
    let headers: Vec<_> = schema::SECTIONS
        .iter()
        .filter(|section| section.key(name).is_some())
        .map(|section| section.header)
        .collect();
    (!headers.is_empty()).then(|| headers.join(" or "))
}
