//! What people do with the events on disk.

use std::sync::Arc;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::look::{Filter, State, conditions, name};
use super::rows;

/// Events of an rpc that go again.
pub(in crate::events) struct Replayed {
    pub(in crate::events) rpc: String,
    pub(in crate::events) events: usize,
    pub(in crate::events) bytes: usize,
    /// What those belong to that have others before them.
    pub(in crate::events) behind: Vec<Arc<str>>,
}

/// Lets events that ended go the way of those that arrive, a thousand at most, under numbers from `number` on.
pub(in crate::events) fn replay(
    connection: &Connection,
    filter: &Filter,
    number: u64,
    now: i64,
) -> rusqlite::Result<Vec<Replayed>> {
    let mut replayed: Vec<Replayed> = Vec::new();
    // What cannot be read is not sent again.
    let readable = format!("reason != '{}'", rows::UNREADABLE);
    for (place, (id, rpc, key, bytes)) in (0..).zip(meant(connection, filter, &readable)?) {
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

/// Drops events that ended, a thousand at most; says how many.
pub(in crate::events) fn drop_dead(connection: &Connection, filter: &Filter) -> rusqlite::Result<usize> {
    let meant = meant(connection, filter, "true")?;
    for (id, ..) in &meant {
        connection.prepare_cached("delete from dead where id = ?")?.execute([id])?;
    }
    Ok(meant.len())
}

/// How many are replayed or dropped at a time: nobody else writes meanwhile.
pub(in crate::events) const AT_A_TIME: usize = 1_000;

type Meant = (i64, i64, Option<String>, usize);

fn meant(connection: &Connection, filter: &Filter, besides: &str) -> rusqlite::Result<Vec<Meant>> {
    let (conditions, mut values) = conditions(connection, filter, State::Dead)?;
    values.push(Sql::from(i64::try_from(filter.limit.unwrap_or(AT_A_TIME).min(AT_A_TIME)).unwrap_or(i64::MAX)));
    let query = format!("select id, rpc, key, bytes from dead where {conditions} and {besides} order by id limit ?");
    let mut query = connection.prepare_cached(&query)?;
    let found = query.query_map(params_from_iter(values), |row| {
        let bytes = usize::try_from(row.get::<_, i64>(3)?).unwrap_or_default();
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, bytes))
    })?;
    found.collect()
}

/// An event that waits: its number and its rpc.
pub(in crate::events) fn waiting(connection: &Connection, id: &str) -> rusqlite::Result<Option<(u64, String, usize)>> {
    let query = "select id, rpc, bytes from events where event_id = ?";
    let found: Option<(i64, i64, i64)> =
        connection.query_row(query, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((number, rpc, bytes)) = found else { return Ok(None) };
    Ok(Some((number as u64, name(connection, rpc)?, usize::try_from(bytes).unwrap_or_default())))
}

/// Makes an event due that waits for its next attempt; one that is behind another stays there.
pub(in crate::events) fn make_due(connection: &Connection, number: u64, now: i64) -> rusqlite::Result<()> {
    let update = "update events set due = ?2 where id = ?1 and due > ?2";
    connection.execute(update, params![i64::try_from(number).unwrap_or(i64::MAX), now])?;
    Ok(())
}

/// Takes an event out that waits; gives what it belonged to, if it was there.
pub(in crate::events) fn discard(connection: &Connection, number: u64) -> rusqlite::Result<Option<Option<String>>> {
    let delete = "delete from events where id = ? returning key";
    connection.query_row(delete, [i64::try_from(number).unwrap_or(i64::MAX)], |row| row.get(0)).optional()
}

/// The first of what belongs together has no other before it any more.
pub(in crate::events) fn promote(connection: &Connection, next: &super::Next) -> rusqlite::Result<()> {
    rows::promote(connection, next)
}
