//! Makes a TCP port inside a namespace reachable at a loopback port of the host. Bytes are passed
//! on as they are. The listener lives in the host's namespace, each outgoing connection in the
//! other.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::netns::Ns;

/// Accepts until dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on 127.0.0.1 at `port`, or at a free one when that is taken: see
    /// [`Proxy::address`]. Connects to `target` inside `ns`.
    pub fn start(ns: &Ns, port: u16, target: SocketAddr) -> Result<Self> {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            }
            other => other,
        }
        .with_context(|| format!("listening on 127.0.0.1:{port}"))?;
        let address = listener.local_addr()?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (ns, stop) = (ns.clone(), Arc::clone(&stopping));
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let Ok(client) = client else { continue };
                // A connection that fails is closed, which is what its client then sees.
                drop(ns.spawn(move || pass_on(&client, target)));
            }
        });
        Ok(Self { address, stopping, thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Wakes the thread out of accept.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Copies both ways until both sides have said all. Runs inside the namespace.
fn pass_on(client: &TcpStream, target: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
    thread::scope(|scope| {
        scope.spawn(|| copy_one_direction(client, &server));
        copy_one_direction(&server, client)
    })
}

fn copy_one_direction(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to);
    // Tells the other side that no more will come, also after an error.
    let _ = to.shutdown(Shutdown::Write);
    copied.map(drop)
}
