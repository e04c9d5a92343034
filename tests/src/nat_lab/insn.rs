//! BPF instructions by hand, and the two commands of bpf(2) that the harness needs: load and pin.
//! So that no code of the product's, nor of a library that the product uses, is in the test's box.

use std::{
    ffi::CString,
    io,
    mem::size_of,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::{Context as _, Result, bail};

/// `struct bpf_insn`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Insn {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The read-only register with the end of the stack.
pub(super) const STACK: u8 = 10;

impl Insn {
    const fn new(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Self {
        Self { code, registers: from << 4 | to, offset, immediate }
    }

    /// `to = from`
    pub(super) const fn copy(to: u8, from: u8) -> Self {
        Self::new(0xbf, to, from, 0, 0)
    }

    /// `to = value`
    pub(super) const fn set(to: u8, value: i32) -> Self {
        Self::new(0xb7, to, 0, 0, value)
    }

    /// `to += value`
    pub(super) const fn add(to: u8, value: i32) -> Self {
        Self::new(0x07, to, 0, 0, value)
    }

    /// `to = *(u8 *)(from + offset)`
    pub(super) const fn load8(to: u8, from: u8, offset: i16) -> Self {
        Self::new(0x71, to, from, offset, 0)
    }

    /// `to = *(u16 *)(from + offset)`
    pub(super) const fn load16(to: u8, from: u8, offset: i16) -> Self {
        Self::new(0x69, to, from, offset, 0)
    }

    /// `*(u16 *)(to + offset) = value`
    pub(super) const fn store16(to: u8, offset: i16, value: i32) -> Self {
        Self::new(0x6a, to, 0, offset, value)
    }

    /// Goes to the end of the program if `register != value`.
    pub(super) const fn end_unless(register: u8, value: i32) -> Self {
        Self::new(JUMP_UNLESS, register, 0, 0, value)
    }

    /// Calls a helper; arguments are in 1 to 5, the result in 0.
    pub(super) const fn call(helper: i32) -> Self {
        Self::new(0x85, 0, 0, 0, helper)
    }

    /// The whole program: at its end it returns `verdict`.
    pub(super) fn ending_with(mut program: Vec<Self>, verdict: i32) -> Vec<Self> {
        let end = program.len();
        for (at, insn) in program.iter_mut().enumerate() {
            if insn.code == JUMP_UNLESS {
                // Counted from the next instruction; programs here have some dozens.
                insn.offset = (end - at - 1) as i16;
            }
        }
        program.push(Self::set(0, verdict));
        program.push(Self::new(0x95, 0, 0, 0, 0));
        program
    }
}

const JUMP_UNLESS: u8 = 0x55;
const COMMAND_LOAD: libc::c_long = 5;
const COMMAND_PIN: libc::c_long = 6;
const TYPE_SCHED_CLS: u32 = 3;

/// The first fields of `union bpf_attr` for `BPF_PROG_LOAD`. Pointers are numbers there.
#[repr(C)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

/// The same for `BPF_OBJ_PIN`.
#[repr(C)]
struct Pin {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// Loads a program for TC and pins it.
pub(super) fn load_and_pin(program: &[Insn], path: &Path) -> Result<()> {
    let mut log = vec![0_u8; 16 << 10];
    let mut load = Load {
        program_type: TYPE_SCHED_CLS,
        count: u32::try_from(program.len())?,
        instructions: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 1,
        log_size: u32::try_from(log.len())?,
        log: log.as_mut_ptr() as u64,
    };
    // SAFETY: `load` begins as the kernel's structure does and is passed with its size; what it
    // points to are a slice and a buffer with their lengths, and a literal, all alive here.
    let descriptor = match unsafe { bpf(COMMAND_LOAD, &mut load) } {
        Ok(descriptor) => descriptor,
        Err(error) => {
            let verifier_log = String::from_utf8_lossy(&log);
            let verifier_log = verifier_log.trim_end_matches('\0');
            bail!("the kernel refuses the program: {error}\n{verifier_log}");
        }
    };
    // SAFETY: fresh from the kernel, and nobody else owns it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut pin = Pin {
        path: name.as_ptr() as u64,
        descriptor: descriptor.as_raw_fd().cast_unsigned(),
        flags: 0,
    };
    // SAFETY: as above; the path ends with a zero and outlives the call.
    unsafe { bpf(COMMAND_PIN, &mut pin) }
        .with_context(|| format!("pinning a program to {}", path.display()))?;
    Ok(())
}

/// bpf(2).
///
/// # Safety
/// `attributes` must begin as `union bpf_attr` does for this command, and what it points to must be
/// alive and as long as it says.
unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: the pointer is to a live value of the size that is passed; the rest is the caller's.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(io::Error::other)
}
