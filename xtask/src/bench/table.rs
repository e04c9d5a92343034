//! Tables of what was measured, as text for a terminal and as Markdown. Every number stands with
//! its interval.

use vxlan_tests::bench::{self, Arm, Bench, Estimate, Measured, Report, Role};

use super::text;

/// Rows of cells; the first row is the heading.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    /// Of one benchmark: each arm in a row.
    pub(super) fn of_arms(measured: &Measured) -> Self {
        let Bench { unit, .. } = &measured.bench;
        let heading = ["arm", unit, "times as good as", "rounds", "void"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(measured.bench.arms.iter().map(|arm| {
            let value = bench::value(measured, &arm.name);
            let ratio = measured.bench.baseline_of(arm).and_then(|base| {
                let ratio = bench::ratio(measured, &arm.name, base)?;
                Some(format!("{base}: {}", text::ratio(&ratio)))
            });
            vec![
                arm.name.clone(),
                value.as_ref().map(text::with_interval).unwrap_or_default(),
                ratio.unwrap_or_default(),
                value.map_or(0, |value| value.rounds).to_string(),
                void(measured, arm).to_string(),
            ]
        }));
        Self(rows)
    }

    /// Of all benchmarks that compare this product with the kernel's device: each in a row, with
    /// the first arm of each role.
    pub(super) fn of_benches(report: &Report) -> Self {
        let heading =
            ["benchmark", "unit", "ours", "kernel", "no tunnel", "ours / kernel", "ceiling"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(report.measurement.benches.iter().filter_map(overview));
        Self(rows)
    }

    /// For a terminal: columns below each other.
    pub(super) fn aligned(&self) -> String {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        self.0.iter().map(line).collect()
    }

    pub(super) fn markdown(&self) -> String {
        let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | "));
        let mut lines: Vec<_> = self.0.iter().map(line).collect();
        let columns = self.0.first().map_or(0, Vec::len);
        lines.insert(1, format!("|{}\n", "---|".repeat(columns)));
        lines.concat()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.len() < 2
    }
}

/// Samples of an arm that do not count.
fn void(measured: &Measured, arm: &Arm) -> u32 {
    let samples = measured.rounds.iter().flat_map(|round| &round.samples);
    let own = samples.filter(|sample| sample.arm == arm.name);
    own.map(|sample| sample.retaken + u32::from(sample.void.is_some())).sum()
}

fn overview(measured: &Measured) -> Option<Vec<String>> {
    let bench = &measured.bench;
    let first = |role| bench.arms.iter().find(|arm| arm.role == role && arm.point.is_none());
    let (ours, kernel, ceiling) = (first(Role::Ours)?, first(Role::Kernel)?, first(Role::Ceiling));
    let value = |arm: Option<&Arm>| {
        let value = arm.and_then(|arm| bench::value(measured, &arm.name));
        value.as_ref().map(text::with_interval).unwrap_or_default()
    };
    let ratio = |arm: Option<&Arm>| {
        let ratio = arm.and_then(|arm| bench::ratio(measured, &arm.name, &kernel.name));
        ratio.as_ref().map(|ratio: &Estimate| text::ratio(ratio)).unwrap_or_default()
    };
    Some(vec![
        bench.name.clone(),
        bench.unit.clone(),
        value(Some(ours)),
        value(Some(kernel)),
        value(ceiling),
        ratio(Some(ours)),
        ratio(ceiling),
    ])
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn an_arm_has_its_value_its_ratio_and_what_was_void() {
        let report = sample::report(1.25);
        let table = Table::of_arms(&report.measurement.benches[0]);
        let rows: Vec<_> = table.0.iter().map(|row| row.join(" | ")).collect();
        assert_eq!(
            rows,
            [
                "arm | ns/packet | times as good as | rounds | void",
                "native | 80.0 [80.0–80.0] | kernel: 1.25 [1.25–1.25] | 12 | 1",
                "kernel | 100 [100–100] |  | 13 | 0",
                "none | 50.0 [50.0–50.0] | kernel: 2.00 [2.00–2.00] | 13 | 1",
            ]
        );
    }

    #[test]
    fn both_forms_have_all_cells() {
        let table = Table::of_benches(&sample::report(1.25));
        let row = "| receive/sink/64B | ns/packet | 80.0 [80.0–80.0] | 100 [100–100] | \
                   50.0 [50.0–50.0] | 1.25 [1.25–1.25] | 2.00 [2.00–2.00] |\n";
        assert!(table.markdown().ends_with(row), "{}", table.markdown());
        assert!(table.markdown().contains("|\n|---|---|---|---|---|---|---|\n|"));
        let aligned = table.aligned();
        let lines: Vec<_> = aligned.lines().collect();
        assert_eq!(lines.len(), 2);
        let column = |line: &str, word: &str| {
            line.find(word).map(|at| line[..at].chars().count()).expect(word)
        };
        assert_eq!(column(lines[0], "ours / kernel"), column(lines[1], "1.25 "), "{aligned}");
    }
}
