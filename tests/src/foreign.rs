//! Somebody else's XDP program: it passes every packet, and stays until it is dropped.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};

use crate::netns::Ns;

/// Of include/uapi/linux/bpf.h.
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// `r0 = XDP_PASS; exit`.
const PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];

/// The first fields of `union bpf_attr`. Pointers are numbers there.
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct Link {
    program: u32,
    ifindex: u32,
    kind: u32,
    flags: u32,
}

/// The mode of an XDP program: include/uapi/linux/if_link.h.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    Generic = 1 << 1,
    Native = 1 << 2,
}

/// Attached as long as it is held.
#[derive(Debug)]
pub struct ForeignXdp {
    _link: OwnedFd,
}

impl ForeignXdp {
    /// `name` is what the kernel calls it, of up to 15 characters.
    pub fn attach(ns: &Ns, interface: &str, name: &str, mode: Mode) -> Result<Self> {
        let ifindex = ns.ifindex(interface)?;
        let mut load = Load {
            kind: BPF_PROG_TYPE_XDP,
            instructions: PASS.len() as u32,
            code: PASS.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel: 0,
            flags: 0,
            name: [0; 16],
        };
        load.name[..name.len().min(15)].copy_from_slice(&name.as_bytes()[..name.len().min(15)]);
        ns.exec(|| {
            // SAFETY: the attribute is whole, and what it points to is constant.
            let program = unsafe { bpf(BPF_PROG_LOAD, &load) }.context("loading a program")?;
            let program_number = program.as_raw_fd().cast_unsigned();
            let link = Link { program: program_number, ifindex, kind: BPF_XDP, flags: mode as u32 };
            // SAFETY: the attribute is whole, and has no pointers.
            let link = unsafe { bpf(BPF_LINK_CREATE, &link) }.context("attaching it")?;
            Ok(Self { _link: link })
        })?
    }
}

/// # Safety
/// `attributes` must be what `command` reads, with valid pointers in it.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the pointer is to a whole value of the size passed; the rest is the caller's promise.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>())
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both commands return a descriptor that is new.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}
