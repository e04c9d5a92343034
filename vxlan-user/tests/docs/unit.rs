//! Holds the systemd unit to the program: commands, directories, capabilities; and the page about
//! it to the unit.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use vxlan_user::{cli::Cli, host::capabilities};

use crate::markdown::{document, read};

const UNIT: &str = "deploy/systemd/vxlan.service";
const BINARY: &str = "/usr/bin/vxlan";

/// Key and value of every line that has them.
fn settings() -> Vec<(String, String)> {
    let pairs = read(UNIT);
    let pairs = pairs.lines().filter(|line| !line.starts_with('#'));
    pairs
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The value of a key that is there once.
fn value(key: &str) -> String {
    let mut found: Vec<String> =
        settings().into_iter().filter(|(of, _)| of == key).map(|(_, value)| value).collect();
    assert_eq!(found.len(), 1, "{key}: {found:?}");
    found.remove(0)
}

/// The default of an option of every verb.
fn default(option: &str) -> String {
    let cli = Cli::command();
    let argument = cli.get_arguments().find(|argument| argument.get_long() == Some(option));
    let values = argument.expect(option).get_default_values();
    values.first().and_then(|value| value.to_str()).expect("a default").to_owned()
}

#[test]
fn the_commands_are_the_program_s() {
    let before = value("ExecStartPre");
    assert_eq!(before.rsplit_once(' ').map(|(_, made)| made), Some(default("pin-dir").as_str()));
    let of_ours = |key: &str| key.starts_with("Exec") && key != "ExecStartPre";
    for (key, line) in settings().iter().filter(|(key, _)| of_ours(key)) {
        assert_eq!(line.split(' ').next(), Some(BINARY), "{key}");
        let parsed = Cli::command().try_get_matches_from(line.split(' '));
        assert!(parsed.is_ok(), "{key}={line}: {:?}", parsed.err());
    }
    assert!(value("ExecStart").ends_with(" run"));
    // Traffic goes on when the daemon ends: nothing may be called then that takes it down.
    assert!(!settings().iter().any(|(key, _)| key.starts_with("ExecStop")));
}

#[test]
fn the_directories_are_the_program_s() {
    assert_eq!(format!("/run/{}", value("RuntimeDirectory")), default("run-dir"));
    assert_eq!(value("RuntimeDirectoryPreserve"), "yes");
    assert_eq!(value("ReadWritePaths"), format!("-{}", default("pin-dir")));
}

#[test]
fn the_capabilities_are_those_that_the_program_asks_for() {
    let needed: BTreeSet<String> =
        capabilities::NEEDED.iter().map(|(capability, _)| capability.to_string()).collect();
    let bound = value("CapabilityBoundingSet");
    let bound: BTreeSet<String> = bound.split(' ').map(str::to_owned).collect();
    assert_eq!(bound, needed);
    let page = document("docs/service.md");
    for (capability, purpose) in capabilities::NEEDED {
        let row = format!("| `{capability}` | {purpose} |");
        assert!(page.text.contains(&row), "docs/service.md lacks {row}");
    }
}

#[test]
fn the_page_about_the_service_names_nothing_that_the_unit_lacks() {
    let unit = read(UNIT);
    let spans = document("docs/service.md").spans();
    let directives = spans.iter().filter(|span| {
        span.contains('=') && span.starts_with(|first: char| first.is_ascii_uppercase())
    });
    let mut named = 0;
    for directive in directives {
        let has = |line: &str| {
            line == directive || line.starts_with(directive) && directive.ends_with('=')
        };
        assert!(unit.lines().any(has), "docs/service.md names {directive}");
        named += 1;
    }
    assert!(named > 10, "only {named} directives were found");
}
