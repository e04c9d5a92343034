//! Sentences about values of the wrong TOML type.

use toml::Spanned;
use toml::de::DeValue;

use super::schema::{Key, ValueKind};
use super::source::Source;

/// Tells what the value of a key is, and what to write instead.
pub(super) fn value(key: &Key, value: &Spanned<DeValue<'_>>, source: &Source<'_>) -> String {
    let found = match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    };
    let (name, wanted) = (key.name, key.kind.name());
    let written = source.excerpt(value);
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let instead = match (key.kind, value.get_ref().as_str()) {
        (ValueKind::Section | ValueKind::Sections, _) => key.example.to_owned(),
        (ValueKind::List, Some(_)) => format!("{name} = [{written}]"),
        (ValueKind::Number, Some(text)) if number(text).is_some() => {
            format!("{name} = {}, without quotes", text.trim())
        }
        (ValueKind::Number, Some("auto" | "default")) if key.has_automatic_value => {
            return format!(
                "{name} = {written} is text, not a whole number. Leave {name} out: it is chosen \
                 automatically then."
            );
        }
        (ValueKind::Number, None) if whole_part(value).is_some() => {
            format!("{name} = {}", whole_part(value).unwrap_or_default())
        }
        (
            ValueKind::Text
            | ValueKind::Number
            | ValueKind::Bool
            | ValueKind::NumberOrText
            | ValueKind::List
            | ValueKind::TextOrList,
            _,
        ) => {
            format!("{name} = {}", key.example)
        }
    };
    match (key.kind, value.get_ref().is_table(), value.get_ref().is_array()) {
        // TOML adds the section when only a part of it, such as `[[network.member]]`, is there.
        (ValueKind::Sections, true, _) if written == name => format!(
            "a part of {name} stands here, but no {instead} above it. Write {instead} \
             first."
        ),
        (ValueKind::Sections, true, _) => format!(
            "{name} is a single section here, {written}, but there may be several. Write \
             {instead}."
        ),
        (ValueKind::Section, _, true) => format!(
            "{name} is a list of sections here, {written}, but there is only one. Write \
             {instead}."
        ),
        _ => format!("{name} = {written} is {found}, not {wanted}. Write {instead}."),
    }
}

/// Returns the whole part of a number with a fraction, at least 1.
fn whole_part(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    let DeValue::Float(float) = value.get_ref() else { return None };
    let (whole, _) = float.as_str().split_once('.')?;
    whole.parse::<u64>().ok().map(|whole| whole.max(1))
}

/// Tells that an element of a list is no text, and what to write instead.
pub(super) fn element(key: &Key, element: &Spanned<DeValue<'_>>, source: &Source<'_>) -> String {
    format!(
        "{} in {} is not text. Write texts in quotes, such as {} = {}.",
        source.excerpt(element),
        key.name,
        key.name,
        listed(key)
    )
}

/// Returns the example of a key that takes a list, as a list.
fn listed(key: &Key) -> String {
    if key.example.starts_with('[') { key.example.to_owned() } else { format!("[{}]", key.example) }
}
