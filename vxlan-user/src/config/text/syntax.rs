//! Text that is not TOML: finds out what the user left out.
//!
//! The parser names the token that it missed, which seldom is what is wrong with a line, and an
//! open bracket makes it stumble over every line that follows. So the lines themselves are read.
//! Not here: what keys and sections mean.

use super::schema::{self, Key};
use super::source::{Source, quoted};

/// Quotation marks that word processors and chat programs put in place of `"` and `'`.
const TYPOGRAPHIC_QUOTES: [char; 8] = ['“', '”', '„', '‟', '‘', '’', '«', '»'];

/// One line of the file, read as far as it matters here.
struct Line<'t> {
    /// The line without its comment.
    code: &'t str,
    /// The text that is not closed on this line begins with this quote.
    open_quote: Option<char>,
    /// Opening brackets less closing ones, outside of texts.
    depth: i32,
    /// The offset of the first `=` outside of texts.
    equals: Option<usize>,
}

impl<'t> Line<'t> {
    fn read(text: &'t str) -> Self {
        let (mut open_quote, mut depth, mut equals, mut escaped) = (None, 0, None, false);
        let mut end = text.len();
        for (at, character) in text.char_indices() {
            match (open_quote, character) {
                (Some('"'), '\\') if !escaped => {
                    escaped = true;
                    continue;
                }
                (Some(quote), _) if quote == character && !escaped => open_quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => open_quote = Some(character),
                (None, '#') => {
                    end = at;
                    break;
                }
                (None, '[' | '{') => depth += 1,
                (None, ']' | '}') => depth -= 1,
                (None, '=') => equals = equals.or(Some(at)),
                (None, _) => {}
            }
            escaped = false;
        }
        Self { code: text[..end].trim_end(), open_quote, depth, equals }
    }

    fn key(&self) -> Option<&'t str> {
        Some(self.code.get(..self.equals?)?.trim())
    }

    fn value(&self) -> Option<&'t str> {
        Some(self.code.get(self.equals? + 1..)?.trim())
    }
}

/// Returns the line of a list that is never closed, if the list begins at or before `last_line`,
/// and what to write. Every error behind it is a consequence.
pub(super) fn open_list(source: &Source<'_>, last_line: u32) -> Option<(u32, String)> {
    let mut open: Option<(u32, &str, i32)> = None;
    for (number, text) in source.lines() {
        let line = Line::read(text);
        let starts_section = line.code.starts_with('[') && line.depth == 0;
        match &mut open {
            Some((at, code, _)) if line.equals.is_some() || starts_section => {
                return Some((*at, never_closed(code)));
            }
            Some((_, _, depth)) => {
                *depth += line.depth;
                if *depth <= 0 {
                    open = None;
                }
            }
            None if number > last_line => return None,
            None if line.equals.is_some() && line.depth > 0 => {
                open = Some((number, line.code, line.depth));
            }
            None => {}
        }
    }
    open.map(|(at, code, _)| (at, never_closed(code)))
}

fn never_closed(code: &str) -> String {
    let good = match code.trim_end().trim_end_matches(',') {
        list if list.ends_with('[') => "Write ] behind its last value.".to_owned(),
        list => format!("Write {list}]."),
    };
    format!("{} has no closing bracket. {good}", quoted(code))
}

/// Returns whether line `number` was to be the header of a section. If it is refused, the keys
/// below stand in another section, and what is wrong there is a consequence.
pub(super) fn is_header(source: &Source<'_>, number: u32) -> bool {
    let mut lines = source.lines();
    lines.any(|(at, text)| at == number && text.starts_with('['))
}

/// Tells what is wrong with line `number`, which the parser refused with `message`.
pub(super) fn line(source: &Source<'_>, number: u32, message: &str) -> String {
    let text = source.lines().nth(number.saturating_sub(1) as usize).map_or("", |(_, text)| text);
    let line = Line::read(text);
    let found = quoted(line.code);
    if message == "duplicate key" {
        return duplicate(source, number, &line);
    }
    if line.code.contains(TYPOGRAPHIC_QUOTES) {
        let good = line.code.replace(TYPOGRAPHIC_QUOTES, "\"");
        return format!("{found} has typographic quotes. Write {good}.");
    }
    if let Some(quote) = line.open_quote {
        return format!("{found} has no closing quote. Write {}{quote}.", line.code);
    }
    if line.code.starts_with('[')
        && line.equals.is_none()
        && let Some(good) = header(line.code)
    {
        return format!("{found} is no header of a section. Write {good}.");
    }
    let problem = match (line.key(), line.value()) {
        (None, _) => no_equals(line.code),
        (Some(key), Some("")) => {
            let known = schema_key(source, number, key);
            let example = known.map_or("\"text\"", |key| key.example);
            Some(format!("has no value. Write {key} = {example}."))
        }
        (Some(key), Some(value)) => bare_value(key, value, schema_key(source, number, key)),
        (Some(_), None) => None,
    };
    match problem {
        Some(problem) => format!("{found} {problem}"),
        None => format!(
            "{found} is not valid TOML: {}. Write key = \"text\", key = 1 or key = [\"a\", \"b\"] \
             under a [section].",
            message.lines().collect::<Vec<_>>().join(", ")
        ),
    }
}

fn duplicate(source: &Source<'_>, number: u32, line: &Line<'_>) -> String {
    let found = quoted(line.code);
    let name = line.code.trim_matches(['[', ']']).trim();
    let is_header = line.code.starts_with('[');
    let mut first = None;
    for (at, text) in source.lines().take_while(|(at, _)| *at < number) {
        let other = Line::read(text);
        if is_header {
            let other_name = other.code.trim_matches(['[', ']']).trim();
            let is_part = other_name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            if other.code.starts_with('[') && is_part {
                return format!(
                    "{found} stands below its own part {} (line {at}). Move that part below \
                     {found}.",
                    other.code
                );
            }
            if other.code.starts_with('[') && other_name == name {
                first = first.or(Some(at));
            }
        } else if other.code.starts_with('[') && other.equals.is_none() {
            first = None;
        } else if other.key().is_some() && other.key() == line.key() {
            first = first.or(Some(at));
        }
    }
    let first = first.map_or(String::new(), |at| format!(" (first in line {at})"));
    format!("{found}: this key or section stands here a second time{first}. Keep one of them.")
}

/// Returns the header that was meant by a line with missing or surplus brackets.
fn header(code: &str) -> Option<String> {
    let name = code.trim_matches(['[', ']', ' ']);
    let sections = schema::SECTIONS.iter().map(|section| section.header);
    let good = sections.into_iter().find(|header| header.trim_matches(['[', ']']) == name)?;
    (good != code).then(|| good.to_owned())
}

fn no_equals(code: &str) -> Option<String> {
    let (key, value) = code.split_once([':', ' ', '\t'])?;
    let value = value.trim().trim_start_matches(':').trim();
    let is_key = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_key && !key.is_empty() && !value.is_empty())
        .then(|| format!("has no = between key and value. Write {key} = {value}."))
}

/// Tells what is wrong with a value that is neither number, list nor text in quotes.
fn bare_value(key: &str, value: &str, known: Option<&Key>) -> Option<String> {
    let is_word = value.starts_with(|first: char| first.is_alphanumeric() || first == '/')
        && !value.contains(['"', '\'', '[', '{', ',']);
    if !is_word {
        return None;
    }
    if let Some(good) = ["true", "false"].iter().find(|word| value.eq_ignore_ascii_case(word)) {
        return Some(format!("has {value} with other letters than TOML. Write {key} = {good}."));
    }
    let value = match known.map(|key| key.example) {
        Some(example) if example.starts_with('[') => format!("[\"{value}\"]"),
        Some(_) | None => format!("\"{value}\""),
    };
    Some(format!("has text without quotes. Write {key} = {value}."))
}

/// Finds a key by its name: that of the section above line `number`, or of any section.
fn schema_key(source: &Source<'_>, number: u32, name: &str) -> Option<&'static Key> {
    let above = source.lines().take_while(|(at, _)| *at < number).map(|(_, text)| text);
    let headers = above.filter(|text| text.starts_with('['));
    let header = headers.last().map(|text| Line::read(text).code);
    let mut sections = schema::SECTIONS.iter();
    let here = sections.find(|section| Some(section.header) == header);
    here.and_then(|section| section.key(name))
        .or_else(|| schema::SECTIONS.iter().find_map(|section| section.key(name)))
}
