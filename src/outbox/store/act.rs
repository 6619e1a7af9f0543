//! What people do with the events on disk.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::look::name;
use super::meant::{Filter, State, conditions, states};
use super::rows;

/// Events of an rpc that go again.
pub(in crate::outbox) struct Replayed {
    pub(in crate::outbox) rpc: String,
    pub(in crate::outbox) events: usize,
    pub(in crate::outbox) bytes: usize,
    /// What those belong to that have others before them.
    pub(in crate::outbox) behind: Vec<Arc<str>>,
}

/// Lets events that ended go the way of those that arrive, under numbers from `number` on. Some may be gone by now.
pub(in crate::outbox) fn replay(
    connection: &Connection,
    places: &[i64],
    number: u64,
    now: i64,
) -> rusqlite::Result<Vec<Replayed>> {
    let mut replayed: Vec<Replayed> = Vec::new();
    for (place, id) in (0..).zip(places) {
        let Some((rpc, key, bytes, reason)) = ended(connection, *id)? else { continue };
        if reason == rows::UNREADABLE {
            // What cannot be read is not sent again.
            continue;
        }
        let busy = match &key {
            Some(key) => rows::has_key(connection, &name(connection, rpc)?, key)?,
            None => false,
        };
        connection
            .prepare_cached(
                "insert into events
                     (id, event_id, rpc, key, due, arrived, since, attempts, spared, budget, bytes, sum, metadata, message)
                 select ?2, event_id, rpc, key, ?3, ?4, ?4, attempts, attempts, budget, bytes, sum, metadata, message
                 from dead where id = ?1",
            )?
            .execute(params![id, i64::try_from(number + place).unwrap_or(i64::MAX), (!busy).then_some(now), now])?;
        connection.prepare_cached("delete from dead where id = ?")?.execute([id])?;
        let rpc = name(connection, rpc)?;
        let behind = key.filter(|_| busy).map(Arc::from);
        match replayed.iter_mut().find(|other| other.rpc == rpc) {
            Some(of) => {
                (of.events, of.bytes) = (of.events + 1, of.bytes + bytes);
                of.behind.extend(behind);
            }
            None => replayed.push(Replayed { rpc, events: 1, bytes, behind: behind.into_iter().collect() }),
        }
    }
    Ok(replayed)
}

/// Drops events that ended; says how many.
pub(in crate::outbox) fn drop_dead(connection: &Connection, places: &[i64]) -> rusqlite::Result<usize> {
    let mut dropped = 0;
    for id in places {
        dropped += connection.prepare_cached("delete from dead where id = ?")?.execute([id])?;
    }
    Ok(dropped)
}

/// An event that ended: its rpc, what it belongs to, its bytes, and why it ended.
type Row = (i64, Option<String>, usize, String);

fn ended(connection: &Connection, id: i64) -> rusqlite::Result<Option<Row>> {
    let mut query = connection.prepare_cached("select rpc, key, bytes, reason from dead where id = ?")?;
    let found = query.query_row([id], |row| {
        let bytes = usize::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
        Ok((row.get(0)?, row.get(1)?, bytes, row.get(3)?))
    });
    found.optional()
}

/// The event that waits and is meant, which has its ID said: its number, its rpc and its bytes.
pub(in crate::outbox) fn waiting(
    connection: &Connection,
    filter: &Filter,
) -> rusqlite::Result<Option<(u64, String, usize)>> {
    if filter.id.is_none() || !states(filter).any(|state| state == State::Waiting) {
        return Ok(None);
    }
    let (conditions, values) = conditions(connection, filter, State::Waiting)?;
    let query = format!("select id, rpc, bytes from events where {conditions}");
    let found: Option<(i64, i64, i64)> = connection
        .query_row(&query, params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((number, rpc, bytes)) = found else { return Ok(None) };
    Ok(Some((number as u64, name(connection, rpc)?, usize::try_from(bytes).unwrap_or_default())))
}

/// Makes an event due that waits for its next attempt; one that is behind another stays there.
pub(in crate::outbox) fn make_due(connection: &Connection, number: u64, now: i64) -> rusqlite::Result<()> {
    let update = "update events set due = ?2 where id = ?1 and due > ?2";
    connection.execute(update, params![i64::try_from(number).unwrap_or(i64::MAX), now])?;
    Ok(())
}

/// Takes an event out that waits; gives what it belonged to, if it was there.
pub(in crate::outbox) fn discard(connection: &Connection, number: u64) -> rusqlite::Result<Option<Option<String>>> {
    let delete = "delete from events where id = ? returning key";
    connection.query_row(delete, [i64::try_from(number).unwrap_or(i64::MAX)], |row| row.get(0)).optional()
}

/// The first of what belongs together has no other before it any more.
pub(in crate::outbox) fn promote(connection: &Connection, next: &super::Next) -> rusqlite::Result<()> {
    rows::promote(connection, next)
}
