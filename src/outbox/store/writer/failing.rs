//! What the thread does when the disk does not take what it writes, or the file is damaged.

use std::time::Instant;

use rusqlite::Connection;
use tracing::error;

use super::super::{dead, owed, salvage};
use super::{FULL, Writer};

impl Writer {
    /// Keeps what could not be written, and lets go on from memory what can.
    pub(super) fn owe(&mut self, from: u64) {
        owed::owe(&mut self.pending, from);
        if self.fails_until.is_none_or(|until| until <= Instant::now()) {
            // A disk that is full is not asked again and again without a pause.
            self.fails_until = Some(Instant::now() + FULL);
            for news in owed::first(&self.connection, &mut self.pending) {
                (self.hear)(news);
            }
        }
    }

    /// Whether there is a file that is not damaged; one that could not be replaced yet is tried again.
    pub(super) fn is_whole(&mut self) -> bool {
        if let Some(damage) = self.damage.take() {
            self.salvage(damage);
        }
        self.damage.is_none()
    }

    /// Replaces a damaged file. What has been given out as a number stays given out.
    pub(super) fn salvage(&mut self, damage: rusqlite::Error) {
        let Ok(nothing) = Connection::open_in_memory() else {
            self.damage = Some(damage);
            return;
        };
        let damaged = std::mem::replace(&mut self.connection, nothing);
        match salvage::salvage(&self.path, Some(damaged), &damage) {
            Ok(connection) => {
                (self.connection, self.marked) = (connection, 0);
                if let Ok(count) = dead::count(&self.connection) {
                    self.gauges.recount_dead(count);
                }
            }
            Err(error) => {
                error!(%error, "outbox recovery failed, retrying with the next write");
                self.damage = Some(damage);
            }
        }
    }
}
