//! The socket of the service manager (sd_notify(3)). It is opened once, so that notifications also
//! go out when the process is out of file descriptors.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use sd_notify::NotifyState;

/// A socket, and where the manager listens.
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl NotifySocket {
    /// Opens a socket to the manager that the environment names. `None`: it names none.
    pub(super) fn from_environment() -> io::Result<Option<Self>> {
        env::var_os("NOTIFY_SOCKET").map(|name| Self::open(&name)).transpose()
    }

    fn open(name: &OsStr) -> io::Result<Self> {
        let manager = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold up the event loop.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, manager })
    }

    /// Sends one notification.
    pub(super) fn send(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let mut message = String::new();
        for state in states {
            // Writing to a string does not fail.
            let _ = writeln!(message, "{state}");
        }
        self.socket.send_to_addr(message.as_bytes(), &self.manager).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(listener: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = listener.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn a_manager_listens_at_a_path_or_an_abstract_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).expect("a socket");
        let socket = NotifySocket::open(path.as_os_str()).expect("opened");
        socket.send(&[NotifyState::Ready, NotifyState::Status("ok")]).expect("sent");
        assert_eq!(received(&by_path), "READY=1\nSTATUS=ok\n");

        let name = format!("vxlan-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&address).expect("a socket");
        let socket = NotifySocket::open(OsStr::new(&format!("@{name}"))).expect("opened");
        socket.send(&[NotifyState::Watchdog]).expect("sent");
        assert_eq!(received(&by_name), "WATCHDOG=1\n");
    }

    #[test]
    fn a_manager_that_does_not_read_is_an_error_and_no_wait() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).expect("a socket");
        let socket = NotifySocket::open(path.as_os_str()).expect("opened");
        let refused = (0..100_000).find_map(|_| socket.send(&[NotifyState::Watchdog]).err());
        assert_eq!(refused.map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
        drop(listener);
    }
}
