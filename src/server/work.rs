//! Work that grows with a body: its caller chooses how long it takes, and a thread of the runtime may be the only one.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

/// The longest body, in bytes, that is worked on where it was read: a few milliseconds at most, some 50 µs where OpenIM
/// has sent it.
const LONGEST: usize = 64 << 10;

/// The time after the deadline in which the reply to a long body may still be made, of OpenIM's timeout less the budget.
pub(super) const LAST: Duration = Duration::from_millis(200);

/// Returns true if work on a body of so many bytes belongs on another thread.
pub(super) fn is_long(bytes: usize) -> bool {
    bytes > LONGEST
}

/// Threads for work on long bodies: as many at a time as there are cores.
#[derive(Debug)]
pub(super) struct Work(Arc<Semaphore>);

impl Default for Work {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, Into::into))))
    }
}

impl Work {
    /// Does it on another thread. Nothing where it did not end by the deadline: it ends there, for nobody. A panic goes on here.
    pub(super) async fn off_thread<R: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Option<R> {
        let done = async {
            // Never an error, as nobody closes it.
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
