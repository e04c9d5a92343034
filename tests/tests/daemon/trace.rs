//! `--log trace` tells of every dropped packet; without it nothing does.

use anyhow::{Context as _, Result};
use vxlan_common::reason::RxDrop;

use crate::host::{CONFIG, Host, wait_until};

/// With names, and no number that one would have to look up.
fn message() -> String {
    let reason = RxDrop::UnknownSource.label();
    format!("decap: dropped, {reason}, network 43, from 203.0.113.66 to 203.0.113.2")
}

#[test]
fn trace_tells_of_each_dropped_packet() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    host.daemon.launch_with(&["run", "--log", "trace"])?;
    host.refuses_frames(3)?;
    let reported = || host.daemon.log().matches(&message()).count();
    wait_until("each of the packets is reported", || Ok(reported() >= 3))
        .with_context(|| host.daemon.log())?;
    assert_eq!(reported(), 3, "{}", host.daemon.log());
    host.daemon.stop()
}

#[test]
fn debug_does_not() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    host.daemon.launch_with(&["run", "--log", "debug"])?;
    host.refuses_frames(3)?;
    let mut daemon = host.daemon;
    // Its log is whole once it has ended.
    daemon.terminate()?;
    assert!(!daemon.log().contains("dropped"), "{}", daemon.log());
    daemon.stop()
}
