//! The text exposition format, version 0.0.4: families and samples as lines. A page of many peers has
//! hundreds of thousands of them, so that each is written once, and in place.

use std::fmt::{Display, Write as _};

use super::Family;

/// The samples of one family.
pub(super) struct Samples {
    family: &'static Family,
    /// Places of the labels in the family's list, by their names.
    order: Vec<usize>,
    text: String,
}

impl Samples {
    pub(super) fn of(family: &'static Family) -> Self {
        let mut order: Vec<usize> = (0..family.labels.len()).collect();
        order.sort_by_key(|place| family.labels.get(*place));
        Self { family, order, text: String::new() }
    }

    /// Adds a sample; `values` are those of the family's labels, in its order. The same values must not come
    /// twice.
    pub(super) fn add(&mut self, values: &[&str], sample: impl Display) {
        debug_assert_eq!(values.len(), self.family.labels.len(), "{}", self.family.name);
        self.text.push_str(self.family.name);
        let mut open = '{';
        for place in &self.order {
            if let (Some(label), Some(value)) = (self.family.labels.get(*place), values.get(*place))
            {
                self.text.push(open);
                self.text.push_str(label);
                self.text.push_str("=\"");
                escape(&mut self.text, value);
                self.text.push('"');
                open = ',';
            }
        }
        if open == ',' {
            self.text.push('}');
        }
        // Writing to a string does not fail.
        let _ = writeln!(self.text, " {sample}");
    }
}

/// A page: one family after the other.
#[derive(Default)]
pub(super) struct Page(Vec<String>);

impl Page {
    /// Adds a family; one without samples is left out.
    pub(super) fn add(&mut self, samples: Samples) {
        if samples.text.is_empty() {
            return;
        }
        let Family { name, help, kind, .. } = samples.family;
        self.0.push(format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.label()));
        self.0.push(samples.text);
    }

    /// Adds families that somebody else has written.
    pub(super) fn add_text(&mut self, text: String) {
        self.0.push(text);
    }

    pub(super) fn finish(self) -> String {
        self.0.concat()
    }
}

fn escape(text: &mut String, value: &str) {
    if !value.contains(['\\', '"', '\n']) {
        return text.push_str(value);
    }
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::families::{DROPS, RELOAD};

    #[test]
    fn labels_come_by_name_and_values_are_escaped() {
        let mut drops = Samples::of(&DROPS);
        drops.add(&["rx", "no_route", "a \"b\" \\ c\n", ""], u64::MAX);
        let mut page = Page::default();
        page.add(drops);
        page.add(Samples::of(&RELOAD));
        let text = page.finish();
        let last = text.lines().last().expect("a sample");
        assert_eq!(
            last,
            "vxlan_drops_total{direction=\"rx\",peer=\"a \\\"b\\\" \\\\ c\\n\",\
             reason=\"no_route\",vni=\"\"} 18446744073709551615"
        );
        assert_eq!(text.lines().count(), 3, "{text}");
        let mut reload = Samples::of(&RELOAD);
        reload.add(&[], 1);
        assert_eq!(reload.text, "vxlan_config_last_reload_successful 1\n");
    }
}
