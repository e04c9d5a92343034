//! Somebody else's programs in XDP and TC: they pass every packet, and stay until they are dropped.

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
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_XDP: u32 = 37;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
/// Before all others.
const BPF_F_BEFORE: u32 = 1 << 3;
/// `r0 = XDP_PASS; exit`.
const PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
/// `r0 = TC_ACT_OK; exit`: no program behind it sees the packet.
const OK: [u64; 2] = [0xb7, 0x95];

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
        let at = (BPF_XDP, mode as u32);
        Ok(Self { _link: attach(ns, interface, name, (BPF_PROG_TYPE_XDP, &PASS), at)? })
    }
}

/// In TC, attached before all others as long as it is held.
#[derive(Debug)]
pub struct ForeignTcx {
    _link: OwnedFd,
}

impl ForeignTcx {
    pub fn ingress(ns: &Ns, interface: &str, name: &str) -> Result<Self> {
        let at = (BPF_TCX_INGRESS, BPF_F_BEFORE);
        Ok(Self { _link: attach(ns, interface, name, (BPF_PROG_TYPE_SCHED_CLS, &OK), at)? })
    }

    pub fn egress(ns: &Ns, interface: &str, name: &str) -> Result<Self> {
        let at = (BPF_TCX_EGRESS, BPF_F_BEFORE);
        Ok(Self { _link: attach(ns, interface, name, (BPF_PROG_TYPE_SCHED_CLS, &OK), at)? })
    }
}

fn attach(
    ns: &Ns,
    interface: &str,
    name: &str,
    (kind, code): (u32, &'static [u64; 2]),
    (hook, flags): (u32, u32),
) -> Result<OwnedFd> {
    let ifindex = ns.ifindex(interface)?;
    let mut load = Load {
        kind,
        instructions: code.len() as u32,
        code: code.as_ptr() as u64,
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
        let link =
            Link { program: program.as_raw_fd().cast_unsigned(), ifindex, kind: hook, flags };
        // SAFETY: the attribute is whole, and has no pointers.
        unsafe { bpf(BPF_LINK_CREATE, &link) }.context("attaching it")
    })?
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
