//! Follows a connection through the steps of a request, by its reads and writes, and bounds the time of each step.
//!
//! hyper's own limit for heads begins when a connection is idle, and OpenIM's connections are idle for hours. Here it begins
//! with a head's first byte. hyper's own refusals of a head have no body: they are held back, for
//! [`Heads`](super::heads) to answer in their place.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::memory::{NoRoom, Share};

/// A step of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It waits for a request.
    Idle,
    /// A head has begun and is not whole.
    Head,
    /// A request is being answered; its body may still come.
    Call,
    /// A reply is being written.
    Reply,
}

/// The times that steps may take; no time is no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) idle: Option<Duration>,
    pub(crate) head: Duration,
    pub(crate) call: Option<Duration>,
    pub(crate) reply: Duration,
}

/// A step took too long.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0:?} took too long")]
pub(crate) struct Stalled(pub(crate) Step);

/// The step of a connection, and what is counted until it ends.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    step: AtomicU8,
    /// Counts steps: the same one twice has its time twice.
    steps: AtomicU32,
    held: Mutex<Option<Share>>,
}

impl Progress {
    pub(crate) fn step(&self) -> Step {
        match self.step.load(Relaxed) {
            0 => Step::Idle,
            1 => Step::Head,
            2 => Step::Call,
            _ => Step::Reply,
        }
    }

    fn set(&self, step: Step) {
        self.step.store(step as u8, Relaxed);
        self.steps.fetch_add(1, Relaxed);
    }

    /// A head is whole.
    pub(crate) fn begin_call(&self) {
        self.set(Step::Call);
    }

    /// Counts a share until the connection ends.
    pub(crate) fn hold(&self, share: Share) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(share);
    }

    /// Ends when `connection` does, or when a step of it has taken too long.
    pub(crate) async fn within<F: Future>(&self, times: Times, connection: F) -> Result<F::Output, Stalled> {
        let mut connection = pin!(connection);
        // Made for what is slow alone: most connections need no clock.
        let mut limit: Option<(u32, Pin<Box<Sleep>>)> = None;
        poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Ok(ended));
            }
            let (step, count) = (self.step(), self.steps.load(Relaxed));
            let Some(time) = times.of(step) else {
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

impl Times {
    fn of(&self, step: Step) -> Option<Duration> {
        match step {
            Step::Idle => self.idle,
            Step::Head => Some(self.head),
            Step::Call => self.call,
            Step::Reply => Some(self.reply),
        }
    }
}

/// A connection whose reads and writes say how far it is.
pub(crate) struct Watched<L> {
    line: L,
    progress: Arc<Progress>,
    /// The unfinished head, but for its first piece: that lies in the room which each connection has.
    head: Share,
    /// The most bytes of unfinished heads, of all connections.
    room: usize,
    /// True once there was no room for a head.
    no_room: bool,
    /// True where hyper's refusals of heads are held back.
    holds_back: bool,
}

impl<L> Watched<L> {
    /// Counts an unfinished head in `head`: all of them have a quarter of `memory`, in bytes.
    pub(crate) fn new(line: L, progress: Arc<Progress>, head: Share, memory: usize) -> Self {
        Self { line, progress, head, room: memory / 4, no_room: false, holds_back: true }
    }

    /// Lets hyper's own refusals of heads pass.
    pub(crate) fn with_refusals(self) -> Self {
        Self { holds_back: false, ..self }
    }

    /// The connection, and whether there was no room for a head.
    pub(crate) fn into_parts(self) -> (L, Option<NoRoom>) {
        (self.line, self.no_room.then_some(NoRoom))
    }

    fn has_read(&mut self, bytes: usize) -> Result<(), NoRoom> {
        match self.progress.step() {
            Step::Idle => self.progress.set(Step::Head),
            Step::Head => self.head.grow(bytes, self.room).inspect_err(|_| self.no_room = true)?,
            Step::Call => self.head.clear(),
            Step::Reply => {}
        }
        Ok(())
    }
}

impl<L: AsyncRead + Unpin> AsyncRead for Watched<L> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.line).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        Poll::Ready(if read > 0 { self.has_read(read).map_err(io::Error::other) } else { Ok(()) })
    }
}

/// hyper's own refusal of a head: ours have a body, and so do all replies.
fn is_refusal(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 4") && bytes.ends_with(b"\r\n\r\n")
}

impl<L: AsyncWrite + Unpin> AsyncWrite for Watched<L> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let step = self.progress.step();
        if let Step::Idle | Step::Head = step
            && self.holds_back
            && is_refusal(bytes)
        {
            return Poll::Ready(Ok(bytes.len()));
        }
        if step == Step::Call && bytes != b"HTTP/1.1 100 Continue\r\n\r\n" {
            self.head.clear();
            self.progress.set(Step::Reply);
        }
        let written = ready!(Pin::new(&mut self.line).poll_write(cx, bytes))?;
        if written == bytes.len() && self.progress.step() == Step::Reply {
            self.progress.set(Step::Idle);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_flush(cx)
    }

    /// Leaves its side open: a reply to what hyper refused may follow.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
