//! The store on disk: one SQLite file, a thread that writes to it, and one that reads.
//!
//! SQLite, since it was measured beside redb and fjall: killed at any moment it has every commit, with one fsync a commit
//! if one is asked for; it takes 6 MiB of memory whatever the backlog; and its file can be read in twenty years.
//!
//! Every change is made in the overlay in memory at once, and the writer writes what the overlay has as one commit. The
//! reader reads the file through the overlay. So a disk that is slow, full or gone is the ordinary way, and no second one:
//! what is in the file goes on being delivered, and what arrives waits in memory, within a bound.
//!
//! - `store`: the verbs; `gauges`: numbers that can be read at any time.
//! - `open`: the directory, its lock, and what is found; `tables`: the file and its version; `standing`: its events.
//! - `writer`: the thread that writes; `upkeep`: what it does besides; `dead`: dead letters within their bounds; `reserve`:
//!   room for ends on a full disk.
//! - `reader`: the thread that reads.
//! - `rows`: an event as a row.
//! - `look`: what people ask; `filter`: of which events; `act`: what they do.
//! - `salvage`: a damaged file; `rescue`: what can be read of it; `convert`: a file of an earlier version.
//! - `clock`: points in time that outlive the process.

pub(super) mod act;
mod clock;
mod convert;
mod dead;
mod filter;
mod gauges;
pub(super) mod look;
mod open;
mod reader;
mod rescue;
mod reserve;
mod rows;
mod salvage;
mod standing;
mod store;
mod tables;
mod upkeep;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::entry::Entry;
use super::overlay::{Overlay, State as EventState};
use gauges::Gauges;

pub(super) use act::Waiting;
pub(crate) use clock::Clock;
pub use filter::{Filter, State};
pub(super) use filter::{selected, states};
pub(crate) use gauges::COMMIT_BUCKETS;
pub(super) use look::content;
pub(crate) use look::{Count, Item, Replay, Undelivered};
pub(crate) use open::OpenError;
pub(super) use open::{Opened, is_in, open};
pub(super) use rows::as_id;
pub(super) use standing::{Standing, StandingKey};
pub(super) use store::{Closed, SqliteStore};
pub(super) use tables::make_private;

/// News for the scheduler.
pub(super) enum News<'a> {
    /// More events of an rpc than there were.
    More(&'static str),
    /// The file was damaged and replaced. The function says what it has, while nothing changes; none if that is not known.
    Replaced(&'a mut dyn FnMut() -> Option<Standing>),
}

/// The listener for news.
type Listener = Box<dyn Fn(News<'_>) + Send + Sync>;

/// A change that somebody asks for, and that is made in a commit of its own. What it returns hears whether that is made.
type Act = dyn FnOnce(&Connection, &Clock) -> rusqlite::Result<Box<dyn FnOnce(bool) + Send>> + Send;

/// An operation on the file, beside the changes of single events.
enum Op {
    /// The events of an rpc are due that wait for their next attempt.
    Hurry(&'static str),
    /// Dead letters of this many bytes make room.
    MakeRoom(usize),
    Act(Box<Act>),
    /// A notice once everything that was changed before is written, unless the disk fails.
    Barrier(oneshot::Sender<()>),
}

/// The state that the threads and the scheduler share.
struct Shared {
    path: PathBuf,
    clock: Clock,
    inner: Mutex<Inner>,
    /// Notifies the writer.
    work: Condvar,
    gauges: Gauges,
    oldest: Mutex<HashMap<&'static str, i64>>,
    listener: OnceLock<Listener>,
}

/// The state under the lock.
#[derive(Default)]
struct Inner {
    overlay: Overlay,
    ops: VecDeque<Op>,
    /// The close that was asked for, with the number of the next event.
    close: Option<(u64, oneshot::Sender<usize>)>,
    /// True if nobody has the store any more.
    is_deserted: bool,
    /// True since the writer has ended.
    is_over: bool,
    /// True while the file is being read: what is written stays in the overlay until that has ended.
    is_read: bool,
    /// True since the disk last took nothing.
    fails: bool,
    /// The damage of the file that the reader has found.
    damage: Option<rusqlite::Error>,
    /// The hurries of each rpc that are not committed yet: until then its rows are due whatever they say.
    hurries: HashMap<&'static str, usize>,
    /// The number of commits so far that changed rows; those that only deleted some do not count.
    changes: u64,
    /// The number of files so far: connections of an earlier one are of no use.
    generation: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, news: News<'_>) {
        if let Some(listener) = self.listener.get() {
            listener(news);
        }
    }

    /// Changes the state of an event that is held.
    fn change(&self, entry: &Entry, state: EventState) {
        self.lock().overlay.change(entry.number(), entry.rpc(), state, Some(entry.progress), true);
        self.work.notify_one();
    }

    fn push(&self, op: Op) {
        let inner = &mut *self.lock();
        // Whoever asked hears of it by the end of the channel.
        if !inner.is_over {
            inner.ops.push_back(op);
            self.work.notify_one();
        }
    }

    /// Notes that nothing is written any more.
    fn end(&self) {
        let inner = &mut *self.lock();
        inner.is_over = true;
        (inner.ops, inner.close) = (VecDeque::new(), None);
    }
}
