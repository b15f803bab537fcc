//! A connection whose client must read what it asked for.
//!
//! A client that stops reading fills the buffers of the system, and then a write waits without end
//! and holds the answer in memory. Here a write that does not move for a while ends the connection.
//! What hyper answers by itself, before any request reached the router, gets its headers here.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::bare;

/// How long a write may wait for its client to read.
const READ_WITHIN: Duration = Duration::from_secs(20);

/// A stream with a time limit on writes.
pub(super) struct Patient<S> {
    stream: S,
    is_tls: bool,
    /// Since when a write waits, if it does.
    stalled: Option<Pin<Box<Sleep>>>,
    replaced: Option<Replaced>,
}

/// An answer that takes the place of a shorter one.
struct Replaced {
    bytes: Vec<u8>,
    n_written: usize,
    /// How many bytes of the shorter one it stands for.
    stands_for: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Patient<S> {
    pub(super) const fn new(stream: S, is_tls: bool) -> Self {
        Self {
            stream,
            is_tls,
            stalled: None,
            replaced: None,
        }
    }

    /// Ends a write that waits for too long.
    fn in_time<T>(
        &mut self,
        ctx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(Instant::now() + READ_WITHIN))
        });
        ready!(stalled.as_mut().poll(ctx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn write_replaced(&mut self, ctx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while let Some(replaced) = &mut self.replaced {
            let rest = replaced.bytes.get(replaced.n_written..).unwrap_or_default();
            if rest.is_empty() {
                let stands_for = replaced.stands_for;
                self.replaced = None;
                return Poll::Ready(Ok(stands_for));
            }
            let n = match ready!(Pin::new(&mut self.stream).poll_write(ctx, rest)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => n,
                Err(error) => return Poll::Ready(Err(error)),
            };
            replaced.n_written += n;
        }
        Poll::Ready(Ok(0))
    }

    fn replace(&mut self, bytes: &[u8]) {
        if let Some(whole) = bare::completed(bytes, self.is_tls) {
            self.replaced = Some(Replaced {
                bytes: whole,
                n_written: 0,
                stands_for: bytes.len(),
            });
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(ctx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replaced.is_none() {
            self.replace(bytes);
        }
        let written = if self.replaced.is_some() {
            self.write_replaced(ctx)
        } else {
            Pin::new(&mut self.stream).poll_write(ctx, bytes)
        };
        self.in_time(ctx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        let is_head = first.is_some_and(|first| bare::is_bare(first));
        if let Some(first) = first.filter(|_| is_head || self.replaced.is_some()) {
            return self.poll_write(ctx, first);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(ctx, slices);
        self.in_time(ctx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(ctx);
        self.in_time(ctx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(ctx);
        self.in_time(ctx, ended)
    }
}
