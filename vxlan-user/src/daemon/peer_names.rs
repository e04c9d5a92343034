//! Names of peers for one line of the log, however many peers there are.

/// How many peers one line names.
const MAX_NAMED: usize = 5;

/// Lists the first few of the names, and says how many there are besides.
pub(super) fn list_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let unnamed = names.len().saturating_sub(MAX_NAMED);
    let listed = names.take(MAX_NAMED).collect::<Vec<_>>().join(", ");
    if unnamed == 0 { listed } else { format!("{listed} and {unnamed} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_names_stand_for_all() {
        let all = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(list_names(all[..5].iter().copied()), "a, b, c, d, e");
        assert_eq!(list_names(all.iter().copied()), "a, b, c, d, e and 2 more");
    }
}
