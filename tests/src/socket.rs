//! Raw packet sockets: the only unsafe network calls of the harness, behind safe functions.

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;

/// Which frames a packet socket gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receive {
    Nothing,
    Everything,
}

/// A packet socket bound to an interface of the calling thread's namespace.
pub(crate) fn packet_socket(interface: &str, receive: Receive) -> Result<OwnedFd> {
    let index = if_nametoindex(interface).with_context(|| format!("interface {interface}"))?;
    // Made deaf: until it is bound it would hear every interface of the namespace.
    // SAFETY: no pointers are passed.
    let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    check(raw).context("opening a packet socket")?;
    // SAFETY: the descriptor is fresh from the kernel and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let protocol = match receive {
        Receive::Nothing => 0,
        Receive::Everything => libc::ETH_P_ALL as u16,
    };
    // SAFETY: sockaddr_ll is plain data for which all-zero is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index.cast_signed();
    // SAFETY: the pointer is to a live sockaddr_ll and the length is its size.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    check(bound).with_context(|| format!("binding a packet socket to {interface}"))?;
    Ok(socket)
}

/// Sets an integer option.
pub(crate) fn set_option(socket: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer is to a live integer and the length is its size.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Frames the socket had no room for since it was asked last.
pub(crate) fn packet_drops(socket: &OwnedFd) -> io::Result<u32> {
    let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: both pointers are to live values, and the length is the size of the first.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut stats).cast(),
            &raw mut length,
        )
    })?;
    Ok(stats.tp_drops)
}

/// One frame without waiting: its length and whether the host itself sent it.
pub(crate) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
    // SAFETY: sockaddr_ll is plain data for which all-zero is valid.
    let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: buffer and address are live for the call and passed with their own sizes.
    let received = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
            (&raw mut from).cast(),
            &raw mut length,
        )
    };
    let bytes = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok((bytes, from.sll_pkttype == libc::PACKET_OUTGOING))
}

/// Sends frames with one system call; how many the kernel took before it refused one.
pub(crate) fn send_batch(socket: &OwnedFd, frames: &[&[u8]]) -> io::Result<usize> {
    let mut parts: Vec<libc::iovec> = frames
        .iter()
        .map(|frame| libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: mmsghdr is plain data for which all-zero is valid.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    // SAFETY: every message points to one iovec of `parts`, every iovec to a frame of `frames`; all
    // three outlive the call, and sending does not write through iov_base.
    let sent = unsafe {
        libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), messages.len() as u32, 0)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
