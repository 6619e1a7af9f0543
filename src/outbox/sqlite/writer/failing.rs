//! A disk that takes nothing, and a file that is damaged.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use tracing::{debug, error};

use super::super::standing::standing;
use super::super::{News, Op, dead, salvage};
use super::{ENDS, FULL, IDLE, Writer};
use crate::outbox::overlay::Change;

/// Pause between two attempts to replace a damaged file: each reads all of it.
const SALVAGE: Duration = Duration::from_secs(30);

impl Writer {
    /// Writes what can be written: ends first, then fewer changes at a time until a single one fails.
    pub(super) fn write_in_parts(&mut self) {
        for (most, deletes_only) in [(ENDS, true), (256, false), (16, false), (1, false)] {
            loop {
                let changes = self.shared.lock().overlay.changes(most, deletes_only);
                if changes.is_empty() {
                    break;
                }
                self.write(&changes, Vec::new());
                if self.fails_until.is_some() {
                    break;
                }
            }
        }
    }

    /// Makes room for ends on a full disk: that of the reserve, and that of the log. With the log in the file, it begins anew.
    pub(super) fn make_room_for_ends(&mut self) {
        self.reserve.free();
        // Without a reserve the deletions alone and everything are tried in turn.
        self.is_full = self.reserve.is_given() || !self.is_full;
        self.fold_log();
        if self.is_kept_free() {
            // What arrived is not written soon: nobody waits for it.
            let inner = &mut *self.shared.lock();
            let all = inner.overlay.changes(usize::MAX, false);
            inner.overlay.not_written(&all);
        }
    }

    /// Returns true if the room that there is on a full disk is kept for ends.
    pub(super) fn is_kept_free(&self) -> bool {
        self.is_full && self.reserve.is_given()
    }

    /// Takes the reserve again if there is room for it on a disk that was full: then everything is written again.
    pub(super) fn regain(&mut self) {
        if !self.is_kept_free() || self.regained.elapsed() < IDLE {
            return;
        }
        self.regained = Instant::now();
        // What ended left free pages in the file.
        self.give_back(0);
        self.fold_log();
        if self.reserve.fill() {
            self.is_full = false;
        } else {
            self.fails_until = Some(Instant::now() + FULL);
        }
    }

    /// Writes the log into the file as far as there is room, and gives its own room back.
    fn fold_log(&self) {
        if let Err(error) = self.connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())) {
            debug!(%error, "outbox checkpoint failed");
        }
    }

    /// Notes that nothing is known to fail.
    pub(super) fn works(&mut self) {
        if self.is_kept_free() {
            // What waits to be written waits for room.
            self.fails_until = Some(Instant::now() + FULL);
            return;
        }
        self.is_full = false;
        if self.fails_until.take().is_some() {
            self.shared.lock().fails = false;
        }
    }

    /// Leaves what was not written in the overlay.
    pub(super) fn fail(&mut self, changes: &[Change], ops: Vec<Op>) {
        self.fails_until = Some(Instant::now() + FULL);
        let inner = &mut *self.shared.lock();
        inner.fails = true;
        inner.overlay.not_written(changes);
        ops.into_iter().rev().for_each(|op| inner.ops.push_front(op));
    }

    /// Has the scheduler count anew what the file has since it was replaced, with all that was kept in memory meanwhile.
    pub(super) fn recount(&mut self) {
        let shared = self.shared.clone();
        let mut recount = || {
            // The scheduler waits for this, so nothing changes.
            let changes = shared.lock().overlay.changes(usize::MAX, false);
            if !changes.is_empty() {
                match self.commit(&changes, &[]) {
                    Ok(outcome) => self.tell(&changes, std::iter::empty(), &outcome),
                    Err(error) => {
                        error!(%error, "outbox write failed, buffering events in memory");
                        self.fail(&changes, Vec::new());
                        return None;
                    }
                }
            }
            let found = standing(&self.connection);
            let found = found.inspect_err(|error| error!(%error, "outbox read failed, retrying")).ok()?;
            self.is_replaced = false;
            Some(found.standing)
        };
        shared.tell(News::Replaced(&mut recount));
    }

    /// Returns true if there is a file that is not damaged; one that could not be replaced yet is tried again.
    pub(super) fn is_whole(&mut self) -> bool {
        let is_time = self.salvage_at.is_none_or(|at| at <= Instant::now());
        if let Some(damage) = self.damage.take_if(|_| is_time) {
            self.salvage(damage);
        }
        self.damage.is_none()
    }

    /// Replaces a damaged file.
    pub(super) fn salvage(&mut self, damage: rusqlite::Error) {
        let Ok(nothing) = Connection::open_in_memory() else {
            self.damage = Some(damage);
            return;
        };
        let damaged = std::mem::replace(&mut self.connection, nothing);
        match salvage::salvage(&self.shared.path, Some(damaged), &damage, true) {
            Ok(connection) => {
                self.connection = connection;
                self.salvage_at = None;
                {
                    let inner = &mut *self.shared.lock();
                    inner.generation += 1;
                    // What a reader has found in the meantime is of the file before.
                    inner.damage = None;
                    inner.overlay.rewind();
                }
                match dead::count(&self.connection) {
                    Ok(count) => self.shared.gauges.recount_dead(count),
                    Err(error) => error!(%error, "outbox dead letters not counted"),
                }
                self.is_replaced = true;
            }
            Err(error) => {
                error!(%error, "outbox recovery failed, retrying later");
                self.damage = Some(damage);
                self.salvage_at = Some(Instant::now() + SALVAGE);
            }
        }
    }
}
