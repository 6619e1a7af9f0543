//! Dead letters: how an event becomes one, and their bounds.

use std::ops::Sub;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::Clock;
use super::rows::{self, Died};
use crate::outbox::Reason;
use crate::outbox::entry::{Kept, Progress};
use crate::outbox::overlay::State;
use crate::outbox::store::Death;

/// A number of dead letters, or a change of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dead {
    pub(super) events: isize,
    pub(super) bytes: isize,
    /// The bytes of events that the policy does not implement, among all of them.
    pub(super) unimplemented: isize,
}

impl Dead {
    /// Counts one event.
    pub(super) fn one(bytes: usize, reason: &str) -> Self {
        let bytes = bytes as isize;
        let unimplemented = if reason == Reason::Unimplemented.as_str() { bytes } else { 0 };
        Self { events: 1, bytes, unimplemented }
    }

    pub(super) fn add(&mut self, other: Self) {
        *self = *self - (Self::default() - other);
    }
}

impl Sub for Dead {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            events: self.events - other.events,
            bytes: self.bytes - other.bytes,
            unimplemented: self.unimplemented - other.unimplemented,
        }
    }
}

/// Moves an event to the dead letters.
pub(super) fn bury(
    connection: &Connection,
    id: i64,
    attempts: Option<u32>,
    death: Death,
    clock: &Clock,
) -> rusqlite::Result<Died> {
    let mut insert = connection.prepare_cached(
        "insert or replace into dead (id, event_id, target, rpc, domain, key, arrived, attempts, replay, budget, bytes, sum,
             died, reason, class, metadata, message)
         select id, event_id, target, rpc, domain, key, arrived, coalesce(?2, attempts), replay, budget, bytes, sum,
             ?3, ?4, ?5, metadata, message
         from events where id = ?1 returning bytes",
    )?;
    let values = params![id, attempts, clock.now(), death.reason, death.class];
    let bytes: Option<i64> = insert.query_row(values, |row| row.get(0)).optional()?;
    connection.prepare_cached("delete from events where id = ?")?.execute([id])?;
    Ok(bytes.map(|bytes| (usize::try_from(bytes).unwrap_or_default(), death.reason)))
}

/// Writes a dead letter of which the file has no event.
pub(super) fn bury_new(
    connection: &Connection,
    event: &Arc<Kept>,
    progress: Progress,
    death: Death,
    clock: &Clock,
) -> rusqlite::Result<(usize, &'static str)> {
    rows::insert(connection, event, progress, State::Fresh, clock)?;
    let died = bury(connection, rows::as_id(event.number), None, death, clock)?;
    Ok(died.unwrap_or((0, death.reason)))
}

/// Counts the dead letters.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<Dead> {
    let all = "select count(*), coalesce(sum(bytes), 0) from dead indexed by dead_died";
    let (events, bytes) = connection.query_row(all, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let unimplemented = "select coalesce(sum(bytes), 0) from dead where reason = 'unimplemented'";
    Ok(Dead { events, bytes, unimplemented: connection.query_row(unimplemented, [], |row| row.get(0))? })
}

/// Drops the oldest until so many bytes are free, `most` at most; gives what it dropped.
pub(super) fn make_room(connection: &Connection, bytes: isize, most: isize) -> rusqlite::Result<Dead> {
    evict(bytes, most, || drop_first(connection, "true order by died", []))
}

/// Drops the oldest of the events that the policy does not implement, until so many bytes are free, `most` at most.
pub(super) fn evict_unimplemented(connection: &Connection, bytes: isize, most: isize) -> rusqlite::Result<Dead> {
    evict(bytes, most, || drop_first(connection, "reason = 'unimplemented' order by died", []))
}

fn evict(
    bytes: isize,
    most: isize,
    mut drop_one: impl FnMut() -> rusqlite::Result<Option<Dead>>,
) -> rusqlite::Result<Dead> {
    let mut dropped = Dead::default();
    while dropped.bytes < bytes && dropped.events < most {
        let Some(one) = drop_one()? else { break };
        dropped.add(one);
    }
    Ok(dropped)
}

/// Maximum number of dead letters dropped in one transaction: a longer one would hold up the events that come.
pub(super) const AT_ONCE: isize = 1_000;

/// Drops what died before then, [`AT_ONCE`] at most; gives what it dropped.
pub(super) fn drop_older(connection: &Connection, than: i64) -> rusqlite::Result<Dead> {
    evict(isize::MAX, AT_ONCE, || drop_first(connection, "died < ? order by died", [than]))
}

fn drop_first(connection: &Connection, which: &str, params: impl Params) -> rusqlite::Result<Option<Dead>> {
    let mut delete = connection.prepare_cached(&format!(
        "delete from dead where id = (select id from dead where {which} limit 1) returning bytes, reason"
    ))?;
    let dropped = delete.query_row(params, |row| {
        let bytes = usize::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
        Ok(Dead::one(bytes, &row.get::<_, String>(1)?))
    });
    dropped.optional()
}
