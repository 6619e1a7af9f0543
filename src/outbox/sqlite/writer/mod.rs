//! The thread that writes: takes what the overlay has and the file does not, many changes at a time, and commits them as one.

mod commit;
mod failing;

use std::sync::Arc;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;
use tracing::warn;

use super::dead::Dead;
use super::reserve::Reserve;
use super::{Clock, Op, Shared, rows};
use crate::config::{self, SyncRule};
use crate::observe::log_limit::LogLimit;
use crate::outbox::first_number;
use crate::outbox::overlay::Change;

/// Maximum number of changes in a commit.
const BATCH: usize = 4_096;

/// Maximum number of ends in a commit on a full disk: the reserve has room for their part of the log.
const ENDS: usize = 200;

/// Pause without work after which the thread tidies up.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// Pause between two looks at the reserve and the mark of the numbers.
const PREPARE: Duration = Duration::from_secs(60);

/// Pause between two attempts to write to a disk that takes nothing.
const FULL: Duration = Duration::from_millis(200);

/// Time ahead for which sequence numbers are reserved in the file, in microseconds, so that a crash gives none twice.
const AHEAD: u64 = 3_600_000_000;

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) clock: Clock,
    pub(super) sync: SyncRule,
    pub(super) dead_age: i64,
    pub(super) dead_bytes: usize,
    pub(super) shared: Arc<Shared>,
    /// Room on the disk for ends, when it is full.
    reserve: Reserve,
    /// The time by which what was written has to be on the disk.
    pub(super) sync_by: Option<Instant>,
    /// The time at which the size of the files was last looked at.
    pub(super) measured: Option<Instant>,
    pub(super) tidied: Instant,
    pub(super) given_back: Instant,
    /// The damage of a file that could not be replaced yet.
    damage: Option<rusqlite::Error>,
    /// The time of the next attempt to replace it.
    salvage_at: Option<Instant>,
    pub(super) evicted_log: LogLimit,
    /// The time until which the disk is left alone, as it takes nothing.
    fails_until: Option<Instant>,
    /// True if the disk is full: ends alone are written, as they make room, until there is room for the reserve again.
    is_full: bool,
    /// The time of the last attempt to have room again.
    regained: Instant,
    prepared: Option<Instant>,
    /// True if the file was replaced, and the scheduler has not been told yet.
    is_replaced: bool,
}

/// Work for the thread.
#[derive(Default)]
struct Work {
    changes: Vec<Change>,
    ops: Vec<Op>,
    close: Option<(u64, oneshot::Sender<usize>)>,
    is_deserted: bool,
}

/// The effects of a commit.
#[derive(Default)]
pub(super) struct Outcome {
    /// Change in the number of dead letters; negative if fewer are kept.
    pub(super) dead: Dead,
    /// Events that were evicted because the policy does not implement them.
    pub(super) unimplemented_evicted: isize,
}

impl Outcome {
    pub(super) fn forget(&mut self, dropped: Dead) {
        self.dead = self.dead - dropped;
    }
}

impl Writer {
    pub(super) fn new(connection: Connection, settings: &config::After, shared: Arc<Shared>) -> Self {
        Self {
            connection,
            clock: shared.clock,
            sync: settings.sync,
            dead_age: i64::try_from(settings.dead_age.as_millis()).unwrap_or(i64::MAX),
            dead_bytes: settings.dead_bytes,
            reserve: Reserve::beside(&shared.path),
            shared,
            sync_by: None,
            measured: None,
            tidied: Instant::now(),
            given_back: Instant::now(),
            damage: None,
            salvage_at: None,
            evicted_log: LogLimit::default(),
            fails_until: None,
            is_full: false,
            regained: Instant::now(),
            prepared: None,
            is_replaced: false,
        }
    }

    /// Runs until it is told to end, or nobody can tell it anything any more.
    pub(super) fn run(mut self) {
        loop {
            self.prepare();
            self.regain();
            self.measure();
            let Work { changes, ops, close, is_deserted } = self.wait();
            if let Some(damage) = self.shared.lock().damage.take() {
                self.damage = Some(damage);
            }
            if close.is_some() || is_deserted {
                return self.end(&changes, ops, close);
            }
            if changes.is_empty() && ops.is_empty() && self.damage.is_none() {
                // What failed to be written has ended meanwhile.
                self.works();
                self.idle();
                continue;
            }
            self.write(&changes, ops);
            self.keep_up();
        }
    }

    /// Waits for work.
    fn wait(&self) -> Work {
        let now = Instant::now();
        let idle = self.sync_by.map_or(IDLE, |by| by.saturating_duration_since(now).min(IDLE));
        let leave_alone = self.fails_until.map(|until| until.saturating_duration_since(now));
        let inner = self.shared.lock();
        let waited = self.shared.work.wait_timeout_while(inner, leave_alone.unwrap_or(idle), |inner| {
            let is_idle = !inner.overlay.is_dirty() && inner.ops.is_empty() && inner.damage.is_none();
            inner.close.is_none() && !inner.is_deserted && (is_idle || leave_alone.is_some())
        });
        let (mut inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let (most, ends_alone) = if self.is_full { (ENDS, true) } else { (BATCH, false) };
        let close = inner.close.take();
        let is_deserted = inner.is_deserted;
        let mut changes = match close.is_some() || is_deserted {
            true => inner.overlay.changes(usize::MAX, false),
            false => inner.overlay.changes(most, ends_alone),
        };
        if changes.is_empty() && !self.is_kept_free() {
            // No end makes room: perhaps somebody else has made some.
            changes = inner.overlay.changes(BATCH, false);
        }
        Work { changes, ops: inner.ops.drain(..).collect(), close, is_deserted }
    }

    fn end(mut self, changes: &[Change], ops: Vec<Op>, close: Option<(u64, oneshot::Sender<usize>)>) {
        self.write(changes, ops);
        if self.shared.lock().overlay.is_dirty() {
            // There may be room for a part of it.
            self.reserve.free();
            self.write_in_parts();
        }
        let lost = self.shared.lock().overlay.unwritten();
        // The whole log goes into the file, and both onto the disk.
        let marked = close.as_ref().map_or(Ok(()), |(number, _)| rows::mark(&self.connection, *number));
        let closed = marked.and_then(|()| {
            self.connection.execute_batch("pragma synchronous = full; pragma wal_checkpoint(truncate);")
        });
        if let Err(error) = closed {
            warn!(%error, "outbox close failed; written events are intact");
        }
        drop(self.connection);
        if let Some((_, told)) = close {
            // Whoever asked may have given up.
            let _ = told.send(lost);
        }
    }

    /// Writes all of it, or nothing and leaves it in the overlay for the next time.
    fn write(&mut self, changes: &[Change], ops: Vec<Op>) {
        let is_change = |op: &Op| matches!(op, Op::Hurry(_) | Op::MakeRoom(_));
        let (ops, asked): (Vec<Op>, Vec<Op>) = ops.into_iter().partition(is_change);
        // On a full disk these would take the room that the ends need.
        let (ops, later) = if self.is_full { (Vec::new(), ops) } else { (ops, Vec::new()) };
        later.into_iter().rev().for_each(|op| self.shared.lock().ops.push_front(op));
        if !changes.is_empty() || !ops.is_empty() {
            self.write_changes(changes, ops);
        }
        for op in asked {
            match op {
                Op::Act(act) => self.act(act),
                // Whoever asked may have given up.
                Op::Barrier(tell) => _ = tell.send(()),
                Op::Hurry(_) | Op::MakeRoom(_) => {}
            }
        }
        if self.is_replaced {
            self.recount();
        }
    }

    /// Makes the reserve again, if there is room, and marks numbers as given before they are.
    pub(super) fn prepare(&mut self) {
        if self.fails_until.is_some() || self.is_full || self.prepared.is_some_and(|at| at.elapsed() < PREPARE) {
            return;
        }
        self.prepared = Some(Instant::now());
        self.reserve.fill();
        // Numbers rise by a microsecond each, and never faster than time on the whole.
        if let Err(error) = rows::mark_ahead(&self.connection, first_number() + AHEAD) {
            warn!(%error, "outbox numbers not marked");
        }
    }
}
