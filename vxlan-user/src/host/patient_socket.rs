//! A netlink socket that sends again where the kernel is short of memory. The connection above it
//! gives up for good with the first error of a send, and everything that is asked of it from then
//! on would fail.

use std::{
    io,
    task::{Context, Poll},
};

use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr, TokioSocket};

/// A socket whose sends wait for memory.
pub(super) struct PatientSocket(TokioSocket);

/// Has the task polled again at once if the error is one that passes.
fn retried<T>(cx: &Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    let passes = |error: &io::Error| {
        matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM | libc::EINTR))
    };
    if let Poll::Ready(Err(error)) = &sent
        && passes(error)
    {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    sent
}

impl AsyncSocket for PatientSocket {
    fn socket_ref(&self) -> &Socket {
        self.0.socket_ref()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        self.0.socket_mut()
    }

    fn new(protocol: isize) -> io::Result<Self> {
        TokioSocket::new(protocol).map(Self)
    }

    fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let sent = self.0.poll_send(cx, buf);
        retried(cx, sent)
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        addr: &SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let sent = self.0.poll_send_to(cx, buf, addr);
        retried(cx, sent)
    }

    fn poll_recv<B: bytes::BufMut>(
        &self,
        cx: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<io::Result<()>> {
        self.0.poll_recv(cx, buf)
    }

    fn poll_recv_from<B: bytes::BufMut>(
        &self,
        cx: &mut Context<'_>,
        buf: &mut B,
    ) -> Poll<io::Result<SocketAddr>> {
        self.0.poll_recv_from(cx, buf)
    }

    fn poll_recv_from_full(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        self.0.poll_recv_from_full(cx)
    }
}
