//! Reading the documents' Markdown, as far as the tests need it. Owns no expectation of what is in
//! them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A document and its path from the workspace's root.
pub(crate) struct Document {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn documents() -> Vec<Document> {
    let mut paths = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for room in ["docs", "deploy", "deploy/systemd"] {
        let entries = fs::read_dir(root().join(room)).expect(room).map(|entry| entry.expect(room));
        let files = entries.filter(|entry| entry.path().is_file());
        let names = files.map(|entry| entry.file_name().into_string().expect("UTF-8"));
        paths.extend(names.map(|name| format!("{room}/{name}")));
    }
    paths.into_iter().map(|path| Document { text: read(&path), path }).collect()
}

impl Document {
    /// Contents of the fenced blocks of this language, and `None` for the untagged ones.
    pub(crate) fn blocks(&self, language: &str) -> Vec<&str> {
        let mut blocks = Vec::new();
        let mut rest = self.text.as_str();
        while let Some((_, opened)) = rest.split_once("```") {
            let (tag, body) = opened.split_once('\n').expect("a line behind the fence");
            let (block, after) = body.split_once("```").expect("a closing fence");
            if tag == language {
                blocks.push(block);
            }
            rest = after;
        }
        blocks
    }

    /// The text outside of fenced blocks.
    pub(crate) fn prose(&self) -> String {
        self.text.split("```").step_by(2).collect()
    }

    /// What stands between single backticks, line ends made spaces.
    pub(crate) fn spans(&self) -> Vec<String> {
        let prose = self.prose();
        prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect()
    }

    /// Titles and texts of the sections of the second level.
    pub(crate) fn sections(&self) -> Vec<(&str, &str)> {
        let sections = self.text.split("\n## ").skip(1);
        sections.map(|section| section.split_once('\n').unwrap_or((section, ""))).collect()
    }

    /// Names by which a link can point into the document.
    pub(crate) fn anchors(&self) -> BTreeSet<String> {
        let prose = self.prose();
        let titles = prose.lines().filter(|line| line.starts_with('#'));
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        titles
            .map(|title| title.trim_start_matches('#').trim().to_lowercase())
            .map(|title| title.chars().filter(kept).collect::<String>().replace(' ', "-"))
            .collect()
    }
}

pub(crate) fn document(path: &str) -> Document {
    Document { path: path.to_owned(), text: read(path) }
}

/// One line, single spaces.
pub(crate) fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Command lines that begin with `program`, in `sh` blocks and between backticks.
pub(crate) fn command_lines(document: &Document, program: &str) -> Vec<String> {
    let blocks = document.blocks("sh").concat().replace("\\\n", " ");
    let lines = blocks.lines().map(|line| line.split('#').next().expect("a part"));
    let lines = lines.map(|line| unwrapped(line.trim_start_matches("sudo ")));
    let all = lines.chain(document.spans().into_iter().map(|span| unwrapped(&span)));
    all.filter(|line| line.strip_prefix(program).is_some_and(|rest| rest.starts_with(' ')))
        .collect()
}
