//! Changes of the settings that apply to every packet, while the programs run.

use aya::Ebpf;
use vxlan_common::table::GlobalSettings;

use super::{error::DataPlaneError, tables::with_array};

/// Writes our addresses.
pub(super) fn set_addresses(bpf: &mut Ebpf, of: &GlobalSettings) -> Result<(), DataPlaneError> {
    let GlobalSettings { address, address6, .. } = *of;
    change_settings(bpf, |now| GlobalSettings { address, address6, ..now })
}

/// Writes the interface that cuts up packets.
pub(super) fn set_segmenter(bpf: &mut Ebpf, segmenter: u32) -> Result<(), DataPlaneError> {
    change_settings(bpf, |now| GlobalSettings { segmenter, ..now })
}

/// Changes settings, and leaves alone what the programs have written there: the kind of tag.
fn change_settings(
    bpf: &mut Ebpf,
    change: impl FnOnce(GlobalSettings) -> GlobalSettings,
) -> Result<(), DataPlaneError> {
    with_array(bpf, "SETTINGS", |settings| settings.set(0, change(settings.get(&0, 0)?), 0))
}
