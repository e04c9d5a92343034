//! bpf(2), as much of it as the benchmarks need, by hand: instructions, maps, programs, links at
//! hooks, runs of a program on frames. What the programs do is the business of `programs`.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, bail};

// Of include/uapi/linux/bpf.h.
const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const PROG_TEST_RUN: libc::c_int = 10;
const LINK_CREATE: libc::c_int = 28;
const ANY: u64 = 0;
const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_PERCPU_ARRAY: u32 = 6;
const TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// `struct bpf_insn`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Insn {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The end of the stack.
pub(crate) const STACK: u8 = 10;

/// How wide a load or store is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Width {
    Word = 0x00,
    Double = 0x18,
}

impl Insn {
    const fn new(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Self {
        Self { code, registers: from << 4 | to, offset, immediate }
    }

    /// `to = from`
    pub(crate) const fn copy(to: u8, from: u8) -> Self {
        Self::new(0xbf, to, from, 0, 0)
    }

    /// `to = value`
    pub(crate) const fn set(to: u8, value: i32) -> Self {
        Self::new(0xb7, to, 0, 0, value)
    }

    /// `to += value`
    pub(crate) const fn add(to: u8, value: i32) -> Self {
        Self::new(0x07, to, 0, 0, value)
    }

    /// `to <<= count`
    pub(crate) const fn shift_left(to: u8, count: i32) -> Self {
        Self::new(0x67, to, 0, 0, count)
    }

    /// `to = *(width *)(from + offset)`
    pub(crate) const fn load(width: Width, to: u8, from: u8, offset: i16) -> Self {
        Self::new(0x61 | width as u8, to, from, offset, 0)
    }

    /// `*(width *)(to + offset) = from`
    pub(crate) const fn store(width: Width, to: u8, offset: i16, from: u8) -> Self {
        Self::new(0x63 | width as u8, to, from, offset, 0)
    }

    /// `*(u32 *)(to + offset) = value`
    pub(crate) const fn store_value(to: u8, offset: i16, value: i32) -> Self {
        Self::new(0x62, to, 0, offset, value)
    }

    /// Skips so many instructions if `register == value`.
    pub(crate) const fn skip_if_equal(register: u8, value: i32, count: i16) -> Self {
        Self::new(0x15, register, 0, count, value)
    }

    /// Skips so many instructions if `register != value`.
    pub(crate) const fn skip_unless_equal(register: u8, value: i32, count: i16) -> Self {
        Self::new(0x55, register, 0, count, value)
    }

    /// Skips so many instructions if `register < value`.
    pub(crate) const fn skip_if_less(register: u8, value: i32, count: i16) -> Self {
        Self::new(0xa5, register, 0, count, value)
    }

    /// Skips so many instructions if `one <= other`.
    pub(crate) const fn skip_unless_greater(one: u8, other: u8, count: i16) -> Self {
        Self::new(0xbd, one, other, count, 0)
    }

    /// Skips so many instructions if `one >= other`.
    pub(crate) const fn skip_unless_less(one: u8, other: u8, count: i16) -> Self {
        Self::new(0x3d, one, other, count, 0)
    }

    /// Goes on so many instructions ahead, or back.
    pub(crate) const fn jump(count: i16) -> Self {
        Self::new(0x05, 0, 0, count, 0)
    }

    /// Calls a helper; arguments are in 1 to 5, the result in 0.
    pub(crate) const fn call(helper: i32) -> Self {
        Self::new(0x85, 0, 0, 0, helper)
    }

    pub(crate) const fn exit() -> Self {
        Self::new(0x95, 0, 0, 0, 0)
    }

    /// `to = map`, for helpers.
    pub(crate) fn map(to: u8, map: &Map) -> [Self; 2] {
        [Self::new(0x18, to, 1, 0, map.fd.as_raw_fd()), Self::new(0, 0, 0, 0, 0)]
    }

    /// `to = &map[0]`, of an array.
    pub(crate) fn element(to: u8, map: &Map) -> [Self; 2] {
        [Self::new(0x18, to, 2, 0, map.fd.as_raw_fd()), Self::new(0, 0, 0, 0, 0)]
    }
}

/// An array, for each CPU or for all.
#[derive(Debug)]
pub(crate) struct Map {
    fd: OwnedFd,
    value: usize,
    per_cpu: bool,
}

impl Map {
    pub(crate) fn array(value: usize, entries: usize) -> Result<Self> {
        Self::new(MAP_TYPE_ARRAY, value, entries)
    }

    pub(crate) fn per_cpu_array(value: usize) -> Result<Self> {
        Self::new(MAP_TYPE_PERCPU_ARRAY, value, 1)
    }

    fn new(kind: u32, value: usize, entries: usize) -> Result<Self> {
        #[repr(C)]
        struct Create {
            kind: u32,
            key: u32,
            value: u32,
            entries: u32,
        }
        let create =
            Create { kind, key: 4, value: u32::try_from(value)?, entries: u32::try_from(entries)? };
        // SAFETY: the attributes are those of the command, and have no pointers.
        let fd = unsafe { bpf(MAP_CREATE, &create) }.context("making a map")?;
        // SAFETY: the command returns a descriptor that is new.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, value, per_cpu: kind == MAP_TYPE_PERCPU_ARRAY })
    }

    /// Writes an element of an array.
    pub(crate) fn write(&self, index: usize, value: &[u8]) -> Result<()> {
        anyhow::ensure!(!self.per_cpu && value.len() == self.value, "{} bytes", value.len());
        let key = u32::try_from(index)?;
        let access = self.access(&raw const key, value.as_ptr());
        // SAFETY: key and value are as long as the map has them, and alive.
        unsafe { bpf(MAP_UPDATE_ELEM, &access) }.context("writing to a map")?;
        Ok(())
    }

    /// The first element: on each CPU, where it is one for each.
    pub(crate) fn read(&self) -> Result<Vec<Vec<u8>>> {
        let cpus = if self.per_cpu { possible_cpus()? } else { 1 };
        // The kernel writes values for each CPU at multiples of eight bytes.
        let stride = self.value.next_multiple_of(8);
        let mut values = vec![0_u8; stride * cpus];
        let key = 0_u32;
        let access = self.access(&raw const key, values.as_mut_ptr());
        // SAFETY: the key is as long as the map has it; there is room for the values of all CPUs.
        unsafe { bpf(MAP_LOOKUP_ELEM, &access) }.context("reading a map")?;
        Ok(values.chunks(stride).map(|value| value[..self.value].to_vec()).collect())
    }

    fn access(&self, key: *const u32, value: *const u8) -> Access {
        Access {
            map: self.fd.as_raw_fd().cast_unsigned(),
            pad: 0,
            key: key as u64,
            value: value as u64,
            flags: ANY,
        }
    }
}

#[repr(C)]
struct Access {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// How many values the kernel keeps for each CPU.
fn possible_cpus() -> Result<usize> {
    const FILE: &str = "/sys/devices/system/cpu/possible";
    let text = std::fs::read_to_string(FILE).context(FILE)?;
    let last = text.trim().rsplit(['-', ',']).next().unwrap_or_default();
    Ok(last.parse::<usize>().context(FILE)? + 1)
}

/// What a program is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Xdp = 6,
    Tc = 3,
}

/// Where a program is attached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook {
    NativeXdp,
    TcIngress,
    TcEgress,
}

#[derive(Debug)]
pub(crate) struct Program(OwnedFd);

/// An attached program. It goes with this.
#[derive(Debug)]
pub(crate) struct Link {
    _fd: OwnedFd,
}

impl Program {
    pub(crate) fn load(kind: Kind, name: &str, code: &[Insn]) -> Result<Self> {
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
        let mut log = vec![0_u8; 64 << 10];
        let mut load = Load {
            kind: kind as u32,
            instructions: u32::try_from(code.len())?,
            code: code.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel: 0,
            flags: 0,
            name: [0; 16],
        };
        for (to, from) in load.name.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        // SAFETY: the attributes are those of the command; what they point to is as long as they
        // have it, and alive.
        match unsafe { bpf(PROG_LOAD, &load) } {
            // SAFETY: the command returns a descriptor that is new.
            Ok(fd) => Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) })),
            Err(error) => {
                // Once more, for the verifier's reason.
                load.log_level = 1;
                load.log_size = u32::try_from(log.len())?;
                load.log = log.as_mut_ptr() as u64;
                // SAFETY: as before; the log has the length that they have for it.
                let _ = unsafe { bpf(PROG_LOAD, &load) };
                let log = String::from_utf8_lossy(&log);
                bail!("the kernel refuses {name}: {error}\n{}", log.trim_end_matches('\0'));
            }
        }
    }

    /// Attaches it to an interface of the calling thread's namespace.
    pub(crate) fn attach(&self, hook: Hook, ifindex: u32) -> Result<Link> {
        #[repr(C)]
        struct Create {
            program: u32,
            ifindex: u32,
            hook: u32,
            flags: u32,
        }
        // BPF_XDP; BPF_TCX_INGRESS and BPF_TCX_EGRESS, behind all others.
        let (hook, flags) = match hook {
            Hook::NativeXdp => (37, 1 << 2),
            Hook::TcIngress => (46, 0),
            Hook::TcEgress => (47, 0),
        };
        let program = self.0.as_raw_fd().cast_unsigned();
        let create = Create { program, ifindex, hook, flags };
        // SAFETY: the attributes are those of the command, and have no pointers.
        let fd = unsafe { bpf(LINK_CREATE, &create) }.context("attaching a program")?;
        // SAFETY: the command returns a descriptor that is new.
        Ok(Link { _fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Runs an XDP program on so many frames, and the kernel does with them what it returns. Pages
    /// go round, with all that programs have written to them.
    pub(crate) fn run_live(&self, frame: &[u8], count: u32) -> Result<()> {
        #[repr(C)]
        #[derive(Default)]
        struct TestRun {
            program: u32,
            verdict: u32,
            length_in: u32,
            length_out: u32,
            data_in: u64,
            data_out: u64,
            repeat: u32,
            duration: u32,
            context_in_size: u32,
            context_out_size: u32,
            context_in: u64,
            context_out: u64,
            flags: u32,
            cpu: u32,
            batch: u32,
            pad: u32,
        }
        let run = TestRun {
            program: self.0.as_raw_fd().cast_unsigned(),
            length_in: u32::try_from(frame.len())?,
            data_in: frame.as_ptr() as u64,
            repeat: count,
            flags: TEST_XDP_LIVE_FRAMES,
            ..TestRun::default()
        };
        // SAFETY: the attributes are those of the command; the frame is as long as they have it.
        unsafe { bpf(PROG_TEST_RUN, &run) }.context("running a program on live frames")?;
        Ok(())
    }
}

/// # Safety
/// `attributes` must be what `command` reads, with valid pointers in it.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // The kernel writes results into the attributes of some commands, into this copy.
    let mut copy = std::mem::MaybeUninit::<T>::uninit();
    // SAFETY: both are a `T`, of plain numbers; the pointer passed is to the whole copy, which has
    // the size passed; the rest is the caller's promise.
    let result = unsafe {
        copy.as_mut_ptr().copy_from_nonoverlapping(attributes, 1);
        libc::syscall(libc::SYS_bpf, command, copy.as_mut_ptr(), size_of::<T>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}
