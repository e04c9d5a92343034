//! Raw sockets: the system calls that they have in common, and the one place of this room's unsafe
//! code for them. What is sent and received is the matter of those who use it.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// include/uapi/linux/icmp.h: at [`libc::SOL_RAW`], a bit for each type that is kept away.
pub(super) const ICMP_FILTER: libc::c_int = 1;
/// include/uapi/linux/icmpv6.h: the same at [`libc::SOL_ICMPV6`], in eight words.
pub(super) const ICMP6_FILTER: libc::c_int = 1;

/// A raw socket of one interface, which does not block, in the network namespace that the calling
/// thread is in. Needs `CAP_NET_RAW`.
pub(super) fn open(family: i32, protocol: i32, interface: &str) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    let socket = unsafe { libc::socket(family, kind, protocol) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is fresh from the kernel, and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    set_option(&socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, interface.as_bytes())?;
    Ok(socket)
}

pub(super) fn set_option<T: ?Sized>(
    socket: &OwnedFd,
    level: i32,
    name: i32,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the pointer is to a live
    // value of the size passed, which the kernel reads as bytes.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of_val(value) as libc::socklen_t,
        )
    };
    if result != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// To be waited for, within a tokio runtime.
pub(super) fn register(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is the same one every time, and is closed only with the registration
    // that owns it.
    unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }.map_err(io::Error::from)
}

/// One message with its sender's address, of which `A` must be the form. Cut off to the buffer's
/// length.
pub(super) fn receive<A>(socket: &OwnedFd, buffer: &mut [u8], from: &mut A) -> io::Result<usize> {
    let mut length = size_of::<A>() as libc::socklen_t;
    // SAFETY: buffer and address are live for the call and passed with their own sizes; `A` is one
    // of libc's socket addresses, plain data of which every bit pattern is a value.
    let received = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            0,
            std::ptr::from_mut(from).cast(),
            &raw mut length,
        )
    };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}
