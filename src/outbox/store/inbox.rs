//! What is sent to the thread that writes. A channel would do, but that it grows for as long as the disk hangs: here what is
//! delivered meanwhile is gone from it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Op;
use super::pending::Pending;

#[derive(Default)]
struct Inbox {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    pending: Pending,
    /// Nobody sends any more.
    ended: bool,
    /// Nobody takes anything out any more.
    gone: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that sends.
pub(super) struct Sender(Arc<Inbox>);

/// The end that writes.
pub(super) struct Receiver(Arc<Inbox>);

/// What became of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is there.
    Kept,
    /// An event has ended before its arrival was taken out: neither is there.
    Needless,
    /// Nobody takes it out.
    Gone,
}

pub(super) fn inbox() -> (Sender, Receiver) {
    let inbox = Arc::new(Inbox::default());
    (Sender(inbox.clone()), Receiver(inbox))
}

impl Sender {
    pub(super) fn send(&self, op: Op) -> Sent {
        let mut state = self.0.lock();
        if state.gone {
            return Sent::Gone;
        }
        let kept = state.pending.push(op);
        drop(state);
        self.0.filled.notify_one();
        if kept { Sent::Kept } else { Sent::Needless }
    }

    /// Bytes of the events that were not taken out yet.
    pub(super) fn bytes(&self) -> usize {
        self.0.lock().pending.bytes()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.filled.notify_one();
    }
}

impl Receiver {
    /// Takes out what is there, so much at most, and waits for it so long; nothing where nobody sends any more. `taken`
    /// hears of the bytes before they are missing here.
    pub(super) fn take(&self, most: usize, wait: Duration, taken: impl FnOnce(usize)) -> Option<Vec<Op>> {
        let nothing = |state: &mut State| state.pending.is_empty() && !state.ended;
        let waited = self.0.filled.wait_timeout_while(self.0.lock(), wait, nothing);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.pending.is_empty() && state.ended {
            return None;
        }
        // All of it, about: what is left is taken next.
        taken(state.pending.bytes());
        if state.pending.len() > most {
            return Some(state.pending.take(most));
        }
        let all = std::mem::take(&mut state.pending);
        // Whoever sends is not to wait for this.
        drop(state);
        Some(all.into_ops())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.gone = true;
        // Whoever waits for any of it is told by that.
        let left = std::mem::take(&mut state.pending);
        drop(state);
        drop(left);
    }
}
