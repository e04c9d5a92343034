//! A socket for whoever plays hosts on a wire: takes the frames that arrive on an interface, and
//! sends others. What a frame holds is the business of `packet`.

use std::{
    io::ErrorKind,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{
    netns::Ns,
    socket::{self, Receive},
};

const RECEIVE_BUFFER: i32 = 64 << 20;
/// A frame of an Ethernet link, without segments that are still to be cut.
const MAX_FRAME: usize = 2_048;

/// A packet socket on one interface.
#[derive(Debug)]
pub struct FrameSocket {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl FrameSocket {
    /// Opens a socket on an interface of the namespace.
    pub fn open(ns: &Ns, interface: &str) -> Result<Self> {
        let socket = ns.exec(|| socket::packet_socket(interface, Receive::Everything))??;
        socket::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)?;
        Ok(Self { socket, buffer: vec![0; MAX_FRAME] })
    }

    /// Returns the next frame that has arrived, if there is one; without waiting.
    pub fn receive(&mut self) -> Result<Option<&[u8]>> {
        loop {
            match socket::receive(&self.socket, &mut self.buffer) {
                Ok((length, false)) => return Ok(self.buffer.get(..length)),
                // It was sent from here.
                Ok((_, true)) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading from a packet socket"),
            }
        }
    }

    /// Waits until a frame is there, or for that long.
    pub fn wait(&self, longest: Duration) -> Result<()> {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::try_from(longest)?)?;
        Ok(())
    }

    /// Sends frames, as many as the kernel takes; the others are lost like any packet.
    pub fn send<F: AsRef<[u8]>>(&self, frames: &[F]) -> Result<()> {
        let mut rest: Vec<&[u8]> = frames.iter().map(AsRef::as_ref).collect();
        while !rest.is_empty() {
            match socket::send_batch(&self.socket, &rest) {
                Ok(sent) => drop(rest.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let full = matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN));
                    ensure!(full, "sending to a packet socket: {error}");
                    rest.remove(0);
                }
            }
        }
        Ok(())
    }

    /// Returns how many frames there was no room for since the last call.
    pub fn lost(&self) -> Result<u32> {
        Ok(socket::packet_drops(&self.socket)?)
    }
}
