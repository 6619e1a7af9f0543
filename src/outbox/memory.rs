//! The store in memory: a restart loses what it has.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::entry::{Entry, Key};
use super::overlay::{Overlay, State};
use super::store::{Answer, Ask, Claimed, Death, EventStore, Next, NoRoom, Place, Saved};

/// Events in memory. It keeps no dead letters: their line in the log is all that is left of them.
#[derive(Debug, Default)]
pub(super) struct MemoryStore(Mutex<Overlay>);

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Overlay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventStore for MemoryStore {
    fn append(&self, entry: Entry, place: Place) -> Result<Saved, NoRoom> {
        self.lock().append(entry, place, None);
        Ok(None)
    }

    fn ack(&self, entry: &Entry) {
        self.lock().change(entry.number(), entry.rpc(), State::Gone, None, false);
    }

    fn retry_at(&self, entry: Entry, due: Instant) {
        let state = if entry.progress.parked { State::Parked(due) } else { State::Due(due) };
        self.lock().change(entry.number(), entry.rpc(), state, Some(entry.progress), false);
    }

    fn dead_letter(&self, entry: &Entry, death: Death) {
        self.lock().change(entry.number(), entry.rpc(), State::Dead(death), None, false);
    }

    fn claim(&self, ask: Ask) -> Answer<Claimed> {
        let overlay = &mut *self.lock();
        Answer::Now(overlay.claim_in_memory(ask, Instant::now()))
    }

    fn next(&self, key: &Key, behind: u64) -> Answer<Next> {
        let overlay = &mut *self.lock();
        let next = overlay.next(key, behind).and_then(|number| overlay.hold(number));
        Answer::Now(next.map_or(Next::None, Next::Event))
    }

    fn hurry(&self, rpc: &'static str) {
        self.lock().hurry(rpc, Instant::now(), false);
    }

    fn hurry_all(&self, rpc: &'static str) {
        self.lock().hurry(rpc, Instant::now(), true);
    }

    fn oldest(&self, rpc: &'static str) -> Option<Instant> {
        self.lock().oldest(rpc)
    }
}
