//! Limits on work: policy calls in flight, and threads for long bodies.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

/// Largest body in bytes that is worked on where it was read: that takes a few milliseconds at most, some 50 µs for what OpenIM
/// sends.
const LONGEST: usize = 64 << 10;

/// The time after the deadline in which the reply to a long body may still be made, of OpenIM's timeout less the budget.
pub(super) const REPLY_GRACE: Duration = Duration::from_millis(200);

/// Returns true if work on a body of this many bytes belongs on another thread.
pub(super) fn is_long(bytes: usize) -> bool {
    bytes > LONGEST
}

/// The policy calls in flight about Before callbacks.
#[derive(Debug, Default)]
pub(super) struct Calls(AtomicUsize);

/// A policy call in flight.
pub(super) struct InFlight<'a> {
    calls: &'a Calls,
    /// Calls in flight when it began, this one included.
    pub(super) number: usize,
}

impl Calls {
    /// Returns the number of calls in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.0.load(Relaxed)
    }

    pub(super) fn begin(&self) -> InFlight<'_> {
        InFlight { calls: self, number: self.0.fetch_add(1, Relaxed) + 1 }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.calls.0.fetch_sub(1, Relaxed);
    }
}

/// Threads for work on long bodies: the caller chooses how long that takes, and a thread of the runtime may be the only one.
/// As many are busy at a time as there are cores.
#[derive(Debug)]
pub(super) struct BlockingPool(Arc<Semaphore>);

impl Default for BlockingPool {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, Into::into))))
    }
}

impl BlockingPool {
    /// Does some work on another thread. Returns `None` if it is not done by the deadline; its result is dropped then. A panic
    /// is resumed here.
    pub(super) async fn run_blocking<R: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Option<R> {
        let done = async {
            // Never an error: the semaphore is never closed.
            let permit = self.0.clone().acquire_owned().await.ok();
            let done = spawn_blocking(move || {
                let _permit = permit;
                work()
            });
            done.await.unwrap_or_else(|failed| resume_unwind(failed.into_panic()))
        };
        timeout_at(deadline, done).await.ok()
    }
}
