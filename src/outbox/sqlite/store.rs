//! The verbs of the store on disk: each changes the overlay at once, and the threads do the rest.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, mpsc};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::act::Waiting;
use super::reader::{self, Question};
use super::{Clock, EventState, News, Op, Shared};
use crate::outbox::entry::{Entry, Key};
use crate::outbox::status::Disk;
use crate::outbox::stop::CLOSING;
use crate::outbox::store::{Answer, Ask, Claimed, Death, EventStore, Kind, Next, NoRoom, Place, Saved, Written};

/// Maximum time for which the thread that reads is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Maximum bytes of events that are kept for a disk that does not take them.
const MOST_UNWRITTEN: usize = 16 << 20;

/// The events on disk. Clones share the file.
#[derive(Clone)]
pub(in crate::outbox) struct SqliteStore(pub(super) Arc<Handle>);

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.shared.path).finish_non_exhaustive()
    }
}

/// The result of the closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::outbox) enum Closed {
    /// The number of events that could not be written.
    Lost(usize),
    /// No end in time; what was written is intact.
    Late,
    /// The writer is gone; what was written is intact.
    Gone,
}

/// The hold of the scheduler on the threads: they end with it.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) questions: mpsc::Sender<Question>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().is_deserted = true;
        self.shared.work.notify_one();
    }
}

impl SqliteStore {
    /// Sets the listener for news.
    pub(in crate::outbox) fn listen(&self, listener: impl Fn(News<'_>) + Send + Sync + 'static) {
        let _ = self.0.shared.listener.set(Box::new(listener));
    }

    /// Asks the thread that reads; the answer does not wait for it for longer than [`PATIENCE`].
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
        otherwise: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Answer<T> {
        let (tell, told) = oneshot::channel();
        // A reader that is gone has dropped the other end.
        let _ = self.0.questions.send(question(tell));
        let shared = self.0.shared.clone();
        Answer::Later(Box::pin(async move {
            match timeout(PATIENCE, told).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => otherwise(&shared),
            }
        }))
    }

    /// Reads the file apart from those who deliver, after what was changed before is written, unless the disk fails.
    pub(in crate::outbox) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Option<rusqlite::Result<T>> {
        let (tell, told) = oneshot::channel();
        self.0.shared.push(Op::Barrier(tell));
        let _ = timeout(PATIENCE, told).await;
        let path = self.0.shared.path.clone();
        spawn_blocking(move || reader::open(&path).and_then(|connection| read(&connection))).await.ok()
    }

    /// Changes the file in a commit of its own, in the order of all changes; `ended` hears what was done, none if it was not
    /// committed. Returns none if it cannot be done.
    pub(in crate::outbox) async fn act<T: Clone + Send + 'static>(
        &self,
        act: impl FnOnce(&Connection, &Clock) -> rusqlite::Result<T> + Send + 'static,
        ended: impl FnOnce(T, bool) + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.0.shared.push(Op::Act(Box::new(move |connection, clock| {
            let done = act(connection, clock)?;
            Ok(Box::new(move |is_committed| {
                ended(done.clone(), is_committed);
                if is_committed {
                    // Whoever asked may have given up.
                    let _ = tell.send(done);
                }
            }))
        })));
        told.await.ok()
    }

    pub(in crate::outbox) fn clock(&self) -> Clock {
        self.0.shared.clock
    }

    /// Finds an event that waits and is in memory alone.
    pub(in crate::outbox) fn unwritten(&self, id: &str) -> Option<Waiting> {
        let (entry, state) = self.0.shared.lock().overlay.find(id)?;
        Some(Waiting { entry, state })
    }

    /// Holds an event that waits, so that nobody else claims it; returns false if it is held, or has ended.
    pub(in crate::outbox) fn try_hold(&self, number: u64) -> bool {
        self.0.shared.lock().overlay.try_hold(number)
    }

    /// Gives a held event back.
    pub(in crate::outbox) fn give_back(&self, number: u64) {
        let inner = &mut *self.0.shared.lock();
        inner.overlay.give_back(number);
        inner.overlay.rewind();
    }

    /// Returns the event with its progress as memory has it, and its state; both as they are in the file if it has none.
    pub(in crate::outbox) fn latest(&self, in_file: Waiting) -> Waiting {
        let Waiting { entry, state } = in_file;
        let (progress, state) = self.0.shared.lock().overlay.latest(entry.number(), entry.progress, state);
        Waiting { entry: Entry { progress, ..entry }, state }
    }

    /// Returns the bytes of dead letters that could make room.
    pub(in crate::outbox) fn spare(&self) -> usize {
        let gauges = &self.0.shared.gauges;
        gauges.dead_bytes.load(Relaxed).saturating_sub(gauges.promised.load(Relaxed))
    }

    /// Drops the oldest dead letters, so many bytes at least.
    pub(in crate::outbox) fn make_room(&self, bytes: usize) {
        self.0.shared.gauges.promised.fetch_add(bytes, Relaxed);
        self.0.shared.push(Op::MakeRoom(bytes));
    }

    /// Returns the state of the disk, with the number of events that the scheduler counts.
    pub(in crate::outbox) fn disk(&self, events: usize) -> Disk {
        let gauges = &self.0.shared.gauges;
        Disk {
            dead: gauges.dead.load(Relaxed),
            dead_bytes: gauges.dead_bytes.load(Relaxed),
            unimplemented_bytes: gauges.unimplemented_bytes.load(Relaxed),
            events,
            unimplemented_evicted: gauges.unimplemented_evicted.load(Relaxed),
            file_bytes: gauges.file_bytes.load(Relaxed),
            unwritten_bytes: self.0.shared.lock().overlay.memory(),
            stopped: gauges.stopped.load(Relaxed),
            unreadable: gauges.unreadable.load(Relaxed),
            commits: gauges.commits.iter().map(|count| count.load(Relaxed)).collect(),
            commit_time: Duration::from_micros(gauges.commit_micros.load(Relaxed)),
        }
    }

    /// Writes what is left, and closes. No event has had this number or a higher one.
    pub(in crate::outbox) async fn close(&self, number: u64) -> Closed {
        let (told, closed) = oneshot::channel();
        self.0.shared.lock().close = Some((number, told));
        self.0.shared.work.notify_one();
        match timeout(CLOSING, closed).await {
            Ok(Ok(lost)) => Closed::Lost(lost),
            Ok(Err(_)) => Closed::Gone,
            Err(_) => Closed::Late,
        }
    }
}

impl EventStore for SqliteStore {
    fn append(&self, entry: Entry, place: Place) -> Result<Saved, NoRoom> {
        let inner = &mut *self.0.shared.lock();
        if inner.overlay.bytes() > MOST_UNWRITTEN || self.0.shared.gauges.stopped.load(Relaxed) {
            return Err(NoRoom);
        }
        let (told, saved) = oneshot::channel();
        if inner.fails {
            // Nobody knows when the disk takes it. Whoever answers its webhook waits for no longer.
            let _ = told.send(Written::Owed);
            inner.overlay.append(entry, place, Some(oneshot::channel().0));
        } else {
            inner.overlay.append(entry, place, Some(told));
        }
        self.0.shared.work.notify_one();
        Ok(Some(saved))
    }

    fn ack(&self, entry: &Entry) {
        self.0.shared.change(entry, EventState::Gone);
    }

    fn retry_at(&self, entry: Entry, due: Instant) {
        let state = if entry.progress.parked { EventState::Parked(due) } else { EventState::Due(due) };
        self.0.shared.change(&entry, state);
    }

    fn dead_letter(&self, entry: &Entry, death: Death) {
        self.0.shared.change(entry, EventState::Dead(death));
    }

    fn claim(&self, ask: Ask) -> Answer<Claimed> {
        self.ask(
            move |tell| Question::Claim(ask, tell),
            // The file cannot be read now. What is in memory is not behind it.
            move |shared| {
                let now = Instant::now();
                let mut claimed = shared.lock().overlay.claim_in_memory(ask, now);
                claimed.next = Kind::ALL.map(|kind| (ask.most[kind as usize] > 0).then_some(now + PATIENCE));
                claimed
            },
        )
    }

    fn next(&self, key: &Key, behind: u64) -> Answer<Next> {
        let key = key.clone();
        self.ask(move |tell| Question::Next(key, behind, tell), |_| Next::Unknown)
    }

    fn hurry(&self, rpc: &'static str) {
        let inner = &mut *self.0.shared.lock();
        inner.overlay.hurry(rpc, Instant::now(), false);
        let is_asked = inner.ops.iter().any(|op| matches!(op, Op::Hurry(asked) if *asked == rpc));
        if !is_asked {
            *inner.hurries.entry(rpc).or_default() += 1;
            inner.ops.push_back(Op::Hurry(rpc));
            self.0.shared.work.notify_one();
        }
    }

    fn oldest(&self, rpc: &'static str) -> Option<Instant> {
        let in_file = self.0.shared.oldest.lock().unwrap_or_else(PoisonError::into_inner).get(rpc).copied();
        let in_file = in_file.map(|milliseconds| self.0.shared.clock.instant(milliseconds));
        in_file.into_iter().chain(self.0.shared.lock().overlay.oldest(rpc)).min()
    }
}
