//! `vxlan show drops`: dropped packets by reason, peer and network.

use serde_json::{Value, json};

use crate::{cli::table::Table, metrics::Snapshot};

pub(super) fn table(snapshot: &Snapshot, all: bool) -> String {
    let mut table = Table::new(&["PACKETS", "DIRECTION", "REASON", "PEER", "VNI", "WHAT IT WAS"]);
    let mut drops: Vec<_> = snapshot.drops.iter().filter(|drop| all || drop.packets != 0).collect();
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.packets));
    for drop in drops {
        table.row(vec![
            drop.packets.to_string(),
            drop.reason.direction().to_owned(),
            drop.reason.label().to_owned(),
            drop.peer.as_deref().unwrap_or("-").to_owned(),
            drop.vni.map_or_else(|| "-".to_owned(), |vni| vni.to_string()),
            drop.reason.meaning().trim().to_owned(),
        ]);
    }
    table.render("nothing was dropped")
}

pub(super) fn json(snapshot: &Snapshot, all: bool) -> Value {
    let drops = snapshot.drops.iter().filter(|drop| all || drop.packets != 0).map(|drop| {
        json!({
            "direction": drop.reason.direction(),
            "reason": drop.reason.label(),
            "peer": drop.peer.as_deref(),
            "vni": drop.vni,
            "packets": drop.packets,
        })
    });
    json!({ "node": snapshot.state.node, "drops": drops.collect::<Vec<_>>() })
}
