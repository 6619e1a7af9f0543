//! A non-blocking line writer: a background thread writes, and lines that do not fit are dropped and counted.
//!
//! The log and the decision log use it. It is our own code, as no crate was found that keeps these promises:
//!
//! - A caller never waits for the sink, and the queue is bounded in bytes.
//! - Lines never run into each other: after a write error a partial line is truncated, or, where that is impossible (a
//!   pipe), ended with a line feed.
//! - Every dropped line is counted and reported, whether the queue was full or a write failed.
//! - A sink can follow a file that log rotation has moved away.
//!
//! `tracing-appender`'s `NonBlocking` bounds its queue in lines, ignores write errors without counting them, leaves partial
//! lines as they are, and does not follow rotation (tokio-rs/tracing#1276).

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Pause after each write: lines pushed meanwhile are written together, and wake no thread.
const PAUSE: Duration = Duration::from_millis(5);

/// Pause before a write is tried again after `WouldBlock`: a process that shares the pipe may have set `O_NONBLOCK`.
const RETRY: Duration = Duration::from_millis(10);

/// A destination of lines. All of its methods are called on the background thread.
pub trait Sink: Send + 'static {
    /// Writes bytes, as [`Write::write`] does.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Reopens the sink if it was rotated. Called before each batch of lines.
    fn reopen_if_rotated(&mut self);

    /// Removes the last `bytes` bytes, which are a partial line. Returns true if it could.
    fn truncate(&mut self, bytes: usize) -> bool;
}

/// The settings of a writer.
#[derive(Debug)]
pub struct Options {
    /// Maximum bytes queued. As many again can be in the batch that is being written.
    pub capacity: usize,
    /// Minimum time between two reports of dropped lines.
    pub report_interval: Duration,
    /// Makes the report of dropped lines: gets their number since the last report, and the last write error if there was
    /// one. The returned text is written where the lines are missing; if that fails, they are reported again later.
    /// `None` writes nothing.
    pub report: fn(u64, Option<&io::Error>) -> Option<String>,
}

/// Counters of lines.
#[derive(Debug, Default)]
pub struct Counts {
    /// Lines written.
    pub written: AtomicU64,
    /// Lines dropped.
    pub dropped: AtomicU64,
}

/// A handle to push lines. Clones share the sink, which is closed when the last of them is dropped.
#[derive(Debug, Clone)]
pub struct NonBlocking {
    queue: Sender<Message>,
    shared: Arc<Shared>,
}

struct Message {
    /// Empty for a flush.
    line: Vec<u8>,
    /// Dropped when all lines before it are written or lost.
    flush: Option<Sender<()>>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    /// Bytes queued.
    queued: AtomicUsize,
    /// Lines dropped by `push` that the thread has not yet added to its own count.
    dropped: AtomicU64,
    counts: Arc<Counts>,
}

impl NonBlocking {
    /// Starts a thread called `name` that writes to `sink`.
    pub fn start(name: &str, sink: impl Sink, options: Options, counts: Arc<Counts>) -> io::Result<Self> {
        let (queue, messages) = channel();
        let shared = Arc::new(Shared { options, queued: AtomicUsize::new(0), dropped: AtomicU64::new(0), counts });
        let worker = Worker { shared: shared.clone(), sink, torn: false, dropped: 0, error: None, reported: None };
        thread::Builder::new().name(name.to_owned()).spawn(move || worker.run(&messages))?;
        Ok(Self { queue, shared })
    }

    /// Queues a line, which ends with a line feed, or drops it if the queue is full. Never waits for the sink.
    pub fn push(&self, line: Vec<u8>) {
        let Shared { options, queued, dropped, counts } = &*self.shared;
        // What the line occupies.
        let bytes = line.capacity();
        let fits = queued.fetch_add(bytes, Relaxed).saturating_add(bytes) <= options.capacity;
        if !fits || self.queue.send(Message { line, flush: None }).is_err() {
            queued.fetch_sub(bytes, Relaxed);
            dropped.fetch_add(1, Relaxed);
            counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Blocks until every line queued before is written or dropped, at most for `timeout`. Returns true if that happened in
    /// time.
    pub fn flush(&self, timeout: Duration) -> bool {
        let (flush, done) = channel();
        self.queue.send(Message { line: Vec::new(), flush: Some(flush) }).is_ok()
            && done.recv_timeout(timeout) == Err(RecvTimeoutError::Disconnected)
    }
}

/// For `tracing-subscriber`, which writes a line at a time.
impl Write for NonBlocking {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The state of the background thread.
struct Worker<S> {
    shared: Arc<Shared>,
    sink: S,
    /// Set if the sink ends with a partial line.
    torn: bool,
    /// Lines dropped since the last report, and the last error that dropped some.
    dropped: u64,
    error: Option<io::Error>,
    reported: Option<Instant>,
}

impl<S: Sink> Worker<S> {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            let (mut batch, mut flushes, mut taken) = (Vec::new(), Vec::new(), 0);
            for message in [first].into_iter().chain(messages.try_iter()) {
                batch.extend_from_slice(&message.line);
                taken += message.line.capacity();
                flushes.extend(message.flush);
            }
            // Release the bytes before taking the count: a line dropped until now follows this batch and is reported with it;
            // one dropped later follows lines that are still queued, and is reported after those.
            self.shared.queued.fetch_sub(taken, Relaxed);
            self.dropped += self.shared.dropped.swap(0, Relaxed);
            self.sink.reopen_if_rotated();
            let (lost, error) = self.write(&batch);
            self.shared.counts.dropped.fetch_add(lost, Relaxed);
            self.dropped += lost;
            self.error = error.or(self.error);
            if self.reported.is_none_or(|at| at.elapsed() >= self.shared.options.report_interval) {
                self.report_dropped();
            }
            // Ends the flushes that wait for this batch.
            drop(flushes);
            thread::park_timeout(PAUSE);
        }
        self.report_dropped();
    }

    /// Writes lines. Returns the number of those that were lost, and the error that lost them.
    fn write(&mut self, lines: &[u8]) -> (u64, Option<io::Error>) {
        let (mut rest, mut error) = (lines, None);
        while !rest.is_empty() && error.is_none() {
            match self.sink.write(if self.torn { b"\n" } else { rest }) {
                Ok(0) => error = Some(ErrorKind::WriteZero.into()),
                Ok(_) if self.torn => self.torn = false,
                Ok(written) => rest = &rest[written..],
                Err(failed) if matches!(failed.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {
                    thread::park_timeout(RETRY);
                }
                Err(failed) => error = Some(failed),
            }
        }
        let written = &lines[..lines.len() - rest.len()];
        let count = |lines: &[u8]| lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.shared.counts.written.fetch_add(count(&lines[..whole]), Relaxed);
        if written.len() > whole {
            self.torn = !self.sink.truncate(written.len() - whole);
        }
        (count(&lines[whole..]), error)
    }

    /// Reports dropped lines, if there are any.
    fn report_dropped(&mut self) {
        if self.dropped > 0 {
            self.reported = Some(Instant::now());
            let note = (self.shared.options.report)(self.dropped, self.error.as_ref());
            if note.is_none_or(|note| self.write(note.as_bytes()).0 == 0) {
                self.dropped = 0;
                self.error = None;
            }
        }
    }
}
