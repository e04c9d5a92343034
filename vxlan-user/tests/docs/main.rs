//! Holds the documents to the code: README, CONTRIBUTING, docs, deploy.
//!
//! docs/configuration.md has its own tests, beside the configuration room.

mod markdown;
mod unit;

use std::{collections::BTreeSet, path::Path};

use clap::{CommandFactory as _, error::ErrorKind};
use markdown::{Document, command_lines, document, documents, read, root, unwrapped};
use vxlan_common::reason::DropReason;
use vxlan_user::{
    cli::Cli,
    config::{self, Config},
    metrics::{self, Family},
    nat,
};

#[test]
fn every_drop_reason_has_its_section_and_no_section_is_without_one() {
    let document = document("docs/drop-reasons.md");
    let written: Vec<&str> = document.sections().iter().map(|(title, _)| *title).collect();
    let counted: Vec<String> =
        DropReason::all().map(|r| format!("{}: {}", r.direction(), r.label())).collect();
    assert_eq!(written, counted);
}

#[test]
fn every_drop_reason_says_what_it_is_why_and_what_to_do() {
    const PARTS: [&str; 3] = ["**What it means.** ", "**Likely cause.** ", "**What to do.** "];
    let document = document("docs/drop-reasons.md");
    for (reason, (title, text)) in DropReason::all().zip(document.sections()) {
        let paragraphs: Vec<String> = text.trim().split("\n\n").map(unwrapped).collect();
        let [meaning, parts @ ..] = paragraphs.as_slice() else { panic!("{title} is empty") };
        assert_eq!(meaning, reason.meaning().trim(), "{title}");
        assert_eq!(parts.len(), PARTS.len(), "{title}");
        for (part, opening) in parts.iter().zip(PARTS) {
            let said = part.strip_prefix(opening).unwrap_or_else(|| panic!("{title}: {opening}"));
            assert!(said.ends_with('.'), "{title}: {said}");
        }
    }
}

#[test]
fn reasons_that_no_program_produces_are_said_to_be_so() {
    let rooms = ["vxlan-ebpf/src", "vxlan-common/src"].map(|room| root().join(room));
    let files = rooms.iter().flat_map(|room| std::fs::read_dir(room).expect("a room"));
    let code: String = files
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file() && !path.ends_with("reason.rs"))
        .map(|path| std::fs::read_to_string(path).expect("a source file"))
        .map(|text| text.split("#[cfg(test)]").next().expect("a part").to_owned())
        .collect();
    let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != ':').collect();
    let document = document("docs/drop-reasons.md");
    for (reason, (title, text)) in DropReason::all().zip(document.sections()) {
        let name = match reason {
            DropReason::Rx(reason) => format!("RxDrop::{reason:?}"),
            DropReason::Tx(reason) => format!("TxDrop::{reason:?}"),
        };
        let never = unwrapped(text).contains("This version never counts it");
        assert_eq!(never, !words.contains(name.as_str()), "{title}: {name}");
    }
}

#[test]
fn the_metrics_table_is_the_code_s_table() {
    let document = document("docs/metrics.md");
    let rows = document.text.lines().filter(|line| line.starts_with("| `vxlan_"));
    let written: Vec<&str> = rows.collect();
    let exported: Vec<String> = Family::ALL
        .iter()
        .map(|family| {
            let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
            let kind = family.kind.label();
            format!("| `{}` | {kind} | {labels} | {} |", family.name, family.help)
        })
        .collect();
    assert_eq!(written, exported);
}

/// The metrics of the process stand in one paragraph: all of them, and no others.
#[test]
fn the_process_metrics_that_are_named_are_those_exported() {
    let page = metrics::process_metrics().expect("metrics of this process");
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let exported: BTreeSet<&str> =
        types.filter_map(|line| line.split_once(' ')).map(|(name, _)| name).collect();
    let document = document("docs/metrics.md");
    let words = document.text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("process_")).collect();
    assert_eq!(named, exported);
    for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds"] {
        assert!(exported.contains(format!("process_{name}").as_str()), "{exported:?}");
    }
}

#[test]
fn every_metric_has_a_section_with_a_query_of_it() {
    let document = document("docs/metrics.md");
    let sections = document.sections();
    let titles: Vec<&str> = sections.iter().map(|(title, _)| title.trim_matches('`')).collect();
    assert_eq!(titles, Family::ALL.iter().map(|family| family.name).collect::<Vec<_>>());
    for (title, text) in sections {
        let section = Document { path: title.to_owned(), text: text.to_owned() };
        let queries = section.blocks("promql").concat();
        assert!(queries.contains(title.trim_matches('`')), "{title} has no query");
    }
}

#[test]
fn every_metric_and_label_value_that_is_named_exists() {
    let named_so = |word: &str| {
        Family::ALL.iter().any(|family| {
            let of_it = word.strip_prefix(family.name);
            of_it == Some("")
                || family.kind == metrics::MetricKind::Histogram
                    && of_it.is_some_and(|of| ["_bucket", "_sum", "_count"].contains(&of))
        })
    };
    let reasons: BTreeSet<&str> = DropReason::all().map(DropReason::label).collect();
    let (mut named, mut valued) = (0, 0);
    for Document { path, text } in documents() {
        for word in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
            // `vxlan_` itself is a prefix in a sentence; `vxlan_user` is the library.
            if word.starts_with("vxlan_") && !["vxlan_", "vxlan_user"].contains(&word) {
                assert!(named_so(word), "{path} names {word}");
                named += 1;
            }
        }
        for rest in text.split("reason=\"").skip(1) {
            let value = rest.split('"').next().expect("a part");
            assert!(reasons.contains(value), "{path} names the reason {value}");
            valued += 1;
        }
    }
    assert!(named > Family::ALL.len() && valued > 0, "{named} {valued}");
}

#[test]
fn every_verdict_has_a_section_of_its_name() {
    let document = document("docs/nat.md");
    let titles: Vec<&str> = document.sections().iter().map(|(title, _)| *title).collect();
    let labels: Vec<&str> = nat::NatVerdict::ALL.iter().map(|kind| kind.label()).collect();
    assert!(titles.windows(labels.len()).any(|part| part == labels), "{titles:?}");
    for (title, text) in document.sections().iter().filter(|part| labels.contains(&part.0)) {
        for part in ["**Evidence.**", "**What to do.**"] {
            assert!(text.contains(part), "{title} has no {part}");
        }
    }
}

#[test]
fn the_maps_table_names_every_map() {
    let code = read("vxlan-ebpf/src/maps.rs");
    let statics = code.split("pub(crate) static ").skip(1);
    let maps: Vec<&str> = statics.map(|rest| rest.split(':').next().expect("a part")).collect();
    let document = document("docs/architecture.md");
    let (_, section) =
        *document.sections().iter().find(|(title, _)| *title == "The tables").expect("a section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let written: Vec<&str> = rows.map(|row| row.split('`').next().expect("a part")).collect();
    assert_eq!(written, maps);
}

#[test]
fn relative_links_lead_somewhere() {
    let mut followed = 0;
    for document in documents().iter().filter(|document| document.path.ends_with(".md")) {
        let prose = document.prose();
        for rest in prose.split("](").skip(1) {
            let target = rest.split(')').next().expect("a part");
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let here = Path::new(&document.path);
            let path = if file.is_empty() {
                here.to_owned()
            } else {
                here.parent().expect("a directory").join(file)
            };
            assert!(root().join(&path).exists(), "{}: {target}", document.path);
            if !anchor.is_empty() {
                let there = markdown::document(path.to_str().expect("UTF-8"));
                assert!(there.anchors().contains(anchor), "{}: {target}", document.path);
            }
            followed += 1;
        }
    }
    assert!(followed > 20, "only {followed} links were found");
}

#[test]
fn files_that_are_named_exist() {
    const ROOMS: [&str; 7] =
        ["vxlan-common", "vxlan-ebpf", "vxlan-user", "tests", "xtask", "docs", "deploy"];
    let mut named = 0;
    for document in documents() {
        for span in document.spans() {
            let room = span.split('/').next().expect("a part");
            if span.contains('/') && !span.contains(' ') && ROOMS.contains(&room) {
                assert!(root().join(&span).exists(), "{} names {span}", document.path);
                named += 1;
            }
        }
    }
    assert!(named > 20, "only {named} files were found");
}

#[test]
fn no_document_names_a_place_of_one_machine() {
    for Document { path, text } in documents() {
        for place in ["/work/", "/root/", "/home/", "/tmp/", "vxlan-xtask"] {
            assert!(!text.contains(place), "{path} names {place}");
        }
    }
}

#[test]
fn every_vxlan_command_that_is_shown_is_understood() {
    let mut shown = 0;
    for document in documents() {
        for line in command_lines(&document, "vxlan") {
            match Cli::command().try_get_matches_from(line.split(' ')) {
                Err(error) if error.kind() != ErrorKind::DisplayHelp => {
                    panic!("{}: `{line}`: {error}", document.path)
                }
                _ => shown += 1,
            }
        }
    }
    assert!(shown > 20, "only {shown} commands were found");
}

#[test]
fn the_page_of_commands_tells_every_verb_and_option() {
    let page = document("docs/commands.md");
    let cli = Cli::command();
    for verb in cli.get_subcommands() {
        let positional = verb.get_positionals().flat_map(|at| at.get_possible_values());
        let words: Vec<String> = positional.map(|word| format!(" {}", word.get_name())).collect();
        let words = if words.is_empty() { vec![String::new()] } else { words };
        for word in words {
            let row = format!("\n| `vxlan {}{word}` |", verb.get_name());
            assert!(page.text.contains(&row), "the table lacks {row}");
        }
        for argument in cli.get_arguments().chain(verb.get_arguments()) {
            let Some(option) = argument.get_long() else { continue };
            let option = format!("--{option}");
            let spans = page.spans();
            let documented = spans.iter().any(|span| span.split(' ').any(|word| word == option));
            assert!(documented, "docs/commands.md does not mention {option}");
        }
    }
}

#[test]
fn every_option_and_xtask_verb_that_is_named_exists() {
    let cli = Cli::command();
    let of_vxlan: BTreeSet<String> = cli
        .get_subcommands()
        .flat_map(|verb| verb.get_arguments())
        .chain(cli.get_arguments())
        .filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
        .collect();
    let lab = read("xtask/src/run/mod.rs");
    let of_lab = |option: &str| lab.contains(&format!("    {}: ", option.trim_start_matches('-')));
    let verbs = xtask_verbs();
    let mut found = 0;
    for document in documents() {
        for span in document.spans().iter().filter(|span| span.len() > 2 && span.starts_with("--"))
        {
            let option = span.split(' ').next().expect("a part");
            let known = of_vxlan.contains(option) || of_lab(option);
            assert!(known, "{} names {option}", document.path);
            found += 1;
        }
        for line in command_lines(&document, "cargo xtask") {
            let verb = line.split(' ').nth(2).expect("a verb");
            // A word in capitals stands for any verb.
            let any = verb.bytes().all(|byte| byte.is_ascii_uppercase());
            assert!(any || verbs.contains(verb), "{}: `{line}`", document.path);
            found += 1;
        }
    }
    assert!(found > 15, "only {found} were found");
}

/// The variants of xtask's `Verb`, in lower case as clap has them.
fn xtask_verbs() -> BTreeSet<String> {
    let code = read("xtask/src/main.rs");
    let (_, body) = code.split_once("enum Verb {\n").expect("the verbs");
    let (body, _) = body.split_once("\n}").expect("their end");
    let lines = body.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let name = |line: &str| line.split(['(', ',']).next().unwrap_or_default().to_lowercase();
    lines.map(name).collect()
}

fn readme_configurations() -> Vec<Config> {
    let readme = document("README.md");
    let blocks = readme.blocks("toml");
    let parsed = blocks.into_iter().map(|text| {
        config::parse(text, Path::new("README.md"))
            .unwrap_or_else(|errors| panic!("{errors}\n{text}"))
    });
    parsed.collect()
}

#[test]
fn the_readme_s_two_configurations_are_valid_and_mirror_each_other() {
    let configs = readme_configurations();
    let [gcp, aws] = configs.as_slice() else { panic!("{} configurations", configs.len()) };
    for (mine, theirs) in [(gcp, aws), (aws, gcp)] {
        let peer = &mine.peers[0];
        assert_eq!(peer.name.value, theirs.node.name);
        let address = |at: &config::PerFamily| at.v4.map(|at| std::net::IpAddr::V4(at.value));
        let endpoint = peer.endpoint().map(|at| at.ip());
        assert_eq!(endpoint, address(&theirs.underlay.public_address));
        assert_eq!(address(&peer.private_addresses), address(&theirs.underlay.address));
        let (network, other) = (&mine.networks[0], &theirs.networks[0]);
        assert_eq!(network.vni.value, other.vni.value);
        assert_eq!(network.mtu.map(|at| at.value), other.mtu.map(|at| at.value));
        let allowed = network.members[0].allowed_ips[0].value;
        assert!(allowed.contains(&other.addresses[0].value.addr()), "{allowed}");
    }
}

#[test]
fn the_scrape_configuration_has_the_port_that_is_the_default() {
    let config = readme_configurations().remove(0);
    let written = read("deploy/prometheus.yml");
    let targets: Vec<&str> = written.lines().filter(|line| line.contains("targets:")).collect();
    let port = format!(":{}\"]", config.metrics.listen.value.port());
    assert!(!targets.is_empty() && targets.iter().all(|line| line.ends_with(&port)), "{targets:?}");
}
