//! UDP sockets of the measured hosts: one that reads, as an end of packets, and one that sends.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd as _, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use vxlan_tests::Ns;

use crate::{
    cpu::{bind, measured, run_first, thread_time},
    lanes::{End, Source},
};

/// Datagrams, or merged ones, in one system call.
const BATCH: usize = 64;
const LONGEST: usize = 65_536;
/// More than a sample, should the reader be late.
const RECEIVE_BUFFER: i32 = 1 << 30;
/// `UDP_SEGMENT` and `UDP_GRO` of include/uapi/linux/udp.h.
const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;

/// Does the kernel merge, or cut up, for the socket?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merging {
    Off,
    On,
}

/// What the kernel counts of UDP in a namespace.
pub(crate) fn udp_counter(ns: &Ns, wanted: &str) -> Result<u64> {
    const FILE: &str = "/proc/thread-self/net/snmp";
    let text = ns.exec(|| std::fs::read_to_string(FILE))?.context(FILE)?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = lines.next().zip(lines.next()).context(FILE)?;
    let mut pairs = names.split(' ').zip(values.split(' '));
    let found = pairs.find(|(name, _)| *name == wanted);
    let (_, value) = found.with_context(|| format!("no {wanted} in {FILE}"))?;
    value.parse().context(FILE)
}

/// Where a socket is read, and so what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// On the measured CPU: its time is in the sum.
    Here,
    /// On another one.
    Elsewhere,
}

impl Reader {
    fn cpu(self) -> Result<usize> {
        match self {
            Self::Here => measured(),
            Self::Elsewhere => measured()?.checked_sub(1).context("this needs two CPUs"),
        }
    }
}

fn set_option(socket: &UdpSocket, level: i32, option: i32, value: i32) -> Result<()> {
    // SAFETY: the pointer is to a whole integer, and the length is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    Errno::result(result).with_context(|| format!("option {option} of a socket"))?;
    Ok(())
}

/// A socket with a thread that reads it as soon as there is something: on the measured CPU before
/// the generator goes on, so that what arrives in one batch is read together.
pub(crate) struct ToSocket {
    ns: Ns,
    socket: Arc<UdpSocket>,
    payload: u64,
    merging: Merging,
    on: Reader,
    bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<Result<Result<Duration>>>>,
}

impl ToSocket {
    pub(crate) fn open(
        ns: &Ns,
        port: u16,
        payload: usize,
        merging: Merging,
        on: Reader,
    ) -> Result<Self> {
        let socket = ns.exec(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))??;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)?;
        if merging == Merging::On {
            set_option(&socket, libc::SOL_UDP, UDP_GRO, 1)?;
        }
        // The reader looks now and then whether it is to end.
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(Self {
            ns: ns.clone(),
            socket: Arc::new(socket),
            payload: payload as u64,
            merging,
            on,
            bytes: Arc::default(),
            stop: Arc::default(),
            reader: None,
        })
    }
}

impl End for ToSocket {
    fn open(&mut self) -> Result<()> {
        ensure!(self.reader.is_none(), "the reader is there already");
        self.bytes.store(0, Ordering::Relaxed);
        self.stop.store(false, Ordering::Relaxed);
        let (socket, bytes) = (Arc::clone(&self.socket), Arc::clone(&self.bytes));
        let stop = Arc::clone(&self.stop);
        let (ready, begun) = std::sync::mpsc::channel();
        let cpu = self.on.cpu()?;
        self.reader = Some(self.ns.spawn(move || {
            bind(cpu)?;
            run_first()?;
            // Nobody waits any more when the caller has failed.
            let _ = ready.send(());
            let start = thread_time()?;
            let mut messages = Messages::new();
            while !stop.load(Ordering::Relaxed) {
                let read = messages.receive(socket.as_raw_fd())?;
                bytes.fetch_add(read, Ordering::Relaxed);
            }
            Ok(thread_time()? - start)
        }));
        // If it is gone it says why when it is joined.
        let _ = begun.recv();
        Ok(())
    }

    fn packets(&self) -> Result<u64> {
        let bytes = self.bytes.load(Ordering::Relaxed);
        ensure!(bytes.is_multiple_of(self.payload), "{bytes} bytes are no whole datagrams");
        Ok(bytes / self.payload)
    }

    fn counts_packets(&self) -> bool {
        self.merging == Merging::Off
    }

    fn close(&mut self) -> Result<(Duration, Option<String>)> {
        self.stop.store(true, Ordering::Relaxed);
        let reader = self.reader.take().context("there is no reader")?;
        let time = vxlan_tests::wait::joined(reader.join())??;
        Ok((if self.on == Reader::Here { time } else { Duration::ZERO }, None))
    }
}

/// Room for what is read with one system call.
struct Messages {
    _buffers: Vec<Vec<u8>>,
    _parts: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Messages {
    fn new() -> Self {
        let mut buffers = vec![vec![0_u8; LONGEST]; BATCH];
        let mut parts: Vec<_> = buffers
            .iter_mut()
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            })
            .collect();
        let headers = headers(&mut parts);
        Self { _buffers: buffers, _parts: parts, headers }
    }

    /// Waits for something, and returns how many bytes have come with it; none in the end.
    fn receive(&mut self, socket: RawFd) -> Result<u64> {
        let (headers, count) = (self.headers.as_mut_ptr(), self.headers.len() as u32);
        // SAFETY: each of the headers points to one part, and each part to one buffer with its
        // length. All three live in `self`, on the heap, and have not been touched since.
        let read = unsafe {
            libc::recvmmsg(socket, headers, count, libc::MSG_WAITFORONE, std::ptr::null_mut())
        };
        match Errno::result(read) {
            Ok(read) => {
                let read = usize::try_from(read)?;
                Ok(self.headers[..read].iter().map(|header| u64::from(header.msg_len)).sum())
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(error) => Err(error).context("reading a socket"),
        }
    }
}

/// One for each part.
fn headers(parts: &mut [libc::iovec]) -> Vec<libc::mmsghdr> {
    let header = |part: &mut libc::iovec| {
        // SAFETY: a header is plain data for which all-zero is valid.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        header
    };
    parts.iter_mut().map(header).collect()
}

/// A connected socket that sends.
pub(crate) struct FromSocket {
    ns: Ns,
    socket: UdpSocket,
    /// How many datagrams it hands over at once, and all of their bytes.
    datagrams: usize,
    buffer: Vec<u8>,
}

impl FromSocket {
    /// With `UDP_SEGMENT` up to 64 datagrams are handed over as one.
    pub(crate) fn connect(
        ns: &Ns,
        local: Ipv4Addr,
        to: SocketAddr,
        payload: &[u8],
        merging: Merging,
    ) -> Result<Self> {
        let socket = ns.exec(|| -> Result<UdpSocket> {
            let socket = UdpSocket::bind((local, 10_000))?;
            socket.connect(to)?;
            Ok(socket)
        })??;
        let datagrams = match merging {
            Merging::Off => 1,
            Merging::On => (65_000 / payload.len()).min(64),
        };
        if merging == Merging::On {
            set_option(&socket, libc::SOL_UDP, UDP_SEGMENT, payload.len() as i32)?;
        }
        Ok(Self { ns: ns.clone(), socket, datagrams, buffer: payload.repeat(datagrams) })
    }
}

impl Source for FromSocket {
    fn ns(&self) -> &Ns {
        &self.ns
    }

    fn send(&self, packets: u32) -> Result<u64> {
        let part = libc::iovec {
            iov_base: self.buffer.as_ptr().cast_mut().cast(),
            iov_len: self.buffer.len(),
        };
        let mut parts = vec![part; BATCH];
        let mut headers = headers(&mut parts);
        let mut left = (packets as usize).div_ceil(self.datagrams);
        let mut sent = 0;
        while left > 0 {
            let count = left.min(BATCH) as u32;
            // SAFETY: each of the headers points to one part, each part to the whole buffer, which
            // is only read; all of them outlive the call.
            let result =
                unsafe { libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
            let done = usize::try_from(Errno::result(result).context("sending from a socket")?)?;
            left -= done;
            sent += (done * self.datagrams) as u64;
        }
        Ok(sent)
    }
}
