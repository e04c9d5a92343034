//! How numbers are written.

use vxlan_tests::bench::Estimate;

/// Three significant digits, and all digits before the point.
pub(super) fn number(value: f64) -> String {
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = if value == 0.0 { 0 } else { 2_i32.saturating_sub(magnitude).max(0) as usize };
    format!("{value:.decimals$}")
}

/// `457 [451–463]`
pub(super) fn with_interval(estimate: &Estimate) -> String {
    let Estimate { median, low, high, .. } = *estimate;
    format!("{} [{}–{}]", number(median), number(low), number(high))
}

/// `1.19 [1.17–1.21]`: a ratio always has two decimals.
pub(super) fn ratio(estimate: &Estimate) -> String {
    let Estimate { median, low, high, .. } = *estimate;
    format!("{median:.2} [{low:.2}–{high:.2}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.0123, "0.0123"),
            (0.97, "0.970"),
            (7.254, "7.25"),
            (12.34, "12.3"),
            (457.3, "457"),
            (123_456.7, "123457"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn an_estimate_never_goes_without_its_interval() {
        let estimate = Estimate { median: 457.2, low: 99.96, high: 463.0, rounds: 12 };
        assert_eq!(with_interval(&estimate), "457 [100.0–463]");
        let estimate = Estimate { median: 1.188, low: 1.17, high: 1.2101, rounds: 12 };
        assert_eq!(ratio(&estimate), "1.19 [1.17–1.21]");
    }
}
