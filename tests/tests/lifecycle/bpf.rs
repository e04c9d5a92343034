//! Maps made by hand, to be found where others should be. The only unsafe code of the suite.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

// Of enum bpf_cmd, include/uapi/linux/bpf.h.
const MAP_CREATE: i64 = 0;
const OBJ_PIN: i64 = 6;

/// What the state file says of a map, in the order of the kernel's attributes.
const SHAPE: [&str; 5] = ["kind", "key_size", "value_size", "max_entries", "flags"];

/// Puts another map in the place of a pinned one: such as the state describes it, with one number
/// changed.
pub(crate) fn put_in_place(pin: &Path, described: &Value, field: &str, value: u32) -> Result<()> {
    // union bpf_attr, as far as any kernel knows it.
    let mut attributes = [0_u32; 32];
    for (attribute, name) in attributes.iter_mut().zip(SHAPE) {
        let as_described = || described[name].as_u64().context("not described");
        *attribute = if name == field { value } else { u32::try_from(as_described()?)? };
    }
    // SAFETY: the command reads its attributes, which outlive the call, and returns a new
    // descriptor.
    let created = unsafe {
        libc::syscall(libc::SYS_bpf, MAP_CREATE, (&raw const attributes), size_of_val(&attributes))
    };
    let created = i32::try_from(created)?;
    if created < 0 {
        return Err(io::Error::last_os_error()).context("making a map");
    }
    // SAFETY: the descriptor is fresh from the kernel and nobody else owns it.
    let map = unsafe { OwnedFd::from_raw_fd(created) };
    fs::remove_file(pin).with_context(|| pin.display().to_string())?;
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let attributes = [path.as_ptr() as u64, u64::from(map.as_raw_fd().cast_unsigned())];
    // SAFETY: the attributes, a path and a descriptor, outlive the call, and so do path and map.
    let pinned = unsafe {
        libc::syscall(libc::SYS_bpf, OBJ_PIN, (&raw const attributes), size_of_val(&attributes))
    };
    if pinned != 0 {
        return Err(io::Error::last_os_error()).context("pinning a map");
    }
    Ok(())
}
