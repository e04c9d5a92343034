//! The commands of bpf(2) that aya does not offer, and membarrier(2). Handles bytes and
//! descriptors; their meaning is the callers' matter.

use std::{
    cell::UnsafeCell,
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

/// Of `enum bpf_cmd`, include/uapi/linux/bpf.h.
const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_GET_NEXT_KEY: libc::c_int = 4;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_LINK_DETACH: libc::c_int = 34;

/// Programs that the kernel lets attach to one hook (kernel/bpf/mprog.c).
const MAX_PROGRAMS: usize = 64;

/// A hook of TC, by its number in `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum TcxHook {
    Ingress = 46,
    Egress = 47,
}

/// Of `enum membarrier_cmd`, include/uapi/linux/membarrier.h.
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// The parts of `union bpf_attr` that the commands read.
#[repr(C)]
struct Object {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

#[repr(C)]
struct Element {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct Info {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

#[repr(C)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    pad: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// What a link of a network device says: the beginning of `struct bpf_link_info`, whose parts for
/// XDP and for TCX both begin with the interface.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeviceLink {
    kind: u32,
    pub(super) id: u32,
    /// Of the program in it.
    pub(super) program: u32,
    pad: u32,
    /// 0: the interface is gone.
    pub(super) ifindex: u32,
    pad_end: u32,
}

/// Opens what is pinned there.
pub(super) fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let name = c_string(path)?;
    let object = Object { pathname: name.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: the attribute is whole and its path a C string that outlives the call.
    let fd = unsafe { bpf(BPF_OBJ_GET, &object) }?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins a program, map or link there.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let name = c_string(path)?;
    let object = Object { pathname: name.as_ptr() as u64, bpf_fd: number(object), file_flags: 0 };
    // SAFETY: as in `pinned`; the descriptor is open.
    unsafe { bpf(BPF_OBJ_PIN, &object) }.map(drop)
}

/// Lists the links in a hook of an interface, in the order in which their programs run. 0 is a
/// program without a link.
pub(super) fn tcx_links(ifindex: u32, hook: TcxHook) -> io::Result<Vec<u32>> {
    let mut programs = [0_u32; MAX_PROGRAMS];
    let mut links = [0_u32; MAX_PROGRAMS];
    // The kernel writes the number of programs to the attribute.
    let query = UnsafeCell::new(Query {
        target_ifindex: ifindex,
        attach_type: hook as u32,
        prog_ids: programs.as_mut_ptr() as u64,
        count: MAX_PROGRAMS as u32,
        link_ids: links.as_mut_ptr() as u64,
        ..Query::default()
    });
    // SAFETY: the attribute is whole and may be written to; the kernel writes no more than `count`
    // numbers to either array, and both outlive the call.
    unsafe { bpf(BPF_PROG_QUERY, &query) }?;
    let present = query.into_inner().count as usize;
    Ok(links[..present.min(MAX_PROGRAMS)].to_vec())
}

/// Returns whether a link is the first of those in a hook of an interface.
pub(super) fn is_first_tcx_link(id: u32, ifindex: u32, hook: TcxHook) -> io::Result<bool> {
    Ok(tcx_links(ifindex, hook)?.first() == Some(&id))
}

/// Returns what a link is attached to.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<DeviceLink> {
    let mut found = DeviceLink::default();
    let info = Info {
        bpf_fd: number(link),
        info_len: size_of_val(&found) as u32,
        info: &raw mut found as u64,
    };
    // SAFETY: the attribute is whole; the kernel writes no more than the length it is given into
    // `found`, which outlives the call and is made of integers alone.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &info) }?;
    Ok(found)
}

/// Puts another program into a link, in one step.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let update = LinkUpdate {
        link_fd: number(link),
        new_prog_fd: number(program),
        flags: 0,
        old_prog_fd: 0,
    };
    // SAFETY: the attribute is whole and its descriptors are open.
    unsafe { bpf(BPF_LINK_UPDATE, &update) }.map(drop)
}

/// Takes a link off its hook now, whoever holds it.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let detach = LinkDetach { link_fd: number(link) };
    // SAFETY: the attribute is whole and its descriptor open.
    match unsafe { bpf(BPF_LINK_DETACH, &detach) } {
        Ok(_) => Ok(()),
        // Its interface is gone, or it is no link that can be detached: it ends with its last
        // holder.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOLINK | libc::EOPNOTSUPP)) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Reads an element. `false`: there is none. For a per-CPU map `value` takes that of every possible
/// CPU, each rounded up to eight bytes; the caller sees to sizes.
pub(super) fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let element = Element {
        map_fd: number(map),
        pad: 0,
        key: key.as_ptr() as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: the pointers are to live buffers, as long as the map's key and value: the callers
    // take the sizes from the map itself.
    found(unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &element) })
}

/// Writes the key behind `key`, or the first one, to `next`. `false`: there is none.
pub(super) fn next_key(
    map: BorrowedFd<'_>,
    key: Option<&[u8]>,
    next: &mut [u8],
) -> io::Result<bool> {
    let element = Element {
        map_fd: number(map),
        pad: 0,
        key: key.map_or(0, |key| key.as_ptr() as u64),
        value: next.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: as in `lookup`; both buffers are keys.
    found(unsafe { bpf(BPF_MAP_GET_NEXT_KEY, &element) })
}

/// Waits until every program that runs now has ended: an RCU grace period, which is what the kernel
/// waits for in this call.
pub fn wait_for_programs() -> io::Result<()> {
    // SAFETY: takes no pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn found(result: io::Result<libc::c_int>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn c_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// bpf(2).
///
/// # Safety
/// `attributes` must be what `command` reads, with valid pointers in it.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the pointer is to a whole value of the size passed; the rest is the caller's promise.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>())
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as libc::c_int)
}
