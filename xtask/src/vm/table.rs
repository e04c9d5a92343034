//! The table at the end: every job of every guest in a row.

use std::collections::BTreeMap;

use super::{outcome::Outcome, report::Report};

/// Every job of every guest in a row, and why tests were left out.
pub(crate) fn print(reports: &[Report]) {
    println!("\n{}", table(reports).join("\n"));
}

fn table(reports: &[Report]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<28}{:<12}{:>8}{:>8}{:>10}{:>8}",
        "kernel", "", "passed", "failed", "left out", "s"
    )];
    let mut reasons: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for report in reports {
        for Outcome { name, tally, took, problems } in &report.outcomes {
            lines.push(format!(
                "{:<28}{name:<12}{:>8}{:>8}{:>10}{:>8}{}",
                report.release,
                tally.passed,
                tally.failed,
                tally.left_out.len(),
                took.as_secs(),
                if problems.is_empty() {
                    String::new()
                } else {
                    format!("  {}", problems.join("; "))
                }
            ));
            for why in &tally.left_out {
                *reasons.entry((&report.release, why)).or_default() += 1;
            }
        }
    }
    for report in reports {
        let notes = report.notes.iter();
        lines.extend(notes.map(|note| format!("{}: the kernel logged: {note}", report.release)));
    }
    for ((release, why), count) in reasons {
        lines.push(format!("{release}: {count} left out: {why}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{
        super::report::tests::{RESULT, report},
        *,
    };

    #[test]
    fn the_table_has_a_row_a_job_and_counts_reasons() {
        let why = "test a ... left out: needs TCX";
        let lines = ["vm: begin nat", why, why, RESULT, "vm: end nat 0", "vm: done"];
        let rows = table(&[report(&lines)]);
        assert_eq!(rows.len(), 3);
        assert!(rows[1].starts_with("6.1.0-x ") && rows[1].contains(" nat "), "{}", rows[1]);
        assert_eq!(rows[2], "6.1.0-x: 2 left out: needs TCX");
    }
}
