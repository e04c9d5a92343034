//! Our filters in the clsact qdisc of an interface: where the kernel has no TCX links, programs of
//! TC are attached so. A filter outlives the process by itself.

use std::mem;

use aya::programs::{
    ProgramError, SchedClassifier, TcAttachType,
    links::Link as _,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact},
};
use vxlan_common::wire::vxlan;

use super::attachment::HookFault;

/// Priorities of our filters: fixed, so that a restart finds them instead of adding more. The first
/// comes before all others; the second is for where another kind of filter has the first, and was
/// the only one in earlier versions.
const PRIORITIES: [u16; 2] = [1, vxlan::PORT];
const HANDLE: TcHandle = TcHandle::new(0, HANDLE_MINOR);
const HANDLE_MINOR: u16 = 1;
/// For the moment in which a filter moves to the front.
const MOVING: TcHandle = TcHandle::new(0, 2);

/// Checks our filter among those of a hook, of which the caller knows priorities and handles in the
/// order in which the kernel runs them.
pub fn filter_fault(filters: &[(u16, u32)]) -> Option<HookFault> {
    let ours = |(priority, handle): &(u16, u32)| {
        PRIORITIES.contains(priority) && *handle == u32::from(HANDLE_MINOR)
    };
    match filters.iter().position(ours) {
        None => Some(HookFault::Detached),
        Some(0) => None,
        Some(_) => Some(HookFault::Behind),
    }
}

/// Removes our `deliver` filter from a clsact qdisc. `false`: there is none.
pub fn detach_deliver_filter(interface: &str) -> bool {
    detach_filter(interface, TcAttachType::Ingress)
}

pub(super) fn detach_filter(interface: &str, at: TcAttachType) -> bool {
    let detached = PRIORITIES.map(|priority| detach_one(interface, at, priority, HANDLE));
    detached.contains(&true)
}

fn detach_one(interface: &str, at: TcAttachType, priority: u16, handle: TcHandle) -> bool {
    SchedClassifierLink::attached(interface, at, priority, handle, None)
        .is_ok_and(|filter| filter.detach().is_ok())
}

/// Puts the program into our filter, at whichever priority that is. `false`: there is none.
pub(super) fn replace_any(
    program: &mut SchedClassifier,
    interface: &str,
    at: TcAttachType,
) -> bool {
    PRIORITIES.iter().any(|priority| replace_one(program, interface, at, *priority))
}

/// Puts the program into our filter of a previous run, in one step. `false`: there is none at the
/// first priority. One at the other priority stays until there is.
pub(super) fn replace_filter(
    program: &mut SchedClassifier,
    interface: &str,
    at: TcAttachType,
) -> bool {
    replace_one(program, interface, at, PRIORITIES[0])
}

fn replace_one(
    program: &mut SchedClassifier,
    interface: &str,
    at: TcAttachType,
    priority: u16,
) -> bool {
    let filter = SchedClassifierLink::attached(interface, at, priority, HANDLE, None);
    let Ok(id) = filter.map_err(ProgramError::from).and_then(|it| program.attach_to_link(it))
    else {
        return false;
    };
    let Ok(link) = program.take_link(id) else { return false };
    // Dropping it would remove the filter.
    mem::forget(link);
    true
}

/// Adds our filter before all others. Where it cannot be there, it comes behind them: that is
/// found, and reported, by whoever looks at the order.
pub(super) fn attach_filter(
    program: &mut SchedClassifier,
    interface: &str,
    at: TcAttachType,
) -> Result<(), ProgramError> {
    match qdisc_add_clsact(interface) {
        Ok(()) | Err(TcError::AlreadyAttached) => {}
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let [first, other] = PRIORITIES;
    if add_filter(program, interface, at, first, HANDLE).is_ok() {
        detach_one(interface, at, other, HANDLE);
        return Ok(());
    }
    if replace_one(program, interface, at, other) {
        return Ok(());
    }
    add_filter(program, interface, at, other, HANDLE)
}

fn add_filter(
    program: &mut SchedClassifier,
    interface: &str,
    at: TcAttachType,
    priority: u16,
    handle: TcHandle,
) -> Result<(), ProgramError> {
    let options = NlOptions { priority, handle, classid: None };
    let id = program.attach_with_options(interface, at, TcAttachOptions::Netlink(options))?;
    // Dropping it would remove the filter, which shall stay when this process ends.
    mem::forget(program.take_link(id)?);
    Ok(())
}

/// Brings our filter in front of another of its priority: the kernel puts a new one in front.
/// `false`: the kernel refuses.
pub(super) fn move_filter(
    program: &mut SchedClassifier,
    interface: &str,
    at: TcAttachType,
) -> bool {
    let [first, _] = PRIORITIES;
    if add_filter(program, interface, at, first, MOVING).is_err() {
        return false;
    }
    detach_one(interface, at, first, HANDLE);
    let moved = add_filter(program, interface, at, first, HANDLE).is_ok();
    moved && detach_one(interface, at, first, MOVING)
}
