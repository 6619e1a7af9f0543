//! Lines to a place that may be slow or full: whoever has one to write never waits.
//!
//! A line goes into a buffer of bounded size, and a thread writes what is there in one piece. What does not fit, or cannot
//! be written, is left out and counted, and the place hears of it.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long the thread rests after it has written: what comes meanwhile is written in one piece, and wakes nobody.
const REST: Duration = Duration::from_millis(5);

/// How long the thread waits for a pipe that its other owner has made one that does not block.
const RETRY: Duration = Duration::from_millis(10);

/// The room that an empty buffer keeps, in bytes.
const SPARE_ROOM: usize = 64 << 10;

/// A place that lines are written to. All of it happens on a thread of its own.
pub trait Target: Write + Send + 'static {
    /// Called before each piece: the moment to look whether the place is still the right one, and to take it anew where
    /// somebody has `asked` for that.
    fn refresh(&mut self, _asked: bool) {}

    /// Takes back the last bytes that were written, which are a part of a line; says whether it could.
    fn take_back(&mut self, _bytes: usize) -> bool {
        false
    }

    /// So many lines are missing after what was written so far: for want of room, or because of this error. What is given
    /// back is written in their place.
    fn left_out(&mut self, lines: u64, why: Option<&io::Error>) -> Option<String>;
}

/// What became of lines.
#[derive(Debug, Default)]
pub struct Counts {
    written: AtomicU64,
    left_out: AtomicU64,
}

impl Counts {
    /// Lines that were written.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Lines that were left out.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }
}

/// Takes lines. Its clones share the place, which is let go of with the last of them.
#[derive(Clone)]
pub struct Lines(Arc<Open>);

/// Ends the thread when nobody has lines any more.
struct Open(Arc<Shared>);

struct Shared {
    /// How many bytes may wait.
    room: usize,
    state: Mutex<State>,
    /// There is something to do.
    work: Condvar,
    /// Nothing waits any more.
    idle: Condvar,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    /// Lines that found no room, and that the place has not heard of.
    left_out: u64,
    /// The thread waits for something to do, and must be woken.
    asleep: bool,
    /// The thread has lines that are not written.
    writing: bool,
    /// Somebody waits for the lines to be written: no rest.
    hurry: bool,
    reopen: bool,
    closed: bool,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("counts", &self.0.0.counts).finish_non_exhaustive()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.work.notify_one();
    }
}

impl Lines {
    /// Writes to `target` on a thread called `name`. So many bytes may wait.
    pub fn to(name: &str, target: impl Target, room: usize, counts: Arc<Counts>) -> io::Result<Self> {
        let (state, work, idle) = (Mutex::default(), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { room, state, work, idle, counts });
        let writer = Writer { shared: shared.clone(), target, torn: false };
        thread::Builder::new().name(name.to_owned()).spawn(move || writer.run())?;
        Ok(Self(Arc::new(Open(shared))))
    }

    /// Takes a line, which ends with a line feed, or leaves it out. Never waits.
    pub fn push(&self, line: &[u8]) {
        let shared = &self.0.0;
        let mut state = shared.lock();
        if state.waiting.len().saturating_add(line.len()) > shared.room {
            state.left_out += 1;
            shared.counts.left_out.fetch_add(1, Relaxed);
            return;
        }
        state.waiting.extend_from_slice(line);
        if state.asleep {
            shared.work.notify_one();
        }
    }

    /// Has the place taken anew before the next line, as when its file has been moved away.
    pub fn reopen(&self) {
        self.0.0.lock().reopen = true;
        self.0.0.work.notify_one();
    }

    /// Waits until what was taken is written, for so long at most; says whether it is. Holds up its thread.
    pub fn flush(&self, within: Duration) -> bool {
        let shared = &self.0.0;
        let mut state = shared.lock();
        state.hurry = true;
        shared.work.notify_one();
        let until = Instant::now() + within;
        while state.writing || !state.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = shared.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// As loggers write: a line at a time.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's side.
struct Writer<T> {
    shared: Arc<Shared>,
    target: T,
    /// The last thing at the place is a part of a line.
    torn: bool,
}

/// What there is to do.
struct Piece {
    left_out: u64,
    reopen: bool,
}

impl<T: Target> Writer<T> {
    fn run(mut self) {
        let mut lines = Vec::new();
        while let Some(Piece { left_out, reopen }) = self.next(&mut lines) {
            self.target.refresh(reopen);
            let failed = self.write(&lines);
            let (unwritten, why) = failed.as_ref().map_or((0, None), |(lines, why)| (*lines, Some(why)));
            self.shared.counts.left_out.fetch_add(unwritten, Relaxed);
            // What found no room came after these.
            if left_out + unwritten > 0
                && let Some(note) = self.target.left_out(left_out + unwritten, why)
            {
                self.write(note.as_bytes());
            }
            lines.clear();
            lines.shrink_to(SPARE_ROOM);
        }
    }

    /// Rests, and waits until there is something to do; takes the lines that wait. Nothing once everybody is gone.
    fn next(&self, lines: &mut Vec<u8>) -> Option<Piece> {
        let Shared { work, idle, .. } = &*self.shared;
        let mut state = self.shared.lock();
        state.writing = false;
        if state.waiting.is_empty() {
            state.hurry = false;
            idle.notify_all();
        }
        let busy = |state: &mut State| !state.hurry && !state.closed;
        state = work.wait_timeout_while(state, REST, busy).unwrap_or_else(PoisonError::into_inner).0;
        state.asleep = true;
        let nothing =
            |state: &mut State| state.waiting.is_empty() && state.left_out == 0 && !state.reopen && !state.closed;
        state = work.wait_while(state, nothing).unwrap_or_else(PoisonError::into_inner);
        state.asleep = false;
        let piece = Piece { left_out: std::mem::take(&mut state.left_out), reopen: std::mem::take(&mut state.reopen) };
        if state.waiting.is_empty() && piece.left_out == 0 && state.closed {
            return None;
        }
        std::mem::swap(&mut state.waiting, lines);
        state.writing = true;
        Some(piece)
    }

    /// Writes lines; says how many were not, and why.
    fn write(&mut self, lines: &[u8]) -> Option<(u64, io::Error)> {
        let error = self.end_of_torn().and_then(|()| {
            let mut written = 0;
            while written < lines.len() {
                written += self.write_some(&lines[written..]).map_err(|error| (written, error))?;
            }
            Ok(())
        });
        let (written, error) = match error {
            Ok(()) => (lines.len(), None),
            Err((written, error)) => (written, Some(error)),
        };
        let whole = lines[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.shared.counts.written.fetch_add(count(&lines[..whole]), Relaxed);
        if written > whole {
            self.torn = !self.target.take_back(written - whole);
        }
        error.map(|error| (count(&lines[whole..]), error))
    }

    /// Ends the part of a line that stands there.
    fn end_of_torn(&mut self) -> Result<(), (usize, io::Error)> {
        if self.torn {
            self.write_some(b"\n").map_err(|error| (0, error))?;
            self.torn = false;
        }
        Ok(())
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.target.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(RETRY),
                written => return written,
            }
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}
