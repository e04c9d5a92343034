//! Holds the source files to what CONTRIBUTING.md says of them: length, width, words. Owns no
//! expectation of what the code does.

mod modules;

use std::{
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The section of the second level with this title.
pub(crate) fn section<'a>(document: &'a str, title: &str) -> &'a str {
    let mut sections = document.split("\n## ").skip(1).filter_map(|all| all.split_once('\n'));
    sections.find(|(found, _)| *found == title).unwrap_or_else(|| panic!("no section {title:?}")).1
}

/// Where there is Rust.
const SOURCES: [&str; 6] =
    ["vxlan-common", "vxlan-ebpf", "vxlan-user", "tests", "xtask", "link-api"];

/// Words that once were names here, and say nothing to a reader whose field is networking. As a
/// part of an identifier: `way` is in `next_way` and in `WayFacts`, not in `gateway`.
const RETIRED: [&str; 28] = [
    "admit",
    "affected",
    "arrivals",
    "asked",
    "asking",
    "exposed",
    "figures",
    "findings",
    "former",
    "heard",
    "ladder",
    "least",
    "most",
    "noted",
    "obsolete",
    "places",
    "reckoned",
    "rung",
    "rungs",
    "said",
    "says",
    "shown",
    "standing",
    "told",
    "unfinished",
    "way",
    "ways",
    "everyone",
];

/// Rust files below these directories of the workspace, as paths from its root.
pub(crate) fn rust_files(directories: &[&str]) -> Vec<PathBuf> {
    files(directories, "rs")
}

fn files(directories: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut left: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
    while let Some(directory) = left.pop() {
        let Ok(entries) = fs::read_dir(root().join(&directory)) else { continue };
        for entry in entries {
            let name = entry.expect("an entry").file_name();
            let path = directory.join(&name);
            if root().join(&path).is_dir() {
                if name != "target" {
                    left.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Is the file a test, or a part of one?
pub(crate) fn is_test(file: &Path) -> bool {
    let crate_of_tests = file.starts_with("tests/src") || file.starts_with("tests/examples");
    let parts = file.iter().skip(usize::from(crate_of_tests));
    let mut parts = parts.map(|part| part.to_string_lossy());
    parts.any(|part| part == "tests" || part == "tests.rs" || part.starts_with("tests_"))
}

fn name(file: &Path) -> String {
    file.display().to_string()
}

#[test]
fn files_have_up_to_300_lines_and_say_what_they_own() {
    const MAX_LINES: usize = 300;
    let mut wrong = Vec::new();
    for file in rust_files(&SOURCES) {
        let text = read(&name(&file));
        let lines = text.lines().count();
        if !is_test(&file) && lines > MAX_LINES {
            wrong.push(format!("{}: {lines} lines", name(&file)));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{}: does not open with what it owns", name(&file)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn lines_have_up_to_100_columns() {
    const MAX_COLUMNS: usize = 100;
    let mut wrong = Vec::new();
    for file in rust_files(&SOURCES) {
        for (number, line) in read(&name(&file)).lines().enumerate() {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS {
                wrong.push(format!("{}:{}: {columns}", name(&file), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{} lines: {wrong:#?}", wrong.len());
}

/// The words of an identifier, in lower case: `WayFacts`, `next_way` and `WAY` have `way`.
fn words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for c in identifier.chars() {
        let begins = c == '_' || (c.is_uppercase() && before.is_lowercase());
        if begins {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().expect("a word").extend(c.to_lowercase());
        }
        before = c;
    }
    words
}

fn identifiers(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                found.push((ident.span().start().line, ident.to_string()));
            }
            TokenTree::Group(group) => identifiers(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[test]
fn retired_words_do_not_come_back() {
    assert_eq!(words("next_WayOut"), ["next", "way", "out"]);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in rust_files(&SOURCES).iter().filter(|file| !is_test(file)) {
        let tokens: TokenStream = read(&name(file)).parse().expect("Rust");
        let mut found = Vec::new();
        identifiers(tokens, &mut found);
        seen += found.len();
        for (line, identifier) in found {
            if words(&identifier).iter().any(|word| RETIRED.contains(&word.as_str())) {
                wrong.push(format!("{}:{line}: {identifier}", name(file)));
            }
        }
        let stem = file.file_stem().expect("a name").to_string_lossy().into_owned();
        if words(&stem).iter().any(|word| RETIRED.contains(&word.as_str())) {
            wrong.push(format!("{}: its name", name(file)));
        }
    }
    assert!(seen > 10_000, "{seen}");
    assert!(wrong.is_empty(), "{} times: {wrong:#?}", wrong.len());
}

#[test]
fn every_word_of_the_glossary_is_used() {
    let architecture = read("docs/architecture.md");
    let glossary = section(&architecture, "Glossary");
    let rows = glossary.lines().filter_map(|line| line.strip_prefix("| **"));
    let terms: Vec<&str> = rows.map(|row| row.split("**").next().expect("a term")).collect();
    assert!((25..=45).contains(&terms.len()), "{} terms", terms.len());
    let documents = files(&["docs", "deploy"], "md").into_iter();
    let documents = documents.chain(["README.md", "CONTRIBUTING.md"].map(PathBuf::from));
    let elsewhere: String = documents
        .chain(rust_files(&SOURCES))
        .map(|file| read(&name(&file)).replace(glossary, "").to_lowercase())
        .collect();
    let elsewhere = elsewhere.split_whitespace().collect::<Vec<_>>().join(" ");
    for term in terms {
        assert!(elsewhere.contains(&term.to_lowercase()), "nothing uses {term:?}");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 200, "{lines} lines");
}
