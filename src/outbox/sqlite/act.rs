//! Changes that people make to the events on disk.

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::filter::{Filter, State, conditions, states};
use super::look::name;
use super::rows::{self, COLUMNS};
use super::{Clock, EventState};
use crate::outbox::entry::Entry;

/// Events of an rpc that were replayed.
#[derive(Debug, Clone)]
pub(in crate::outbox) struct Replayed {
    pub(in crate::outbox) rpc: String,
    pub(in crate::outbox) events: usize,
    pub(in crate::outbox) bytes: usize,
}

/// Lets dead letters wait for an attempt again, at once and outside of the order of their key. Some may be gone by now.
pub(in crate::outbox) fn replay(
    connection: &Connection,
    places: &[i64],
    run: i64,
    now: i64,
) -> rusqlite::Result<Vec<Replayed>> {
    let mut replayed: Vec<Replayed> = Vec::new();
    for id in places {
        // What cannot be read is not sent again.
        let mut insert = connection.prepare_cached(
            "insert or ignore into events (id, event_id, target, rpc, domain, key, due, behind, parked, arrived, since,
                 attempts, spared, replay, budget, bytes, sum, metadata, message)
             select id, event_id, target, rpc, domain, key, ?3, 0, 1, arrived, ?3, attempts, attempts, ?2, budget, bytes, sum,
                 metadata, message
             from dead where id = ?1 and reason <> ?4 returning rpc, bytes",
        )?;
        let row = insert.query_row(params![id, run, now, rows::UNREADABLE], |row| Ok((row.get(0)?, row.get(1)?)));
        let Some((rpc, bytes)): Option<(i64, i64)> = row.optional()? else { continue };
        connection.prepare_cached("delete from dead where id = ?")?.execute([id])?;
        let (rpc, bytes) = (name(connection, rpc)?, usize::try_from(bytes).unwrap_or_default());
        match replayed.iter_mut().find(|other| other.rpc == rpc) {
            Some(of) => (of.events, of.bytes) = (of.events + 1, of.bytes + bytes),
            None => replayed.push(Replayed { rpc, events: 1, bytes }),
        }
    }
    Ok(replayed)
}

/// Marks an event that waits as replayed. Returns false if the file does not have it.
pub(in crate::outbox) fn mark_replayed(connection: &Connection, number: u64, run: i64) -> rusqlite::Result<bool> {
    let marked =
        connection.execute("update events set replay = ?2 where id = ?1", params![rows::as_id(number), run])?;
    Ok(marked > 0)
}

/// Makes an event due that waits for its next attempt; one that is behind another stays there.
pub(in crate::outbox) fn make_due(connection: &Connection, number: u64, now: i64) -> rusqlite::Result<()> {
    connection.execute("update events set due = ?2 where id = ?1 and due > ?2", params![rows::as_id(number), now])?;
    Ok(())
}

/// Drops dead letters; returns their number.
pub(in crate::outbox) fn drop_dead(connection: &Connection, places: &[i64]) -> rusqlite::Result<usize> {
    let mut dropped = 0;
    for id in places {
        dropped += connection.prepare_cached("delete from dead where id = ?")?.execute([id])?;
    }
    Ok(dropped)
}

/// Drops an event that waits.
pub(in crate::outbox) fn drop_waiting(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    connection.execute("delete from events where id = ?", [rows::as_id(number)])?;
    Ok(())
}

/// An event that waits, and its state as the file has it.
#[derive(Debug, Clone)]
pub(in crate::outbox) struct Waiting {
    pub(in crate::outbox) entry: Entry,
    pub(in crate::outbox) state: EventState,
}

/// Returns the event that waits and is selected by its ID.
pub(in crate::outbox) fn waiting(
    connection: &Connection,
    filter: &Filter,
    clock: &Clock,
) -> rusqlite::Result<Option<Waiting>> {
    if filter.id.is_none() || !states(filter).any(|state| state == State::Waiting) {
        return Ok(None);
    }
    let (conditions, values) = conditions(connection, filter, State::Waiting)?;
    let query =
        format!("select {COLUMNS}, due, behind from events join names on names.id = events.rpc where {conditions}");
    let found = connection.query_row(&query, params_from_iter(values), |row| {
        let (due, is_behind): (Option<i64>, bool) = (row.get(13)?, row.get(14)?);
        let read = rows::read(row, clock)?;
        Ok(read.ok().map(|entry| {
            let state = match due.map(|due| clock.instant(due)) {
                Some(due) if entry.progress.parked => EventState::Parked(due),
                Some(due) => EventState::Due(due),
                None if is_behind => EventState::Behind,
                None => EventState::Fresh,
            };
            Waiting { entry, state }
        }))
    });
    Ok(found.optional()?.flatten())
}
