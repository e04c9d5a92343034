//! Faults that are planted before a start over a data plane at work: each has its own message and
//! exit code 2, changes nothing on the host, lets traffic go on, and does not stop `vxlan down`
//! from removing all.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vxlan_tests::{cmd, traffic::ping};

use crate::{
    bpf,
    host::{CONFIG, Host, wait_until},
};

/// One line of the tables below.
struct Fault {
    what: &'static str,
    plant: fn(&Host) -> Result<()>,
    /// Programs to run the start under.
    under: fn(&Host) -> Vec<String>,
    /// All that is said, after `vxlan: `; `…` stands for what a library says.
    sentence: fn(&Host) -> Result<String>,
    down: Down,
}

/// What `vxlan down` does with the fault still there.
enum Down {
    Works,
    /// It says the same as the start; once the fault is mended, it works.
    SaysSo(fn(&Host) -> Result<()>),
}

fn nothing(_: &Host) -> Result<()> {
    Ok(())
}

fn directly(_: &Host) -> Vec<String> {
    Vec::new()
}

/// In a mount namespace of its own.
fn after_mounting(how: &str) -> Vec<String> {
    let script = format!("{how} && exec \"$@\"");
    ["unshare", "--mount", "sh", "-ec", &script, "sh"].map(str::to_owned).to_vec()
}

fn without(capability: &str) -> Vec<String> {
    ["setpriv", "--bounding-set", capability].map(str::to_owned).to_vec()
}

fn state_file(host: &Host) -> PathBuf {
    host.daemon.run_dir().join("state.json")
}

fn state(host: &Host) -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(state_file(host))?)?)
}

/// The directory of the generation at work.
fn generation(host: &Host) -> Result<PathBuf> {
    let state = state(host)?;
    let generation = &state["generations"][0];
    let dir = host.daemon.pin_dir().join(format!("v{}", generation["abi"]));
    Ok(dir.join(generation["number"].to_string()))
}

fn map(host: &Host, name: &str) -> Result<PathBuf> {
    Ok(generation(host)?.join(name))
}

fn another_map(host: &Host, field: &str, value: u32) -> Result<()> {
    let state = state(host)?;
    let maps = state["generations"][0]["maps"].as_array().context("no maps")?;
    let fdb = maps.iter().find(|map| map["name"] == "FDB").context("no FDB")?;
    bpf::put_in_place(&map(host, "fdb")?, fdb, field, value)
}

fn something_else(host: &Host, what: &str) -> Result<()> {
    let counters = map(host, "counters")?;
    let version = generation(host)?.parent().context("no parent")?.to_owned();
    let other = match what {
        "link" => version.join("link_decap"),
        _ => map(host, "prog_decap")?,
    };
    fs::remove_file(&counters)?;
    fs::hard_link(&other, &counters).with_context(|| other.display().to_string())
}

fn not_the_map(host: &Host, map_name: &str, what: &str) -> Result<String> {
    Ok(format!(
        "{}: this is not the map that the daemon pinned ({what}). Somebody has put another one \
        there: \
         find out who with `bpftool map show pinned PATH`; `vxlan down` removes all pins",
        map(host, map_name)?.display()
    ))
}

fn not_a_map(host: &Host, why: &str) -> Result<String> {
    Ok(format!(
        "{}: {why}. It belongs to what the daemon left at work; without it nothing can go over to \
        a new \
         start. `vxlan down` removes the rest, and ends the traffic",
        map(host, "counters")?.display()
    ))
}

const PINS: &[Fault] = &[
    Fault {
        what: "a map of another type",
        // BPF_MAP_TYPE_PERCPU_HASH
        plant: |host| another_map(host, "kind", 5),
        under: directly,
        sentence: |host| not_the_map(host, "fdb", "type 5, should be 1"),
        down: Down::Works,
    },
    Fault {
        what: "a map of another size",
        plant: |host| another_map(host, "max_entries", 77),
        under: directly,
        sentence: |host| not_the_map(host, "fdb", "entries 77, should be 16384"),
        down: Down::Works,
    },
    Fault {
        what: "a map with longer values",
        plant: |host| another_map(host, "value_size", 64),
        under: directly,
        sentence: |host| not_the_map(host, "fdb", "value size 64, should be 12"),
        down: Down::Works,
    },
    Fault {
        what: "a map with other flags",
        // BPF_F_ZERO_SEED, beside BPF_F_NO_PREALLOC.
        plant: |host| another_map(host, "flags", 1 << 6 | 1),
        under: directly,
        sentence: |host| not_the_map(host, "fdb", "flags 65, should be 1"),
        down: Down::Works,
    },
    Fault {
        what: "a program where a map should be",
        plant: |host| something_else(host, "program"),
        under: directly,
        sentence: |host| not_the_map(host, "counters", "…"),
        down: Down::Works,
    },
    Fault {
        what: "a link where a map should be",
        plant: |host| something_else(host, "link"),
        under: directly,
        sentence: |host| not_the_map(host, "counters", "…"),
        down: Down::Works,
    },
    Fault {
        what: "a missing map",
        plant: |host| Ok(fs::remove_file(map(host, "counters")?)?),
        under: directly,
        sentence: |host| not_a_map(host, "…"),
        down: Down::Works,
    },
];

const SURROUNDINGS: &[Fault] = &[
    Fault {
        what: "pins that cannot be written",
        plant: nothing,
        under: |host| {
            after_mounting(&format!("mount -o remount,bind,ro {}", host.pair.run.bpffs().display()))
        },
        sentence: |host| {
            // Where the next generation would be.
            let now = generation(host)?;
            let number = now.file_name().and_then(|name| name.to_str()).context("no number")?;
            let next = now.with_file_name((number.parse::<u64>()? + 1).to_string());
            Ok(format!("{}: Read-only file system (os error 30)", next.display()))
        },
        down: Down::Works,
    },
    Fault {
        what: "no BPF file system",
        plant: nothing,
        under: |host| after_mounting(&format!("umount -l {}", host.pair.run.bpffs().display())),
        sentence: |host| {
            Ok(format!(
                "{}: {} is not on a BPF file system, which pins need. Mount one: `mount -t bpf bpf \
                 /sys/fs/bpf`, or name another place with --pin-dir",
                host.daemon.pin_dir().display(),
                host.pair.run.bpffs().display()
            ))
        },
        down: Down::Works,
    },
    Fault {
        what: "a run directory that cannot be written",
        plant: nothing,
        under: |host| {
            let dir = host.daemon.run_dir().display();
            after_mounting(&format!("mount --bind {dir} {dir} && mount -o remount,bind,ro {dir}"))
        },
        sentence: |host| {
            Ok(format!(
                "{}: Read-only file system (os error 30); name another run directory with \
                --run-dir",
                host.daemon.run_dir().join("lock").display()
            ))
        },
        down: Down::Works,
    },
    Fault {
        what: "no right to change the network",
        plant: nothing,
        under: |_| without("-net_admin"),
        sentence: |_| {
            Ok(missing("CAP_NET_ADMIN (for interfaces, routes and attaching programs to them)"))
        },
        down: Down::Works,
    },
    Fault {
        what: "no right to raw sockets",
        plant: nothing,
        under: |_| without("-net_raw"),
        sentence: |_| Ok(missing("CAP_NET_RAW (for probes and for hearing ICMP)")),
        down: Down::Works,
    },
    Fault {
        what: "no right to load programs",
        plant: nothing,
        under: |_| without("-sys_admin,-bpf"),
        sentence: |_| Ok(missing("CAP_BPF (for loading programs and making maps)")),
        down: Down::Works,
    },
    Fault {
        what: "no right to programs that compare",
        plant: nothing,
        under: |_| without("-sys_admin,-perfmon"),
        sentence: |_| {
            Ok(missing("CAP_PERFMON (for programs that compare the addresses of packets)"))
        },
        down: Down::Works,
    },
];

fn missing(capability: &str) -> String {
    format!("missing {capability}: run as root, or give the service these capabilities")
}

fn damaged(host: &Host, file: &str, after: &str) -> String {
    let path = host.daemon.run_dir().join(file);
    format!("{}: …: the file is damaged. {after}", path.display())
}

fn carried(host: &Host) -> Result<String> {
    Ok(format!("carried-{}.json", state(host)?["generations"][0]["number"]))
}

const FILES: &[Fault] = &[
    Fault {
        what: "a state of a newer version",
        plant: |host| {
            let mut state = state(host)?;
            state["format"] = 2.into();
            Ok(fs::write(state_file(host), state.to_string())?)
        },
        under: directly,
        sentence: |host| {
            Ok(format!(
                "{}: written by a newer version (format 2, this program knows 1). Traffic goes on, \
                and \
                 nothing was changed. Start that version, or remove what it made with its `vxlan \
                     down`",
                state_file(host).display()
            ))
        },
        down: Down::SaysSo(|host| {
            let mut state = state(host)?;
            state["format"] = 1.into();
            Ok(fs::write(state_file(host), state.to_string())?)
        }),
    },
    Fault {
        what: "a directory instead of the state",
        plant: |host| {
            fs::remove_file(state_file(host))?;
            Ok(fs::create_dir(state_file(host))?)
        },
        under: directly,
        sentence: |host| {
            Ok(format!(
                "{}: Is a directory (os error 21); name another run directory with --run-dir",
                state_file(host).display()
            ))
        },
        down: Down::SaysSo(|host| Ok(fs::remove_dir(state_file(host))?)),
    },
    Fault {
        what: "damaged counts of previous generations",
        plant: |host| {
            let path = host.daemon.run_dir().join(carried(host)?);
            let text = fs::read_to_string(&path)?;
            Ok(fs::write(path, &text[..text.len() / 2])?)
        },
        under: directly,
        sentence: |host| {
            let after = "Without it counters would go backwards: remove it if they may";
            Ok(damaged(host, &carried(host)?, after))
        },
        down: Down::Works,
    },
];

/// A start fails with this fault, and nothing else happens. The data plane is there before, and
/// gone afterwards.
fn fails(host: &mut Host, fault: &Fault) -> Result<()> {
    let what = fault.what;
    let pristine = host.state()?;
    host.daemon.launch()?;
    host.daemon.terminate()?;
    // Twice, so that there are previous counts.
    host.daemon.launch()?;
    host.daemon.terminate()?;
    introduce(host)?;
    host.assert_ping(what)?;
    (fault.plant)(host)?;
    let before = host.state()?;
    let sentence = (fault.sentence)(host)?;
    let under = (fault.under)(host);
    let under: Vec<&str> = under.iter().map(String::as_str).collect();
    let out = host.vxlan_under(&under, &["run"])?;
    assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""), "{what}: {}", out.stderr);
    assert_says(&out, &sentence, what);
    host.state()?.assert_is(&before, what);
    host.assert_ping(&format!("after {what}"))?;
    if let Down::SaysSo(mend) = &fault.down {
        let out = host.vxlan(&["down"])?;
        assert_eq!(out.status.code(), Some(2), "`down` with {what}");
        assert_says(&out, &sentence, what);
        host.state()?.assert_is(&before, "`down`");
        mend(host)?;
    }
    all_goes(host, what)?;
    host.state()?.assert_is(&pristine, what);
    Ok(())
}

#[track_caller]
fn assert_says(out: &cmd::Output, sentence: &str, what: &str) {
    let sentence = format!("vxlan: {sentence}\n");
    // A line of the log may come before.
    let last = out.stderr.rfind("\nvxlan: ").map_or(0, |line| line + 1);
    let last = &out.stderr[last..];
    let as_expected = match sentence.split_once('…') {
        Some((begin, end)) => last.starts_with(begin) && last.ends_with(end),
        None => last == sentence,
    };
    assert!(as_expected, "{what}:\n{}instead of\n{sentence}", out.stderr);
}

/// `a` and its daemon remember a MAC address that went with `down`, until `b` speaks.
fn introduce(host: &Host) -> Result<()> {
    wait_until("b is heard", || {
        host.pair.a.run("ip neigh flush dev vxlan43")?;
        let (a, b) = ([192, 168, 43, 1].into(), [192, 168, 44, 1].into());
        Ok(ping(&host.pair.b, Some(b), a, 1)?.received > 0)
    })
}

fn all_goes(host: &Host, what: &str) -> Result<cmd::Output> {
    let out = host.vxlan(&["down"])?;
    ensure!(out.status.code() == Some(0), "`down` after {what}: {}", out.stderr);
    let left = host.ns().run("ip -br link")?;
    ensure!(!left.contains("vx"), "`down` after {what} leaves {left}");
    Ok(out)
}

fn each(faults: &[Fault]) -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let other = host.start_peer()?;
    // A file of somebody else keeps the directory in its place.
    fs::write(host.daemon.run_dir().join("note"), "kept")?;
    for fault in faults {
        fails(&mut host, fault).with_context(|| fault.what.to_owned())?;
    }
    other.stop()
}

#[test]
fn in_the_pins() -> Result<()> {
    each(PINS)
}

#[test]
fn in_the_surroundings() -> Result<()> {
    each(SURROUNDINGS)
}

#[test]
fn in_the_files() -> Result<()> {
    each(FILES)
}

/// Whatever a crash of the machine has left of the state.
#[test]
fn in_a_state_that_is_cut_off() -> Result<()> {
    let (mut host, other) = Host::up(&CONFIG)?;
    host.daemon.terminate()?;
    let whole = fs::read(state_file(&host))?;
    // JSON that is cut off anywhere but behind its last bracket is none.
    for part in 0..=16 {
        let length = (whole.len() - 1) * part / 16;
        fs::write(state_file(&host), &whole[..length])?;
        let before = host.state()?;
        let sentence = damaged(
            &host,
            "state.json",
            "Traffic goes on, and nothing was changed. `vxlan down` removes what is pinned, and \
            then a \
             start is possible",
        );
        for verb in ["run", "check", "show"] {
            let out = host.vxlan(&[verb])?;
            assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""), "{length} {verb}");
            assert_says(&out, &sentence, &format!("{length} bytes, {verb}"));
            host.state()?.assert_is(&before, &format!("{length} bytes of the state, {verb}"));
        }
    }
    host.assert_ping("without the state")?;
    fs::write(state_file(&host), &whole)?;
    host.daemon.launch()?;
    host.assert_ping("with the state again")?;
    host.daemon.terminate()?;
    fs::write(state_file(&host), &whole[..whole.len() / 2])?;
    all_goes(&host, "a state that is cut off")?;
    host.daemon.launch()?;
    introduce(&host)?;
    host.assert_ping("after `down`")?;
    host.daemon.stop()?;
    other.stop()
}
