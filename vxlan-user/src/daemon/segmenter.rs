//! The detour of packets that the programs cannot handle whole (`vxlan-ebpf/src/segment.rs`): the
//! pair of interfaces, and the program behind it. Without it those packets are dropped and counted.

use sha2::{Digest as _, Sha256};

use super::{directories::Directories, preflight::attach_modes};
use crate::{
    config::Config,
    dataplane::{AttachTarget, DataPlane},
    host::{Host, Segmenter, SegmenterNames},
};

/// Names the pair after the run directory: so `down` knows it without a record.
pub(super) fn names(directories: &Directories) -> SegmenterNames {
    let path = directories.run_dir.api_socket();
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let [first, second, ..]: [u8; 32] = digest.into();
    SegmenterNames::new(u16::from_be_bytes([first, second]))
}

/// Makes what is missing of the detour, and opens it.
pub(super) async fn open(
    directories: &Directories,
    host: &Host,
    config: &Config,
    plane: &mut DataPlane,
) -> anyhow::Result<()> {
    let pair = host.ensure_segmenter(&names(directories)).await?;
    attach(directories, config, plane, pair)
}

/// Opens the detour by this pair.
pub(super) fn attach(
    directories: &Directories,
    config: &Config,
    plane: &mut DataPlane,
    pair: Segmenter,
) -> anyhow::Result<()> {
    let on = AttachTarget { interface: &names(directories).exit, ifindex: pair.exit };
    // Nothing may enter before the end is watched.
    plane.attach_segmented(on, attach_modes::tc_hook(config), &directories.pins)?;
    plane.set_segmenter(pair.entrance)?;
    Ok(())
}

/// As [`open`]. A failure is a warning.
pub(super) async fn try_open(
    directories: &Directories,
    host: &Host,
    config: &Config,
    plane: &mut DataPlane,
) {
    if let Err(error) = open(directories, host, config, plane).await {
        tracing::warn!(
            "packets of a tunnel inside an overlay, and packets that were merged before TC, are \
             dropped: {error:#}"
        );
    }
}
