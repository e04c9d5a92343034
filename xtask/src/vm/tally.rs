//! How many tests passed, read from what a test binary prints.

/// What a test binary has reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Tests that passed because they had nothing to test here, and why.
    pub(crate) left_out: Vec<String>,
}

impl Tally {
    pub(crate) fn from_output(output: &[String]) -> Self {
        let mut tally = Self::default();
        for line in output {
            if let Some(rest) = line.strip_prefix("test result: ") {
                tally.passed += number_before(rest, " passed");
                tally.failed += number_before(rest, " failed");
            } else if let Some((_, why)) = line.split_once("left out: ") {
                tally.left_out.push(why.trim().to_owned());
            }
        }
        tally.passed = tally.passed.saturating_sub(tally.left_out.len());
        tally
    }
}

fn number_before(text: &str, what: &str) -> usize {
    let before = text.split_once(what).map_or("", |(before, _)| before);
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_from_what_tests_print() {
        let lines = [
            "test a ... left out: needs TCX links, Linux 6.6 (e420bed02507); this is 6.1.0",
            "ok",
            "test result: ok. 41 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out; finished",
            "test result: FAILED. 3 passed; 12 failed; 0 ignored",
        ];
        let tally = Tally::from_output(&lines.map(str::to_owned));
        assert_eq!((tally.passed, tally.failed), (43, 12));
        let why = "needs TCX links, Linux 6.6 (e420bed02507); this is 6.1.0";
        assert_eq!(tally.left_out, [why]);
    }
}
