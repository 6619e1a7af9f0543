//! What a batch of changes does to the rows, and what it leads to once it is committed.

use rusqlite::Connection;

use super::dead::{self, Dead};
use super::{Clock, Ended, News, Next, Op, Place, rows};

/// The effects of a batch.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) news: Vec<News>,
    /// Change in the number of dead letters; negative if fewer are kept.
    pub(super) dead: Dead,
    /// Events that were evicted because the policy does not implement them.
    pub(super) unimplemented_evicted: isize,
    /// Bytes that were to make room, less those of the events that were to be buried: both were counted when they were sent.
    pub(super) foreseen: isize,
    pub(super) unreadable: u64,
}

impl Outcome {
    /// Does one of the batch.
    pub(super) fn apply(&mut self, op: &Op, connection: &Connection, clock: &Clock) -> rusqlite::Result<()> {
        match op {
            Op::Insert { entry, place, .. } => {
                let behind = match (place, &entry.key) {
                    (Place::Ask, Some(key)) => rows::has_key(connection, entry.callback.rpc, key)?,
                    (place, _) => *place == Place::Behind,
                };
                rows::insert(connection, entry, clock, !behind)?;
                if *place == Place::Ask && !behind {
                    self.news.push(News::First(entry.clone()));
                }
            }
            Op::Retry { number, attempts, due } => rows::retry(connection, *number, *attempts, clock.of(*due))?,
            Op::Done(Ended { number, next, .. }) => {
                rows::delete(connection, *number)?;
                self.promote(next.as_ref(), connection)?;
            }
            Op::Bury { ended: Ended { number, bytes, next, .. }, attempts, reason, class } => {
                self.foreseen -= *bytes as isize;
                let buried = rows::bury(connection, *number, Some(*attempts), reason.as_str(), *class, clock.now())?;
                self.bury(buried, reason.as_str());
                self.promote(next.as_ref(), connection)?;
            }
            Op::Hurry => {
                rows::hurry(connection, clock.now())?;
                self.news.push(News::CaughtUp);
            }
            Op::Promote(all) => all.iter().try_for_each(|next| self.promote(Some(next), connection))?,
            Op::MakeRoom(bytes) => {
                self.foreseen += *bytes as isize;
                self.forget(dead::make_room(connection, *bytes as isize, isize::MAX)?);
            }
            // What acts cannot be done twice, so it is not done with a batch: see `tell`. What reads comes after that.
            Op::Act(_) | Op::Load { .. } | Op::Close { .. } => {}
        }
        Ok(())
    }

    /// Moves an event that cannot be read to those that ended.
    pub(super) fn set_aside(
        &mut self,
        rpc: &'static str,
        (number, bytes, next): &rows::Unreadable,
        connection: &Connection,
        clock: &Clock,
    ) -> rusqlite::Result<()> {
        let buried = rows::bury(connection, *number, None, rows::UNREADABLE, None, clock.now())?;
        self.bury(buried, rows::UNREADABLE);
        self.unreadable += 1;
        self.news.push(News::Gone { rpc, number: *number, bytes: *bytes });
        self.promote(next.as_ref(), connection)
    }

    fn promote(&mut self, next: Option<&Next>, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(next) = next {
            rows::promote(connection, next)?;
            self.news.push(News::Added { rpc: next.rpc, events: 0, bytes: 0 });
        }
        Ok(())
    }

    fn bury(&mut self, bytes: Option<usize>, reason: &str) {
        if let Some(bytes) = bytes {
            self.dead.add(Dead::one(bytes, reason));
        }
    }

    pub(super) fn forget(&mut self, dropped: Dead) {
        self.dead = self.dead - dropped;
    }
}
