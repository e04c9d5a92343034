//! Holds docs/configuration.md to the code: the keys, their defaults and every example.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::choice::Choice;
use super::super::rules::KERNEL_PORTS;
use super::super::text::schema::{SECTIONS, ValueKind};
use super::super::{
    NestedTunnels, OuterField, PeerSourcePort, PeerUdpChecksum, RedirectMode, ReservedBits,
    RouteTable, SourcePort, TagMode, TcMode, UdpChecksumPolicy, UnknownUnicast, UnknownVni,
    UnspecifiedSource, XdpSetting, parse,
};
use super::{EXAMPLE, edited, read};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    std::fs::read_to_string(path).unwrap()
}

/// A heading "## `[underlay]`" and what stands under it, of all sections of the document.
fn chapters(document: &str) -> Vec<(&str, &str)> {
    document
        .split("\n## ")
        .filter_map(|chapter| {
            let (heading, text) = chapter.split_once('\n')?;
            Some((heading.strip_prefix('`')?.strip_suffix('`')?, text))
        })
        .collect()
}

/// The cells of each row "| `key` | …" of the tables in a chapter.
fn rows(chapter: &str) -> Vec<Vec<&str>> {
    let rows = chapter.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn the_documented_keys_are_the_keys_of_the_code() {
    let document = document();
    let documented: BTreeSet<(String, String)> = chapters(&document)
        .into_iter()
        .flat_map(|(header, text)| {
            rows(text)
                .into_iter()
                .map(move |cells| (header.to_owned(), cells[0].trim_matches('`').to_owned()))
        })
        .collect();
    let accepted: BTreeSet<(String, String)> = SECTIONS
        .iter()
        .flat_map(|section| {
            let values = section.keys.iter().filter(|key| key.kind != ValueKind::Sections);
            values.map(|key| (section.header.to_owned(), key.name.to_owned()))
        })
        .collect();
    assert_eq!(documented, accepted);
}

#[test]
fn every_key_of_the_schema_is_read() {
    // A key that nothing reads would accept a value of any type.
    for section in SECTIONS {
        for key in section.keys {
            let wrong = format!("{} = 1979-05-27", key.name);
            let header = section.header;
            let text = match header {
                "[[network.member]]" => format!("[[network]]\n{header}\n{wrong}\n"),
                _ => format!("{header}\n{wrong}\n"),
            };
            let message = read(&text).unwrap_err().to_string();
            assert!(message.contains(&format!("{wrong} is a date, not ")), "{header} {message}");
        }
    }
}

#[test]
fn the_documented_types_and_defaults_are_those_of_the_code() {
    let document = document();
    let minimal = "[node]\nname = \"gcp\"\n[underlay]\ninterface = \"ens4\"\n";
    let config = read(minimal).unwrap();
    let with_network = "[[network]]\nvni = 1\ninterface = \"v\"\naddresses = [\"10.0.0.1/8\"]\n";
    let network = read(&format!("{minimal}{with_network}")).unwrap().networks.remove(0);
    let number = |field| match field {
        OuterField::Fixed(number) => number.to_string(),
        OuterField::Inherit => "\"inherit\"".to_owned(),
    };
    let mut checked = 0;
    for (header, text) in chapters(&document) {
        let section = SECTIONS.iter().find(|section| section.header == header).unwrap();
        for cells in rows(text) {
            let [name, kind, default, _] = cells[..] else {
                panic!("{header}: a row needs four cells: {cells:?}")
            };
            let key = section.key(name.trim_matches('`')).unwrap();
            assert_eq!(kind, key.kind.name(), "{header} {name}");
            let actual = match (header, key.name) {
                ("[underlay]", "port") => config.underlay.port.to_string(),
                ("[underlay]", "xdp") => format!("\"{}\"", XdpSetting::default().word()),
                ("[underlay]", "source_port") => format!("\"{}\"", SourcePort::default()),
                ("[underlay]", "unknown_vni") => format!("\"{}\"", UnknownVni::default()),
                ("[underlay]", "ttl") => number(config.underlay.ttl),
                ("[underlay]", "dscp") => number(config.underlay.dscp),
                ("[underlay]", "reserved_bits") => format!("\"{}\"", ReservedBits::default()),
                ("[underlay]", "udp_checksum") => format!("\"{}\"", UdpChecksumPolicy::default()),
                ("[[network]]", "broadcast_rate") => network.broadcast_rate.to_string(),
                ("[[network]]", "unknown_unicast") => format!("\"{}\"", UnknownUnicast::default()),
                ("[[network]]", "unspecified_source") => {
                    format!("\"{}\"", UnspecifiedSource::default())
                }
                ("[[network]]", "nested_tunnels") => format!("\"{}\"", NestedTunnels::default()),
                ("[[network]]", "ageing") => network.ageing.to_string(),
                ("[[network]]", "max_stations") => network.max_stations.to_string(),
                ("[[network]]", "blackhole") => network.blackhole.to_string(),
                ("[[network]]", "route_table") => format!("\"{}\"", RouteTable::default()),
                ("[underlay]", "redirect") => format!("\"{}\"", RedirectMode::default()),
                ("[underlay]", "tc") => format!("\"{}\"", TcMode::default()),
                ("[underlay]", "tag") => format!("\"{}\"", TagMode::default()),
                ("[metrics]", "listen") => format!("\"{}\"", config.metrics.listen),
                ("[probe]", "vni") => config.probe.vni.to_string(),
                ("[probe]", "interval") => config.probe.interval.as_secs().to_string(),
                ("[probe]", "keepalive") => config.probe.keepalive.as_secs().to_string(),
                ("[[peer]]", "source_ports") => {
                    format!("\"{}-{}\"", KERNEL_PORTS.start(), KERNEL_PORTS.end())
                }
                ("[[peer]]", "accept_private") => bool::default().to_string(),
                ("[[peer]]", "source_port") => format!("\"{}\"", PeerSourcePort::default()),
                _ => {
                    assert!(!default.starts_with('`'), "{header} {name}: nobody checks {default}");
                    // "required" in the document and a missing key in the code are the same.
                    let message = format!("{header} has no {}. ", key.name);
                    let empty = match header {
                        "[[network.member]]" => format!("{minimal}[[network]]\n{header}\n"),
                        "[node]" => "[node]\n".to_owned(),
                        "[underlay]" => "[underlay]\n".to_owned(),
                        _ => format!("{minimal}{header}\n"),
                    };
                    let refused = read(&empty).is_err_and(|all| all.to_string().contains(&message));
                    assert_eq!(default == "required", refused, "{header} {name}");
                    checked += 1;
                    continue;
                }
            };
            assert_eq!(default, format!("`{actual}`"), "{header} {name}");
            checked += 1;
        }
    }
    assert_eq!(checked, SECTIONS.iter().map(|section| section.keys.len()).sum::<usize>() - 1);
}

#[test]
fn every_word_of_every_list_is_documented_and_accepted() {
    fn words<T: Choice>() -> Vec<&'static str> {
        T::ALL.iter().map(|choice| choice.word()).collect()
    }
    let document = document();
    for (header, key, words, written) in [
        ("[underlay]", "xdp", words::<XdpSetting>(), "xdp = \"auto\""),
        ("[underlay]", "source_port", words::<SourcePort>(), "source_port = \"flow\"\nunknown"),
        ("[underlay]", "unknown_vni", words::<UnknownVni>(), "unknown_vni = \"drop\""),
        ("[underlay]", "redirect", words::<RedirectMode>(), "port = 4789\nxdp"),
        ("[underlay]", "tc", words::<TcMode>(), "port = 4789\nxdp"),
        ("[underlay]", "tag", words::<TagMode>(), "port = 4789\nxdp"),
        ("[underlay]", "reserved_bits", words::<ReservedBits>(), "port = 4789\nxdp"),
        ("[underlay]", "udp_checksum", words::<UdpChecksumPolicy>(), "port = 4789\nxdp"),
        ("[underlay]", "ttl", vec!["inherit"], "port = 4789\nxdp"),
        ("[underlay]", "dscp", vec!["inherit"], "port = 4789\nxdp"),
        ("[[network]]", "unknown_unicast", words::<UnknownUnicast>(), "mtu = 1410\n"),
        ("[[network]]", "unspecified_source", words::<UnspecifiedSource>(), "mtu = 1410\n"),
        ("[[network]]", "nested_tunnels", words::<NestedTunnels>(), "mtu = 1410\n"),
        ("[[network]]", "route_table", words::<RouteTable>(), "mtu = 1410\n"),
        ("[[peer]]", "source_port", words::<PeerSourcePort>(), "source_port = \"flow\"\nkey"),
        ("[[peer]]", "udp_checksum", words::<PeerUdpChecksum>(), "source_port = \"flow\"\nkey"),
    ] {
        let chapters = chapters(&document);
        let (_, text) = chapters.iter().find(|(name, _)| *name == header).unwrap();
        let rows = rows(text);
        let row = rows.iter().find(|cells| cells[0] == format!("`{key}`")).unwrap();
        for word in words {
            assert!(row[3].contains(&format!("`\"{word}\"`")), "{header} {key}: {word}");
            let tail = written.rsplit_once('\n').map_or("", |(_, tail)| tail);
            let text = edited(EXAMPLE, written, &format!("{key} = \"{word}\"\n{tail}"));
            assert!(read(&text).is_ok(), "{text}");
        }
    }
}

#[test]
fn every_example_in_the_document_is_valid() {
    let document = document();
    let examples: Vec<&str> =
        document.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert!(examples.len() >= 5, "{}", examples.len());
    for example in &examples {
        if let Err(errors) = parse(example, Path::new("docs/configuration.md")) {
            panic!("{example}\n{errors}");
        }
    }
    // Each key appears at least once in an example.
    for section in SECTIONS {
        for key in section.keys.iter().filter(|key| key.kind != ValueKind::Sections) {
            let line = format!("{} = ", key.name);
            assert!(
                examples.iter().any(|example| example.lines().any(|at| at.starts_with(&line))),
                "{} {} has no example",
                section.header,
                key.name
            );
        }
    }
}

#[test]
fn what_errors_propose_to_write_is_accepted() {
    let mut text = String::new();
    for section in SECTIONS {
        text += &format!("{}\n", section.header);
        for key in section.keys.iter().filter(|key| key.kind != ValueKind::Sections) {
            text += &format!("{} = {}\n", key.name, key.example);
        }
    }
    if let Err(errors) = read(&text) {
        panic!("{text}\n{errors}");
    }
}

#[test]
fn every_error_shown_in_the_document_is_what_the_code_says() {
    let document = document();
    let documented: Vec<&str> =
        document.lines().filter(|line| line.starts_with("/etc/vxlan/vxlan.toml:")).collect();
    let text = EXAMPLE
        .replace("address = \"10.0.0.2\"", "adress = \"10.0.0.2\"")
        .replace("192.168.44.0/24", "192.168.44.1/24");
    let errors = parse(&text, Path::new("/etc/vxlan/vxlan.toml")).unwrap_err().to_string();
    assert_eq!(documented, errors.lines().collect::<Vec<_>>());
}
