//! An event as a row, and the changes of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::{Clock, dead};
use crate::contract::{Callback, Metadata};
use crate::outbox::TARGET;
use crate::outbox::entry::{Entry, Kept, Key, Progress};
use crate::outbox::overlay::{Change, State};
use crate::outbox::store::Unreadable;

/// The reason of dead letters whose rows cannot be read.
pub(super) const UNREADABLE: &str = "unreadable";

/// The columns that [`read`] takes.
pub(super) const COLUMNS: &str = "events.id, names.name, key, arrived, since, attempts, spared, parked, budget, sum, metadata, \
                                  message, bytes";

pub(in crate::outbox) fn as_id(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn integer<T: TryInto<i64>>(value: T) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// Returns the checksum that is written beside a row.
pub(super) fn sum(metadata: &str, message: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(metadata.as_bytes());
    hasher.update(message);
    hasher.finalize()
}

/// Returns the number of a name; none if it is not written down.
pub(super) fn known_number(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    let mut query = connection.prepare_cached("select id from names where name = ?")?;
    query.query_row([name], |row| row.get(0)).optional()
}

/// Returns the number of a name, which is written down when it is first needed.
pub(super) fn number(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    if let Some(number) = known_number(connection, name)? {
        return Ok(number);
    }
    connection.execute("insert into names (name) values (?)", [name])?;
    Ok(connection.last_insert_rowid())
}

/// The state of an event as columns: its time, and whether it is behind others.
fn schedule(state: State, clock: &Clock) -> (Option<i64>, bool) {
    match state {
        State::Due(due) | State::Parked(due) => (Some(clock.of(due)), false),
        State::Behind => (None, true),
        State::Fresh | State::Gone | State::Dead(_) => (None, false),
    }
}

/// The bytes and the reason of the dead letter that was written, if one was.
pub(super) type Died = Option<(usize, &'static str)>;

/// Writes a change. Returns the bytes and reason of a new dead letter.
pub(super) fn write(connection: &Connection, change: &Change, clock: &Clock) -> rusqlite::Result<Died> {
    let Change { number, event, progress, state, in_file, .. } = change;
    let id = as_id(*number);
    match (state, event, progress) {
        (State::Gone, ..) => {
            connection.prepare_cached("delete from events where id = ?")?.execute([id])?;
        }
        (State::Dead(death), Some(event), Some(progress)) if !in_file => {
            return dead::bury_new(connection, event, *progress, *death, clock).map(Some);
        }
        (State::Dead(death), _, progress) => {
            return dead::bury(connection, id, progress.map(|progress| progress.attempts), *death, clock);
        }
        (state, Some(event), Some(progress)) if !in_file => insert(connection, event, *progress, *state, clock)?,
        (state, _, Some(progress)) => update(connection, id, *progress, *state, clock)?,
        (_, _, None) => {}
    }
    Ok(None)
}

/// The metadata of an event as JSON.
fn metadata(event: &Kept) -> String {
    let pairs: serde_json::Map<String, Value> =
        event.metadata.pairs().map(|(name, value)| (name.to_owned(), value.into())).collect();
    Value::from(pairs).to_string()
}

fn size(event: &Arc<Kept>, progress: Progress) -> i64 {
    integer(Entry { event: event.clone(), progress }.size())
}

fn domain(connection: &Connection, event: &Kept) -> rusqlite::Result<Option<i64>> {
    event.key.as_ref().map(|key| number(connection, key.domain)).transpose()
}

pub(super) fn insert(
    connection: &Connection,
    event: &Arc<Kept>,
    progress: Progress,
    state: State,
    clock: &Clock,
) -> rusqlite::Result<()> {
    let metadata = metadata(event);
    let (due, behind) = schedule(state, clock);
    // A file that was damaged and replaced may have it.
    let mut insert = connection.prepare_cached(
        "insert or replace into events (id, event_id, target, rpc, domain, key, due, behind, parked, arrived, since,
             attempts, spared, budget, bytes, sum, metadata, message)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?;
    insert.execute(params![
        as_id(event.number),
        event.metadata.get(&crate::contract::metadata::EVENT_ID),
        number(connection, TARGET)?,
        number(connection, event.callback.rpc)?,
        domain(connection, event)?,
        event.key.as_ref().map(|key| &*key.value),
        due,
        behind,
        progress.parked,
        clock.of(event.arrived),
        clock.of(progress.since),
        progress.attempts,
        progress.spared,
        integer(event.budget.as_millis()),
        size(event, progress),
        sum(&metadata, &event.message),
        metadata,
        &event.message[..],
    ])?;
    Ok(())
}

fn update(connection: &Connection, id: i64, progress: Progress, state: State, clock: &Clock) -> rusqlite::Result<()> {
    let (due, behind) = schedule(state, clock);
    let mut update = connection.prepare_cached(
        "update events set due = ?2, behind = ?3, parked = ?4, attempts = ?5, spared = ?6, since = ?7 where id = ?1",
    )?;
    let Progress { attempts, spared, since, parked } = progress;
    update.execute(params![id, due, behind, parked, attempts, spared, clock.of(since)])?;
    Ok(())
}

/// Writes down that no event has had this number or a higher one.
pub(super) fn mark(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    connection.execute("insert or replace into marks values ('number', ?)", [as_id(number)])?;
    Ok(())
}

/// Writes down that no event is to get a lower number.
pub(super) fn mark_ahead(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    let mut mark = connection.prepare_cached(
        "insert into marks values ('number', ?) on conflict do update set value = max(value, excluded.value)",
    )?;
    mark.execute([as_id(number)])?;
    Ok(())
}

/// Makes the events of an rpc due that wait for their next attempt and are not parked; some of them, if they are very many.
pub(super) fn hurry(connection: &Connection, rpc: &str, now: i64) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(
        "update events set due = ?2 where id in
         (select id from events where rpc = ?1 and parked = 0 and behind = 0 and due > ?2 limit 10000)",
    )?;
    update.execute(params![number(connection, rpc)?, now])?;
    Ok(())
}

/// Reads an event of its row: [`COLUMNS`].
pub(super) fn read(row: &Row<'_>, clock: &Clock) -> rusqlite::Result<Result<Entry, Unreadable>> {
    let number = row.get::<_, i64>(0)? as u64;
    let Some(callback) = Callback::by_rpc(row.get_ref(1)?.as_str().unwrap_or_default()) else {
        return Err(rusqlite::Error::QueryReturnedNoRows);
    };
    Ok(entry(row, callback, number, clock).ok_or_else(|| {
        let value = row.get::<_, Option<String>>(2).unwrap_or_default();
        let is_parked = row.get::<_, bool>(7).unwrap_or_default();
        let key = value.filter(|_| !is_parked).map(|value| Key { domain: callback.order_domain, value: value.into() });
        let bytes = row.get::<_, i64>(12).ok().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
        Unreadable { rpc: callback.rpc, number, bytes, is_parked, key }
    }))
}

/// An event of its row; none if the row is not what was written.
fn entry(row: &Row<'_>, callback: &'static Callback, number: u64, clock: &Clock) -> Option<Entry> {
    let (metadata, message): (String, Vec<u8>) = (row.get(10).ok()?, row.get(11).ok()?);
    if row.get::<_, u32>(9).ok()? != sum(&metadata, &message) {
        return None;
    }
    let pairs: BTreeMap<String, String> = serde_json::from_str(&metadata).ok()?;
    let value = row.get::<_, Option<String>>(2).ok()?;
    let event = Kept {
        callback,
        message: Bytes::from(message),
        metadata: Metadata::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)))?,
        budget: Duration::from_millis(u64::try_from(row.get::<_, i64>(8).ok()?).ok()?),
        key: value.map(|value| Key { domain: callback.order_domain, value: value.into() }),
        number,
        arrived: clock.instant(row.get(3).ok()?),
    };
    let progress = Progress {
        attempts: row.get(5).ok()?,
        spared: row.get(6).ok()?,
        since: clock.instant(row.get(4).ok()?),
        parked: row.get(7).ok()?,
    };
    Some(Entry { event: Arc::new(event), progress })
}
