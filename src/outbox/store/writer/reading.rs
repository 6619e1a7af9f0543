//! Reading for the queue. It is apart from writing: a sector that cannot be read keeps nothing from being written.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tracing::{error, warn};

use super::super::changes::Outcome;
use super::super::{News, owed, rows, salvage};
use super::Writer;

/// How soon what could not be read is asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it is said that something cannot be read.
const SAID: Duration = Duration::from_secs(60);

/// What of an rpc is in memory already.
pub(super) type Asked = (&'static str, HashSet<u64>);

impl Writer {
    /// Reads what is next of an rpc; all that was sent before is written, or owed.
    pub(super) fn load(&mut self, (rpc, loaded): Asked) {
        if !self.pending.is_empty() {
            return (self.hear)(owed::load(&self.connection, &self.pending, rpc, &loaded, &self.clock));
        }
        let read = match self.is_whole() {
            true => rows::load(&self.connection, rpc, |number| loaded.contains(&number), &self.clock),
            false => Ok(rows::Read::nothing_until(AGAIN)),
        };
        let read = read.unwrap_or_else(|error| {
            if salvage::is_damage(&error) {
                self.salvage(error);
            } else if self.unread_said.is_none_or(|at| at.elapsed() >= SAID) {
                self.unread_said = Some(Instant::now());
                error!(rpc, %error, "outbox read failed, retrying");
            }
            rows::Read::nothing_until(AGAIN)
        });
        let rows::Read { entries, unreadable, mut next } = read;
        if !unreadable.is_empty()
            && let Err(error) = self.set_aside(rpc, unreadable)
        {
            warn!(rpc, %error, "outbox events unreadable, not dead-lettered yet");
            next = rows::Read::nothing_until(AGAIN).next;
        }
        (self.hear)(News::Loaded { rpc, entries, next });
    }

    /// Moves rows that cannot be read to those that ended, so that they hold up nothing.
    fn set_aside(&mut self, rpc: &'static str, unreadable: Vec<rows::Unreadable>) -> rusqlite::Result<()> {
        let transaction = self.begin()?;
        let mut outcome = Outcome::default();
        for row in &unreadable {
            outcome.set_aside(rpc, row, &self.connection, &self.clock)?;
        }
        transaction.commit()?;
        for (number, ..) in unreadable {
            warn!(rpc, number, "outbox event unreadable, dead-lettered");
        }
        self.tell(Vec::new(), outcome, false);
        Ok(())
    }
}
