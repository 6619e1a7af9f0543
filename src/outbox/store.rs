//! The store of events, as the scheduler asks it: memory or SQLite.
//!
//! JetStream is no `EventStore`: it has loops of its own, and shares entries, limiters, key order and hold. The same suite asks
//! all three: `tests/it/outbox/conformance.rs`.
//!
//! A store keeps events and changes of their state, and knows nothing of pace, pauses or the policy. Every change is taken
//! at once, in memory; a store with a disk writes it behind that, so that nobody but the reply that depends on it waits.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::entry::{Entry, Key};

/// Events that wait for their delivery, and for some stores dead letters.
pub(super) trait EventStore: Send + Sync {
    /// Appends an event that arrived. Fails if the store has no room for it in memory, as its disk takes nothing.
    fn append(&self, entry: Entry, place: Place) -> Result<Saved, NoRoom>;

    /// Ends an event that is held: it is delivered.
    fn ack(&self, entry: &Entry);

    /// Lets a held event wait for its next attempt; one that is parked holds up none behind it.
    fn retry_at(&self, entry: Entry, due: Instant);

    /// Ends a held event undelivered.
    fn dead_letter(&self, entry: &Entry, death: Death);

    /// Claims events of an rpc: they are held until one of the verbs above says what became of them.
    fn claim(&self, ask: Ask) -> Answer<Claimed>;

    /// Claims the first event of a key behind this number.
    fn next(&self, key: &Key, behind: u64) -> Answer<Next>;

    /// Makes the events of an rpc due that wait for their next attempt and hold up others.
    fn hurry(&self, rpc: &'static str);

    /// Makes all events of an rpc due, parked ones too: what is not delivered now is lost. A store that lasts does nothing.
    fn hurry_all(&self, _rpc: &'static str) {}

    /// Returns the arrival of the oldest event of an rpc that waits, as far as it is known.
    fn oldest(&self, rpc: &'static str) -> Option<Instant>;
}

/// The place of an event that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Held: an attempt is in flight, or about to be.
    Held,
    /// Waiting for the first attempt.
    Fresh,
    /// Waiting behind others of the key.
    Behind,
}

/// The store's memory is full, as its disk takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

/// A notice that an event is safe; none if it is in memory alone on purpose.
pub(super) type Saved = Option<oneshot::Receiver<Written>>;

/// The fate of an event that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Written to disk, as `after.sync` says; or the event has ended before it was.
    Kept,
    /// Kept in memory alone, until the disk takes it.
    Owed,
}

/// The end of an event that was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Death {
    /// The reason, as dead letters have it.
    pub(super) reason: &'static str,
    /// The class of the last failure.
    pub(super) class: Option<&'static str>,
}

/// The kinds of event that can be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its next attempt is due, and it may hold up others.
    Due,
    /// Its next attempt is due, and it is parked.
    Parked,
    /// Waiting for the first attempt.
    Fresh,
}

impl Kind {
    /// Every kind, in the order of their declaration.
    pub(super) const ALL: [Self; 3] = [Self::Due, Self::Parked, Self::Fresh];
}

/// A question for events of an rpc.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) rpc: &'static str,
    /// The maximum number of each kind.
    pub(super) most: [usize; Kind::ALL.len()],
}

/// The events that were claimed.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    /// The events of each kind.
    pub(super) entries: [Vec<Entry>; Kind::ALL.len()],
    /// The time at which there is another of each kind that was asked for.
    pub(super) next: [Option<Instant>; Kind::ALL.len()],
    pub(super) unreadable: Vec<Unreadable>,
}

/// The first event of a key that was asked for.
#[derive(Debug)]
pub(super) enum Next {
    Event(Entry),
    /// A row that cannot be read; the store has ended it.
    Unreadable(Unreadable),
    /// No event.
    None,
    /// The disk cannot be read now.
    Unknown,
}

/// An event whose row is not what was written. The store has made it a dead letter.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) rpc: &'static str,
    pub(super) number: u64,
    pub(super) bytes: usize,
    pub(super) is_parked: bool,
    /// The key whose order it held up, if it did.
    pub(super) key: Option<Key>,
}

/// An answer that is there, or comes.
pub(super) enum Answer<T> {
    Now(T),
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}
