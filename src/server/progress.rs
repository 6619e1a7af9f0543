//! Tracks the steps of a request by a connection's reads and writes, and limits the time of each step.
//!
//! hyper's own timeout for heads begins when a connection is idle, and OpenIM's connections are idle for hours. Here it begins
//! with a head's first byte. hyper's own refusals of a head have no body: they are suppressed, and
//! [`heads`](super::heads) answers in their place.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::memory::{NoRoom, Share};

/// A step of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::FromRepr)]
pub(crate) enum Step {
    /// It waits for a request.
    Idle,
    /// A head has begun and is incomplete.
    Head,
    /// A request is being answered; its body may still come.
    Call,
    /// A reply is being written.
    Reply,
}

/// The timeouts of the steps; `None` is no limit.
pub(crate) type Timeouts = fn(Step) -> Option<Duration>;

/// A step took too long.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0:?} took too long")]
pub(crate) struct Stalled(pub(crate) Step);

/// The current step of a connection.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    step: AtomicU8,
    /// Number of steps so far: each has its own timeout.
    steps: AtomicU32,
    /// Room in memory that is held until the connection ends.
    held: Mutex<Option<Share>>,
}

impl Progress {
    pub(crate) fn step(&self) -> Step {
        Step::from_repr(self.step.load(Relaxed).into()).unwrap_or(Step::Reply)
    }

    /// Enters a step.
    pub(crate) fn set(&self, step: Step) {
        self.step.store(step as u8, Relaxed);
        self.steps.fetch_add(1, Relaxed);
    }

    /// Holds room in memory until the connection ends.
    pub(crate) fn hold(&self, share: Share) {
        *self.held.lock() = Some(share);
    }

    /// Runs `connection` to its end; an error if a step takes too long.
    pub(crate) async fn within<F: Future>(&self, timeouts: Timeouts, connection: F) -> Result<F::Output, Stalled> {
        let mut connection = pin!(connection);
        // A timer is made for a slow step alone: most connections never need one.
        let mut limit: Option<(u32, Pin<Box<Sleep>>)> = None;
        poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Ok(ended));
            }
            let (step, count) = (self.step(), self.steps.load(Relaxed));
            let Some(time) = timeouts(step) else {
                limit = None;
                return Poll::Pending;
            };
            if limit.as_ref().is_none_or(|(of, _)| *of != count) {
                limit = Some((count, Box::pin(sleep_until(Instant::now() + time))));
            }
            let Some((_, over)) = &mut limit else { return Poll::Pending };
            over.as_mut().poll(cx).map(|()| Err(Stalled(step)))
        })
        .await
    }
}

/// A connection that tracks its progress by its reads and writes.
pub(crate) struct Tracked<S> {
    io: S,
    progress: Arc<Progress>,
    /// The bytes of an incomplete head after its first read: that one fits the buffer which each connection has.
    head: Share,
    /// Maximum bytes of the incomplete heads of all connections.
    max_heads: usize,
    /// True once there was no room for a head.
    no_room: bool,
    /// True if hyper's refusals of heads are suppressed.
    suppresses: bool,
}

impl<S> Tracked<S> {
    /// Counts an incomplete head in `head`: all of them have a quarter of `memory`, in bytes.
    pub(crate) fn new(io: S, progress: Arc<Progress>, head: Share, memory: usize) -> Self {
        Self { io, progress, head, max_heads: memory / 4, no_room: false, suppresses: true }
    }

    /// Lets hyper's own refusals of heads pass.
    pub(crate) fn with_refusals(self) -> Self {
        Self { suppresses: false, ..self }
    }

    /// Returns the connection, and an error if there was no room for a head.
    pub(crate) fn into_parts(self) -> (S, Option<NoRoom>) {
        (self.io, self.no_room.then_some(NoRoom))
    }

    fn count_read(&mut self, bytes: usize) -> Result<(), NoRoom> {
        match self.progress.step() {
            Step::Idle => self.progress.set(Step::Head),
            Step::Head => self.head.grow(bytes, self.max_heads).inspect_err(|_| self.no_room = true)?,
            Step::Call => self.head.clear(),
            Step::Reply => {}
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        Poll::Ready(if read > 0 { self.count_read(read).map_err(io::Error::other) } else { Ok(()) })
    }
}

/// Returns true for hyper's own refusal of a head: all replies of ours have a body.
fn is_refusal(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 4") && bytes.ends_with(b"\r\n\r\n")
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tracked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let step = self.progress.step();
        if let Step::Idle | Step::Head = step
            && self.suppresses
            && is_refusal(bytes)
        {
            return Poll::Ready(Ok(bytes.len()));
        }
        if step == Step::Call && bytes != b"HTTP/1.1 100 Continue\r\n\r\n" {
            self.head.clear();
            self.progress.set(Step::Reply);
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        if written == bytes.len() && self.progress.step() == Step::Reply {
            self.progress.set(Step::Idle);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Leaves the connection open: the reply to a head that hyper refused may follow.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
