//! The commit of changes of events, and of what somebody asked for.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use rusqlite::{ErrorCode, Transaction, TransactionBehavior};
use tracing::{error, info};

use super::super::dead::{self, Dead};
use super::super::{Act, News, Op, rows, salvage};
use super::{Outcome, Writer};
use crate::config::SyncRule;
use crate::outbox::overlay::{Change, State};

impl Writer {
    pub(super) fn write_changes(&mut self, changes: &[Change], ops: Vec<Op>) {
        if !self.is_whole() {
            return self.fail(changes, ops);
        }
        let began = Instant::now();
        match self.commit(changes, &ops) {
            Ok(outcome) => {
                self.took(began.elapsed());
                self.tell(changes, ops.into_iter(), &outcome);
            }
            Err(error) => {
                if salvage::is_damage(&error) {
                    self.salvage(error);
                } else {
                    if self.fails_until.is_none() && !self.is_full {
                        error!(%error, "outbox write failed, buffering events in memory");
                    }
                    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
                        self.make_room_for_ends();
                    }
                }
                self.fail(changes, ops);
            }
        }
    }

    pub(super) fn commit(&mut self, changes: &[Change], ops: &[Op]) -> rusqlite::Result<Outcome> {
        let durable = self.sync == SyncRule::Each || self.sync_by.is_some_and(|by| by <= Instant::now());
        let inserts = changes.iter().any(|change| !change.in_file);
        let level = if durable && (inserts || self.sync_by.is_some()) { "full" } else { "normal" };
        self.connection.pragma_update(None, "synchronous", level)?;
        let transaction = self.begin()?;
        let mut outcome = Outcome::default();
        for change in changes {
            if let Some((bytes, reason)) = rows::write(&transaction, change, &self.clock)? {
                outcome.dead.add(Dead::one(bytes, reason));
            }
        }
        for op in ops {
            match op {
                Op::Hurry(rpc) => rows::hurry(&transaction, rpc, self.clock.now())?,
                Op::MakeRoom(bytes) => outcome.forget(dead::make_room(&transaction, *bytes as isize, isize::MAX)?),
                Op::Act(_) | Op::Barrier(_) => {}
            }
        }
        self.bound_dead(&mut outcome)?;
        transaction.commit()?;
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
    pub(in crate::outbox::sqlite) fn begin(&self) -> rusqlite::Result<Transaction<'_>> {
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
    }

    /// Tells everybody what a commit means to them. Whoever waits for it comes first.
    pub(super) fn tell(&mut self, changes: &[Change], ops: impl Iterator<Item = Op>, outcome: &Outcome) {
        let was_late = self.fails_until.take().is_some();
        let gauges = &self.shared.gauges;
        // Before its events are written for all to see.
        gauges.count_dead(outcome.dead);
        {
            let inner = &mut *self.shared.lock();
            let is_read = inner.is_read;
            inner.overlay.written(changes, is_read);
            inner.fails = self.is_kept_free();
            inner.changes += u64::from(changes.iter().any(|change| change.state != State::Gone));
        }
        self.tell_evicted(outcome.unimplemented_evicted);
        if !self.is_kept_free() {
            self.is_full = false;
        }
        if was_late && !self.is_full {
            info!("outbox writable again");
        }
        for op in ops {
            match op {
                Op::Hurry(rpc) => {
                    if let Some(hurries) = self.shared.lock().hurries.get_mut(rpc) {
                        *hurries -= 1;
                    }
                    self.shared.tell(News::More(rpc));
                }
                Op::MakeRoom(bytes) => _ = gauges.promised.fetch_sub(bytes, Relaxed),
                Op::Act(_) | Op::Barrier(_) => {}
            }
        }
    }

    /// Makes a change that somebody asked for, in a commit of its own. On a full disk the reserve makes room for it.
    pub(super) fn act(&mut self, act: Box<Act>) {
        if !self.is_whole() {
            return;
        }
        if self.fails_until.is_some() {
            self.make_room_for_ends();
        }
        let done = (|| {
            let transaction = self.begin()?;
            let tell = act(&transaction, &self.clock)?;
            let committed = dead::count(&transaction).and_then(|count| transaction.commit().map(|()| count));
            if let Ok(count) = &committed {
                self.shared.gauges.recount_dead(*count);
                self.shared.lock().changes += 1;
            }
            tell(committed.is_ok());
            committed.map(drop)
        })();
        if let Err(error) = done {
            error!(%error, "outbox operation failed");
        }
    }
}
