//! The thread that writes: takes what has been sent, many at a time, and commits it as one.

mod failing;
mod reading;
mod upkeep;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::changes::Outcome;
use super::inbox::Receiver;
use super::open::Lock;
use super::pending::Pending;
use super::{Act, Acted, Clock, Gauges, Hear, News, Op, Opened, Written, dead, rows, salvage};
use crate::config::{self, SyncRule};
use crate::observe::log_limit::LogLimit;

/// So many changes are taken at a time.
const BATCH: usize = 4_096;

/// How long the thread waits for something to do before it tidies up.
const IDLE: Duration = Duration::from_secs(1);

/// How long a disk that takes nothing is left alone.
const FULL: Duration = Duration::from_millis(200);

/// So many numbers are written down as given before they are.
const NUMBERS: i64 = 100_000;

pub(super) struct Writer {
    connection: Connection,
    clock: Clock,
    sync: SyncRule,
    dead_age: i64,
    dead_bytes: usize,
    gauges: Arc<Gauges>,
    hear: Hear,
    path: PathBuf,
    /// Held for as long as the file is used.
    _lock: Arc<Lock>,
    /// What the disk has not taken yet.
    pending: Pending,
    /// When what was written has to be on the disk.
    sync_by: Option<Instant>,
    /// When the size of the files was last looked at.
    measured: Option<Instant>,
    tidied: Instant,
    given_back: Instant,
    /// What was wrong with a file that could not be replaced yet.
    damage: Option<rusqlite::Error>,
    /// The highest number that an event has had.
    highest: i64,
    /// The number that is written down as given.
    marked: i64,
    evicted_log: LogLimit,
    /// When it was last said that something cannot be read.
    unread_said: Option<Instant>,
    /// Until when the disk is left alone, as it takes nothing.
    fails_until: Option<Instant>,
}

fn as_mark(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Writer {
    pub(super) fn new(opened: Opened, settings: &config::After, gauges: Arc<Gauges>, hear: Hear) -> Self {
        let Opened { connection, clock, path, lock, number, .. } = opened;
        Self {
            connection,
            clock,
            sync: settings.sync,
            dead_age: i64::try_from(settings.dead_age.as_millis()).unwrap_or(i64::MAX),
            dead_bytes: settings.dead_bytes,
            gauges,
            hear,
            path,
            _lock: lock,
            pending: Pending::default(),
            sync_by: None,
            measured: None,
            tidied: Instant::now(),
            given_back: Instant::now(),
            damage: None,
            highest: as_mark(number).saturating_sub(1),
            marked: 0,
            evicted_log: LogLimit::default(),
            unread_said: None,
            fails_until: None,
        }
    }

    /// Runs until it is told to end, or nobody can tell it anything any more.
    pub(super) fn run(mut self, received: &Receiver) {
        loop {
            self.measure();
            let wait = self.sync_by.map_or(IDLE, |by| by.saturating_duration_since(Instant::now()).min(IDLE));
            let wait = if self.pending.is_empty() { wait } else { FULL };
            let Some(mut batch) = received.take(BATCH, wait, |bytes| self.took_bytes(bytes)) else {
                return self.end(Vec::new(), None);
            };
            if let Some(at) = batch.iter().position(|op| matches!(op, Op::Close { .. })) {
                // Nothing that matters comes later.
                batch.truncate(at + 1);
                let Some(Op::Close { number, told }) = batch.pop() else { return };
                return self.end(batch, Some((number, told)));
            }
            if batch.is_empty() && self.pending.is_empty() {
                self.idle();
                continue;
            }
            self.write(batch);
            self.keep_up();
        }
    }

    fn end(mut self, batch: Vec<Op>, close: Option<(u64, oneshot::Sender<usize>)>) {
        self.fails_until = None;
        self.write(batch);
        let owed = self.pending.events();
        // The whole log goes into the file, and both onto the disk.
        let closed = (|| {
            if let Some((number, _)) = &close {
                rows::mark_exactly(&self.connection, as_mark(*number).saturating_sub(1))?;
            }
            self.connection.execute_batch("pragma synchronous = full; pragma wal_checkpoint(truncate);")
        })();
        if let Err(error) = closed {
            warn!(%error, "outbox close failed; written events are intact");
        }
        drop(self.connection);
        if let Some((_, told)) = close {
            // Whoever asked may have given up.
            let _ = told.send(owed);
        }
    }

    /// Writes all of it with what could not be written before, or nothing and keeps it for the next time.
    fn write(&mut self, batch: Vec<Op>) {
        let ends = batch.iter().filter_map(|op| match op {
            Op::Done(ended) | Op::Bury { ended, .. } => Some(ended.end),
            _ => None,
        });
        let heard = ends.max().unwrap_or_default();
        let (late, from) = (!self.pending.is_empty(), self.pending.end());
        let mut loads = Vec::new();
        for op in batch {
            match op {
                Op::Load { rpc, loaded } => loads.push((rpc, loaded)),
                op => {
                    self.pending.push(op);
                }
            }
        }
        self.gauges.owed.store(self.pending.bytes(), Relaxed);
        if !self.pending.is_empty() {
            self.write_pending(from, late);
        }
        self.gauges.owed.store(self.pending.bytes(), Relaxed);
        loads.into_iter().for_each(|asked| self.load(asked));
        // Only now: what was told until here may not have known of them.
        self.gauges.heard.fetch_max(heard, Relaxed);
    }

    /// What came from that place on has not been tried before.
    fn write_pending(&mut self, from: u64, late: bool) {
        if self.fails_until.is_some_and(|until| Instant::now() < until) {
            return self.owe(from);
        }
        if !self.is_whole() {
            return self.owe(from);
        }
        let began = Instant::now();
        let pending = std::mem::take(&mut self.pending);
        match self.commit(&pending) {
            Ok(outcome) => {
                self.fails_until = None;
                self.took(began.elapsed());
                if late {
                    info!("outbox writable again");
                }
                self.tell(pending.into_ops(), outcome, late);
            }
            Err(error) => {
                self.pending = pending;
                if salvage::is_damage(&error) {
                    self.salvage(error);
                } else if !late {
                    error!(%error, "outbox write failed, buffering events in memory");
                }
                self.owe(from);
            }
        }
    }

    fn commit(&mut self, batch: &Pending) -> rusqlite::Result<Outcome> {
        let durable = self.sync == SyncRule::Each || self.sync_by.is_some_and(|by| by <= Instant::now());
        let inserts = batch.iter().any(|op| matches!(op, Op::Insert { .. } | Op::Act(_)));
        let level = if durable && (inserts || self.sync_by.is_some()) { "full" } else { "normal" };
        self.connection.pragma_update(None, "synchronous", level)?;
        let transaction = self.begin()?;
        let mut outcome = Outcome::default();
        for op in batch.iter() {
            outcome.apply(op, &self.connection, &self.clock)?;
        }
        self.bound_dead(&mut outcome)?;
        let numbers = batch.iter().filter_map(|op| match op {
            Op::Insert { entry, .. } => i64::try_from(entry.number).ok(),
            _ => None,
        });
        let highest = numbers.fold(self.highest, i64::max);
        let marked = self.mark(highest)?;
        transaction.commit()?;
        (self.highest, self.marked) = (highest, marked);
        match self.sync {
            SyncRule::Within(time) if inserts && level == "normal" => {
                self.sync_by.get_or_insert_with(|| Instant::now() + time);
            }
            _ if level == "full" => self.sync_by = None,
            _ => {}
        }
        Ok(outcome)
    }

    /// Begins to write. Whoever else writes is waited for here: later SQLite has no patience.
    fn begin(&self) -> rusqlite::Result<Transaction<'_>> {
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
    }

    /// Sees to it that no number up to the highest comes again; gives the one that is then written down as given.
    fn mark(&self, highest: i64) -> rusqlite::Result<i64> {
        if highest <= self.marked {
            return Ok(self.marked);
        }
        // Many at a time: a number that nobody had is no loss.
        let marked = highest.saturating_add(NUMBERS);
        rows::mark(&self.connection, marked)?;
        Ok(marked)
    }

    fn took_bytes(&self, bytes: usize) {
        self.gauges.owed.fetch_add(bytes, Relaxed);
    }

    /// Tells everybody what a commit means to them. Whoever waits for it comes first, and what takes a while last.
    fn tell(&mut self, batch: Vec<Op>, outcome: Outcome, late: bool) {
        self.gauges.count_dead(outcome.dead);
        self.tell_evicted(outcome.unimplemented_evicted);
        self.gauges.add_spare(outcome.foreseen);
        self.gauges.owed.store(0, Relaxed);
        self.gauges.unreadable.fetch_add(outcome.unreadable, Relaxed);
        let mut acts = Vec::new();
        for op in batch {
            match op {
                Op::Insert { told, .. } => {
                    // Whoever waited may have its verdict by now.
                    let _ = told.send(Written::Kept);
                }
                Op::Act(act) => acts.push(act),
                _ => {}
            }
        }
        outcome.news.into_iter().for_each(&mut self.hear);
        if late {
            (self.hear)(News::CaughtUp);
        }
        acts.into_iter().for_each(|act| self.act(act));
    }

    /// Does what somebody asked for, in a commit of its own.
    fn act(&mut self, act: Box<Act>) {
        let done = (|| {
            let transaction = self.begin()?;
            let acted = act(&transaction, &self.clock)?;
            let count = dead::count(&transaction)?;
            let highest = as_mark(acted.number).max(self.highest);
            let marked = self.mark(highest)?;
            transaction.commit()?;
            (self.highest, self.marked) = (highest, marked);
            Ok::<_, rusqlite::Error>((acted, count))
        })();
        match done {
            Ok((Acted { news, tell, .. }, count)) => {
                self.gauges.recount_dead(count);
                news.into_iter().for_each(&mut self.hear);
                tell();
            }
            Err(error) => error!(%error, "outbox operation failed"),
        }
    }
}
