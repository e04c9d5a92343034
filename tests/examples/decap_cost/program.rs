//! A loaded program: what the kernel says of it, and one run of it on a packet.

use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result};
use aya::programs::{ProgramFd, ProgramInfo, loaded_programs};

/// The program of that number, and what the kernel says of it.
pub(super) fn program(id: u32) -> Result<(ProgramFd, ProgramInfo)> {
    // Others' may be gone by the time that they are looked at.
    let info = loaded_programs().flatten().find(|info| info.id() == id);
    let info = info.with_context(|| format!("no program {id}"))?;
    Ok((info.fd()?, info))
}

/// `BPF_PROG_TEST_RUN` of include/uapi/linux/bpf.h, as much of its attributes as is not zero. aya
/// runs only programs that it has loaded itself.
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
}

pub(super) fn test_run(program: &ProgramFd, packet: &[u8]) -> Result<u32> {
    const BPF_PROG_TEST_RUN: libc::c_int = 10;
    let mut attributes = TestRun {
        program: program.as_fd().as_raw_fd().cast_unsigned(),
        length_in: packet.len() as u32,
        data_in: packet.as_ptr().addr() as u64,
        ..TestRun::default()
    };
    // SAFETY: the attributes are as long as is said, and outlive the call; the kernel reads the
    // packet, of the length that they have, and writes nothing but the attributes, as there is no
    // `data_out`.
    let result = unsafe {
        let attributes = &raw mut attributes;
        libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, attributes, size_of::<TestRun>())
    };
    nix::errno::Errno::result(result).context("BPF_PROG_TEST_RUN")?;
    Ok(attributes.verdict)
}
