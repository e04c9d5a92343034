//! Holds the modules to the order that docs/architecture.md states: a module uses only those that
//! stand before it in its directory's list, so that there are no circles. Owns the reading of
//! module paths, not that of documents.
//!
//! A path counts wherever it stands: in `use` lines, in code, in macros. What `#[cfg(test)]` marks
//! does not, nor do files of tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::{is_test, read, rust_files, section};

/// Crates whose modules are held to an order, by the directory of their root module.
const CRATES: [&str; 5] =
    ["vxlan-common/src", "vxlan-ebpf/src", "vxlan-user/src", "tests/src", "xtask/src"];

/// A path in a module, its first segment being the crate.
type ModulePath = Vec<String>;

/// The module that a file is, below its crate's directory: `["daemon", "probing"]`.
fn module_of(file: &Path) -> ModulePath {
    let mut path: ModulePath =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        path.pop();
    }
    path
}

/// Removes items that `#[cfg(test)]` marks, up to the end of each.
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let all: Vec<TokenTree> = tokens.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < all.len() {
        let marks_test = matches!(&all[at], TokenTree::Punct(punct) if punct.as_char() == '#')
            && matches!(all.get(at + 1), Some(TokenTree::Group(group))
                if group.stream().to_string().replace(' ', "") == "cfg(test)");
        if !marks_test {
            kept.push(all[at].clone());
            at += 1;
            continue;
        }
        at += 2;
        while at < all.len() {
            let ends = match &all[at] {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                TokenTree::Punct(punct) => punct.as_char() == ';',
                TokenTree::Ident(_) | TokenTree::Literal(_) => false,
            };
            at += 1;
            if ends {
                break;
            }
        }
    }
    kept
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(first), TokenTree::Punct(second), ..]
        if first.as_char() == ':' && second.as_char() == ':')
}

/// Reads the path, or the tree of paths, that begins at `tokens`. Returns how many tokens it has.
fn read_tree(tokens: &[TokenTree], before: &[String], found: &mut Vec<ModulePath>) -> usize {
    let mut path = before.to_vec();
    let mut at = 0;
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => path.push(ident.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                let branches = inside.split(
                    |token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','),
                );
                for branch in branches.filter(|branch| !branch.is_empty()) {
                    read_tree(branch, &path, found);
                }
                return at + 1;
            }
            _ => {
                found.push(path);
                return at;
            }
        }
        at += 1;
        if tokens.get(at..).is_some_and(is_path_separator) {
            at += 2;
        } else {
            found.push(path);
            return at;
        }
    }
}

/// Paths that begin with `crate`, `super` or `self`, wherever they stand.
fn qualified_paths(tokens: &[TokenTree], found: &mut Vec<ModulePath>) {
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(ident)
                if ["crate", "super", "self"].contains(&ident.to_string().as_str())
                    && is_path_separator(&tokens[at + 1..]) =>
            {
                at += read_tree(&tokens[at..], &[], found).max(1);
                continue;
            }
            TokenTree::Group(group) => {
                qualified_paths(&group.stream().into_iter().collect::<Vec<_>>(), found);
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
}

/// Makes a path absolute, as seen in `module`: from the crate's root module on.
fn absolute(path: &[String], module: &[String]) -> ModulePath {
    let mut base = match path[0].as_str() {
        "crate" => Vec::new(),
        _ => module.to_vec(),
    };
    let mut rest = path;
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "super" => drop(base.pop()),
            "crate" | "self" => {}
            _ => break,
        }
        rest = others;
    }
    base.extend(rest.iter().cloned());
    base
}

/// Stands for a directory's own file: `mod.rs`, `lib.rs` or `main.rs`.
const OWN: &str = "(its own file)";

/// One module uses another one of its directory.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    /// The module in which it does.
    file: String,
}

/// A crate's modules, what each names of the others, and what is re-exported under another path.
struct Crate {
    /// Every module that is a file, with its paths.
    uses: BTreeMap<ModulePath, Vec<ModulePath>>,
    /// What a `pub use` of a directory's own module makes visible in the directory: name to module.
    reexports: BTreeMap<ModulePath, BTreeMap<String, String>>,
}

impl Crate {
    fn read(directory: &str) -> Self {
        let files = rust_files(&[directory]).into_iter().filter(|file| !is_test(file));
        let files: Vec<PathBuf> = files.collect();
        let modules: BTreeSet<ModulePath> = files
            .iter()
            .map(|file| module_of(file.strip_prefix(directory).expect("a file of the crate")))
            .collect();
        let mut this = Self { uses: BTreeMap::new(), reexports: BTreeMap::new() };
        for file in &files {
            let module = module_of(file.strip_prefix(directory).expect("a file of the crate"));
            let text = read(file.to_str().expect("UTF-8"));
            let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{error}"));
            let tokens = without_tests(tokens);
            let mut paths = Vec::new();
            qualified_paths(&tokens, &mut paths);
            let mut all: Vec<_> = paths.iter().map(|path| absolute(path, &module)).collect();
            // `use child::Name`, and the same with `pub`, in a directory's own file.
            for (at, token) in tokens.iter().enumerate() {
                let is_use = matches!(token, TokenTree::Ident(ident) if ident == "use");
                let mut found = Vec::new();
                if is_use {
                    read_tree(&tokens[at + 1..], &[], &mut found);
                }
                let public = at > 0
                    && match &tokens[at - 1] {
                        TokenTree::Ident(ident) => ident == "pub",
                        TokenTree::Group(group) => group.delimiter() == Delimiter::Parenthesis,
                        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
                    };
                for path in found {
                    let child = path.first().cloned().unwrap_or_default();
                    let child_module = [&module[..], std::slice::from_ref(&child)].concat();
                    if !modules.contains(&child_module) {
                        continue;
                    }
                    let name = path.last().cloned().unwrap_or_default();
                    if public {
                        let names = this.reexports.entry(module.clone()).or_default();
                        names.insert(name, child);
                    } else {
                        all.push([&module[..], &path[..]].concat());
                    }
                }
            }
            this.uses.insert(module, all);
        }
        this
    }

    /// The modules of a directory: its files and directories.
    fn children(&self, directory: &[String]) -> BTreeSet<String> {
        let below = self.uses.keys().filter(|module| module.len() > directory.len());
        let below = below.filter(|module| module.starts_with(directory));
        below.map(|module| module[directory.len()].clone()).collect()
    }

    /// Which module of a directory uses which other one, and in which of its files. The directory's
    /// own file is [`OWN`].
    fn edges(&self, directory: &[String]) -> BTreeSet<Edge> {
        let children = self.children(directory);
        let reexports = self.reexports.get(directory);
        let depth = directory.len();
        let mut edges = BTreeSet::new();
        for (module, paths) in &self.uses {
            if !module.starts_with(directory) {
                continue;
            }
            let from = module.get(depth).map_or(OWN, String::as_str);
            for path in paths.iter().filter(|path| path.starts_with(directory)) {
                let Some(name) = path.get(depth) else { continue };
                let to = match reexports.and_then(|names| names.get(name)) {
                    _ if children.contains(name) => name.as_str(),
                    Some(child) => child.as_str(),
                    None => OWN,
                };
                if to != from {
                    let (from, to) = (from.to_owned(), to.to_owned());
                    edges.insert(Edge { from, to, file: module.join("::") });
                }
            }
        }
        edges
    }

    /// Directories with at least two modules.
    fn directories(&self) -> BTreeSet<ModulePath> {
        let all =
            self.uses.keys().flat_map(|module| (0..module.len()).map(|n| module[..n].to_vec()));
        all.filter(|directory| self.children(directory).len() > 1).collect()
    }
}

/// An order in which no module uses a later one, as far as there is one, and the uses that are in
/// the way of a whole one.
fn sorted<'a>(
    children: &BTreeSet<String>,
    edges: &'a BTreeSet<Edge>,
) -> (Vec<String>, Vec<&'a Edge>) {
    let mut left: BTreeSet<&str> = children.iter().map(String::as_str).chain([OWN]).collect();
    let mut order = Vec::new();
    let used = |name: &str, left: &BTreeSet<&str>| {
        edges.iter().any(|edge| edge.from == name && left.contains(&*edge.to))
    };
    while let Some(next) = left.iter().find(|name| !used(name, &left)).copied() {
        left.remove(next);
        if next != OWN {
            order.push(next.to_owned());
        }
    }
    // What uses a circle, and is used by nothing in it, is no part of it.
    let users = |name: &str, left: &BTreeSet<&str>| {
        edges.iter().any(|edge| edge.to == name && left.contains(&*edge.from))
    };
    while let Some(above) = left.iter().find(|name| !users(name, &left)).copied() {
        left.remove(above);
    }
    let inside = |edge: &&Edge| left.contains(&*edge.from) && left.contains(&*edge.to);
    (order, edges.iter().filter(inside).collect())
}

/// The rows of the table in docs/architecture.md: directory and modules, lowest first.
fn stated() -> BTreeMap<String, Vec<String>> {
    let document = read("docs/architecture.md");
    let section = section(&document, "Modules and their order");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let directory = row.split('`').next().expect("a directory").to_owned();
        (directory, row.split('`').skip(2).step_by(2).map(str::to_owned).collect())
    })
    .collect()
}

#[test]
fn modules_are_used_in_the_order_that_is_stated_and_in_no_circle() {
    let stated = stated();
    let mut wrong = String::new();
    let mut directories = BTreeSet::new();
    for root_directory in CRATES {
        let of_crate = Crate::read(root_directory);
        for directory in of_crate.directories() {
            let path = [root_directory, &directory.join("/")].join("/");
            let path = path.trim_end_matches('/').to_owned();
            let (children, edges) = (of_crate.children(&directory), of_crate.edges(&directory));
            let order = stated.get(&path).cloned().unwrap_or_default();
            directories.insert(path.clone());
            let named: BTreeSet<String> = order.iter().cloned().collect();
            let place = |name: &str| order.iter().position(|other| other == name);
            let against = edges.iter().filter(|edge| {
                let (from, to) = (place(&edge.from), place(&edge.to));
                from.zip(to).is_some_and(|(from, to)| from < to)
            });
            let against: Vec<&Edge> = against.collect();
            let (possible, circle) = sorted(&children, &edges);
            if named == children && against.is_empty() && circle.is_empty() {
                continue;
            }
            let possible: Vec<_> = possible.iter().map(|name| format!("`{name}`")).collect();
            wrong += &format!("\n| `{path}` | {} |", possible.join(" "));
            for Edge { from, to, file } in against.into_iter().chain(circle) {
                wrong += &format!("\n    {path}: {from} uses {to}, in {file}");
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "rows of docs/architecture.md that the code is not like; possible:{wrong}"
    );
    let superfluous: Vec<_> = stated.keys().filter(|path| !directories.contains(*path)).collect();
    assert!(superfluous.is_empty(), "rows of directories that are not there: {superfluous:?}");
    assert!(directories.len() > 10, "{directories:?}");
}
