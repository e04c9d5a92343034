//! What must be true of the host after every change: one program for each hook, one tunnel header
//! for each packet, and of all generations but the last nothing left.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Ns,
    kernel::{self, Feature},
    packet::{VXLAN_PORT, fields},
    sniff::{Captured, Sniffer},
};

use crate::{
    host::{self, Host},
    tunnel::Tunnel,
};

/// One program on every hook, one generation and one file of what was carried, if any.
pub(crate) fn assert_one_of_all(host: &Host, overlays: &[&str]) -> Result<()> {
    host::assert_one_of_each(host, overlays)?;
    let version = names(host.daemon.pin_dir())?;
    ensure!(version.len() == 1, "directories of versions: {version:?}");
    let pins = names(&host.daemon.pin_dir().join(&version[0]))?;
    let (links, generations): (Vec<_>, Vec<_>) =
        pins.into_iter().partition(|name| name.starts_with("link_"));
    ensure!(generations.len() == 1, "generations {generations:?}");
    // Filters are no links.
    let in_tc = if kernel::has(Feature::Tcx)? { 1 + overlays.len() } else { 0 };
    // The segmenter's is there if the kernel could make one.
    let on_underlay = links.iter().filter(|name| *name != "link_segmented").count();
    ensure!(on_underlay == 1 + in_tc, "links {links:?}");
    let files = names(host.daemon.run_dir())?;
    let carried: Vec<_> = files.iter().filter(|name| name.starts_with("carried-")).collect();
    let only = format!("carried-{}.json", generations[0]);
    ensure!(
        carried.iter().all(|name| **name == only),
        "{carried:?} beside generation {generations:?}"
    );
    // The daemon may be writing the record just now.
    host::wait_until("no file is half-written", || {
        Ok(!names(host.daemon.run_dir())?.iter().any(|name| name.ends_with(".new")))
    })
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// While traffic goes both ways: what leaves either host is one Ethernet frame in one tunnel
/// header.
pub(crate) fn assert_depth_is_one(tunnel: &Tunnel) -> Result<()> {
    for ns in [&tunnel.host.pair.a, &tunnel.host.pair.b] {
        depth_is_one(ns)?;
    }
    Ok(())
}

fn depth_is_one(ns: &Ns) -> Result<()> {
    let sniffer = Sniffer::start(ns, "eth0", |frame| frame.len() > 200)?;
    // What has come in and was decapsulated is seen, too.
    let sent = |frames: &[Captured]| frames.iter().filter(|frame| frame.outgoing).count();
    let enough = sniffer.wait_until(Duration::from_secs(10), |frames| sent(frames) >= 20);
    ensure!(enough, "fewer than 20 frames leave eth0 of {}", ns.name());
    let frames = sniffer.finish()?.frames;
    for captured in frames.iter().filter(|frame| frame.outgoing) {
        let frame = &captured.frame;
        let fields = fields(frame);
        let ports = fields.iter().filter(|field| field.name.ends_with("udp dst port"));
        let ports: Vec<u16> = ports
            .map(|at| u16::from_be_bytes([frame[at.range.start], frame[at.range.start + 1]]))
            .collect();
        ensure!(
            ports.len() == 2 && ports[0] == VXLAN_PORT && ports[1] != VXLAN_PORT,
            "UDP ports {ports:?}, from the outside in, in {} bytes: {fields:?}",
            frame.len()
        );
        // Ethernet, IPv4, UDP and VXLAN around the same without VXLAN around 200 bytes.
        ensure!(frame.len() == 50 + 42 + 200, "{} bytes", frame.len());
    }
    Ok(())
}
