//! Detaching at once. Dropping the last reference to a link detaches it too, but some time later, and
//! an attachment in its place is refused until then.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    path::Path,
};

/// Commands of bpf(2), include/uapi/linux/bpf.h.
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_LINK_DETACH: libc::c_int = 34;

/// The part of `union bpf_attr` that `BPF_OBJ_GET` reads.
#[repr(C)]
struct ObjGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// The part of `union bpf_attr` that `BPF_LINK_DETACH` reads.
#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

/// Detaches the link that is pinned there, and unpins it. Nothing pinned there is no error.
pub(super) fn pinned_link(path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    if !path.exists() {
        return Ok(());
    }
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let get = ObjGet { pathname: name.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: the attribute is whole and its path a C string that outlives the call.
    let fd = unsafe { bpf(BPF_OBJ_GET, &get) }?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    let link = unsafe { OwnedFd::from_raw_fd(fd) };
    let detach = LinkDetach { link_fd: link.as_raw_fd().cast_unsigned() };
    // SAFETY: the attribute is whole and its descriptor open.
    match unsafe { bpf(BPF_LINK_DETACH, &detach) } {
        Ok(_) => {}
        // Its interface is gone, or it is no link that can be detached: then unpinning is all.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOLINK | libc::EOPNOTSUPP)) => {}
        Err(error) => return Err(error),
    }
    std::fs::remove_file(path)
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
