//! Work that grows with a body: its caller chooses how long it takes, and a thread of the runtime may be the only one.

use std::panic::resume_unwind;

use tokio::task::spawn_blocking;

/// The longest body, in bytes, that is worked on where it was read: a few milliseconds at most, some 50 µs where OpenIM
/// has sent it.
const LONGEST: usize = 64 << 10;

/// Returns true if work on a body of so many bytes belongs on another thread.
pub(super) fn is_long(bytes: usize) -> bool {
    bytes > LONGEST
}

/// Does it on another thread. A panic goes on here.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.unwrap_or_else(|failed| resume_unwind(failed.into_panic()))
}
