//! The record, on disk, of what a daemon made on this host: `show` names it and `down` removes
//! exactly that, also when the daemon is gone. Owns the run directory, nothing in the kernel.

mod carried;
mod holder;
mod host_secret;
mod lock;
mod records;
mod run_dir;

pub use self::{
    lock::Lock,
    records::{
        HooksRecord, HostState, MapEntries, MemberRecord, NarrowPath, NetworkRecord, PeerRecord,
        TcRecord, UnderlayRecord,
    },
    run_dir::{Record, RunDir},
};
