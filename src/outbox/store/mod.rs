//! The events on disk: one SQLite file, and one thread that writes to it.
//!
//! SQLite, since it was measured beside redb and fjall: killed at any moment it has every commit, with one fsync a
//! commit where one is asked for; it takes 6 MiB of memory whatever the backlog; and its file can be read in twenty
//! years. The thread takes what the queue sends, many at a time, and commits them as one: nobody else waits for the disk
//! but the reply that depends on it.
//!
//! - `open`: the directory, its lock, and what is found; `tables`: the file and its version.
//! - `inbox`: what is sent to the thread; `pending`: what of that is not written yet.
//! - `writer`: the thread; `changes`: what it does with a batch.
//! - `owed`: what goes on while the disk takes nothing.
//! - `rows`: an event as a row, and the changes of one.
//! - `dead`: what ended undelivered, within its bounds.
//! - `look`: what people ask; `meant`: of which events; `act`: what they do.
//! - `salvage`: a damaged file; `rescue`: what can be read of it; `pages`: the same where nothing leads to it.
//! - `clock`: points in time that outlive the process.

pub(super) mod act;
mod changes;
mod clock;
mod dead;
mod inbox;
pub(super) mod look;
pub(super) mod meant;
mod open;
mod owed;
mod pages;
mod pending;
mod rescue;
mod rows;
mod salvage;
mod standing;
mod tables;
mod writer;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Reason;
use super::entry::Entry;

use dead::Dead;
use inbox::{Sender, Sent};

pub(crate) use clock::Clock;
pub(crate) use open::OpenError;
pub(super) use open::{Opened, open};
pub(super) use standing::Standing;

/// What is done to the events on disk, in the order in which it is sent.
pub(super) enum Op {
    /// An event arrives; whoever answers its webhook waits for `told`.
    Insert { entry: Box<Entry>, place: Place, told: oneshot::Sender<Written> },
    /// An attempt has failed; the next one is due then.
    Retry { number: u64, attempts: u32, due: Instant },
    /// An event has been delivered, or is dropped.
    Done(Ended),
    /// An event ends undelivered.
    Bury { ended: Ended, attempts: u32, reason: Reason, class: Option<&'static str> },
    /// The queue has room for events of an rpc beyond those that it has.
    Load { rpc: &'static str, loaded: HashSet<u64> },
    /// The first of each of these has no other before it, unless one is kept.
    Promote(Vec<Next>),
    /// The policy is back: what waits for its time is due.
    Hurry,
    /// So many bytes of undelivered events make room.
    MakeRoom(usize),
    /// Somebody changes what is kept.
    Act(Box<Act>),
    /// Everything is forced onto the disk, and the thread ends; says how many events the disk has not taken. No event has
    /// had this number or a higher one.
    Close { number: u64, told: oneshot::Sender<usize> },
}

/// A change that somebody asks for.
type Act = dyn FnOnce(&Connection, &Clock) -> rusqlite::Result<Acted> + Send;

/// What follows from a change once it is committed.
pub(super) struct Acted {
    /// What the queue must know of it.
    pub(super) news: Vec<News>,
    /// The highest number that it has given to an event, if it has.
    pub(super) number: u64,
    /// Tells whoever asked.
    pub(super) tell: Box<dyn FnOnce() + Send>,
}

/// An event that has ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) number: u64,
    pub(super) bytes: usize,
    /// Which end it is, counted from the start.
    pub(super) end: u64,
    /// The next of what it belonged to may go, where there may be one.
    pub(super) next: Option<Next>,
}

/// Whether an event that arrives has others before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// None.
    First,
    /// One of what it belongs to.
    Behind,
    /// The disk knows.
    Ask,
}

/// What an event that has ended belonged to: the next of that may go.
#[derive(Debug, Clone)]
pub(super) struct Next {
    pub(super) rpc: &'static str,
    pub(super) key: Arc<str>,
}

/// What became of an event that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It is on disk, as `sync` says, or has been delivered before it was.
    Kept,
    /// It is not; it is written as soon as that is possible again.
    Owed,
}

/// What the thread tells the queue.
pub(super) enum News {
    /// What was asked for; the next one on disk is due then.
    Loaded { rpc: &'static str, entries: Vec<Entry>, next: Option<Instant> },
    /// An event has no other before it.
    First(Box<Entry>),
    /// Events of an rpc have come another way, or one that was behind another has none before it any more.
    Added { rpc: &'static str, events: usize, bytes: usize },
    /// Events of an rpc go again; some belong to what had others before them when they were written.
    Replayed { rpc: &'static str, events: usize, bytes: usize, behind: Vec<Arc<str>> },
    /// An event of an rpc is gone, if it has not gone another way meanwhile.
    Gone { rpc: &'static str, number: u64, bytes: usize },
    /// What could not be written has been.
    CaughtUp,
}

/// Whoever is told.
pub(super) type Hear = Box<dyn FnMut(News) + Send>;

/// The upper bounds of the buckets in which commits are counted by their time.
pub(crate) const COMMIT_BUCKETS: [Duration; 9] = [
    Duration::from_micros(100),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
];

/// What can be read of the thread at any time.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub(super) dead: AtomicUsize,
    pub(super) dead_bytes: AtomicUsize,
    /// Of those the bytes of events that the policy does not implement.
    pub(super) unimplemented_bytes: AtomicUsize,
    /// Events of the latter that were evicted for their bound.
    pub(super) unimplemented_evicted: AtomicU64,
    /// Bytes of undelivered events that can make room: of all that have been sent, less what is to make room already.
    spare: AtomicIsize,
    /// Bytes of events that the thread has taken and not written yet.
    owed: AtomicUsize,
    /// The last end that the thread has heard of; all that it told before is told.
    heard: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) commits: [AtomicU64; COMMIT_BUCKETS.len() + 1],
    pub(super) commit_micros: AtomicU64,
    /// The size of the files, as it was a moment ago.
    pub(super) file_bytes: AtomicU64,
    /// Whether the thread has ended before it was told to.
    pub(super) stopped: AtomicBool,
}

impl Gauges {
    fn add_spare(&self, bytes: isize) {
        self.spare.fetch_add(bytes, Relaxed);
    }

    /// The dead letters, as far as the disk has taken them.
    fn dead(&self) -> Dead {
        let [events, bytes, unimplemented] =
            [&self.dead, &self.dead_bytes, &self.unimplemented_bytes].map(|gauge| gauge.load(Relaxed) as isize);
        Dead { events, bytes, unimplemented }
    }

    fn count_dead(&self, change: Dead) {
        let add = |gauge: &AtomicUsize, change| gauge.store(gauge.load(Relaxed).saturating_add_signed(change), Relaxed);
        add(&self.dead, change.events);
        add(&self.dead_bytes, change.bytes);
        add(&self.unimplemented_bytes, change.unimplemented);
        self.add_spare(change.bytes);
    }

    fn recount_dead(&self, count: Dead) {
        self.count_dead(count - self.dead());
    }
}

/// The events on disk, as the queue has them.
pub(super) struct Store {
    ops: Sender,
    pub(super) gauges: Arc<Gauges>,
    file: PathBuf,
    /// Held for as long as the file is used, by the thread too: it may end before or after.
    _lock: Arc<open::Lock>,
}

impl Store {
    /// Sends what is to be done, and waits for nothing. Says whether the thread hears of it: not of the end of an event of
    /// which it has not heard either.
    pub(super) fn send(&self, op: Op) -> bool {
        match &op {
            Op::Bury { ended, .. } => self.gauges.add_spare(ended.bytes as isize),
            Op::MakeRoom(bytes) => self.gauges.add_spare(-(*bytes as isize)),
            _ => {}
        }
        self.ops.send(op) == Sent::Kept
    }

    /// Bytes of events that the disk has not taken yet.
    pub(super) fn unwritten(&self) -> usize {
        self.ops.bytes() + self.gauges.owed.load(Relaxed)
    }

    /// Bytes of undelivered events that can make room.
    pub(super) fn spare(&self) -> usize {
        usize::try_from(self.gauges.spare.load(Relaxed)).unwrap_or_default()
    }

    /// The last end that the thread has heard of.
    pub(super) fn heard(&self) -> u64 {
        self.gauges.heard.load(Relaxed)
    }

    /// Whether so much has not been written, as the disk fails or hangs, that no more is taken, or nothing is any more.
    pub(super) fn is_choked(&self) -> bool {
        self.unwritten() > MOST_OWED || self.gauges.stopped.load(Relaxed)
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

/// How many bytes of events are kept for a disk that does not take them.
const MOST_OWED: usize = 16 << 20;
