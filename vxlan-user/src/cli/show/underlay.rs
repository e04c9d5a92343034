//! `vxlan show underlay`: how packets are received, and why not in a better mode.

use serde_json::{Value, json};
use vxlan_common::table::{TAG_AUTO, TAG_MAC};

use crate::{
    attach_mode::AttachMode, cli::table::Table, daemon::Directories, dataplane::PreviousGeneration,
    metrics::Snapshot,
};

/// Returns how an accepted frame is handed from XDP to TC, as far as that is known: only the first
/// packet tells whether the driver has metadata. `None`: not at all, or not known yet.
pub(super) fn tag(directories: &Directories, snapshot: &Snapshot) -> Option<&'static str> {
    let xdp = snapshot.state.underlay.xdp.as_ref()?;
    if xdp.mode == AttachMode::Off {
        return None;
    }
    let generation = snapshot.state.generations.last()?;
    let settings =
        PreviousGeneration::open(&directories.pins, generation).ok()?.settings().ok()??;
    let received = snapshot.traffic.iter().any(|member| member.counters.rx_packets != 0);
    match settings.tag {
        TAG_MAC => Some("mac"),
        TAG_AUTO if !received => None,
        _ => Some("metadata"),
    }
}

pub(super) fn table(snapshot: &Snapshot, tag: Option<&str>) -> String {
    let underlay = &snapshot.state.underlay;
    let dash = || "-".to_owned();
    let addresses: Vec<_> = underlay.addresses.iter().map(ToString::to_string).collect();
    let xdp = underlay.xdp.as_ref();
    let mut table = Table::new(&["INTERFACE", "XDP", "PROGRAM", "TAG", "TC", "ADDRESSES"]);
    table.row(vec![
        underlay.interface.clone(),
        xdp.map_or_else(dash, |xdp| xdp.mode.label().to_owned()),
        xdp.map_or_else(dash, |xdp| xdp.program_id.to_string()),
        tag.map_or_else(dash, str::to_owned),
        underlay.tc.map_or_else(dash, |tc| tc.hook.label().to_owned()),
        addresses.join(" "),
    ]);
    let mut text = table.render("");
    for refused in xdp.iter().flat_map(|xdp| &xdp.refused) {
        text += &format!("\nno {} XDP: {}\n", refused.mode.label(), refused.reason);
    }
    for reason in xdp.iter().flat_map(|xdp| &xdp.no_redirect) {
        text += &format!("\nno redirect: {reason}\n");
    }
    for fault in &underlay.hooks.faults {
        text += &format!("\nhooks: {fault}\n");
    }
    text
}

pub(super) fn json(snapshot: &Snapshot, tag: Option<&str>) -> Value {
    let underlay = &snapshot.state.underlay;
    let xdp = underlay.xdp.as_ref();
    json!({
        "node": snapshot.state.node,
        "interface": underlay.interface,
        "addresses": underlay.addresses,
        "xdp": xdp.map(|xdp| xdp.mode.label()),
        "program_id": xdp.map(|xdp| xdp.program_id),
        "refused": xdp.map_or(&[][..], |xdp| &xdp.refused),
        "no_redirect": xdp.map_or(&[][..], |xdp| &xdp.no_redirect),
        "tag": tag,
        "hooks": {
            "faults": underlay.hooks.faults,
            "restored": underlay.hooks.restored,
        },
        "tc": underlay.tc.map(|tc| tc.hook.label()),
    })
}
