//! Mistakes in a single value, key or section: each with every word that is said about it.

use super::{EXAMPLE, Row, check, row};

#[test]
fn keys_and_sections() {
    check(&[row("name = \"gcp\"\n", "", &["1: "])]);
}
