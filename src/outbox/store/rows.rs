//! An event as a row, and the changes of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;
use tokio::time::Instant;

use super::{Clock, Next};
use crate::contract::Callback;
use crate::contract::Metadata;
use crate::outbox::entry::Entry;

/// So many events are read at a time …
const READ: usize = 128;

/// … or so many bytes.
const READ_BYTES: usize = 1 << 20;

/// The reason of a row that cannot be read.
pub(super) const UNREADABLE: &str = "unreadable";

/// The columns that make an event, in the order of [`entry`].
const COLUMNS: &str = "id, key, arrived, since, attempts, spared, budget, sum, metadata, message, bytes";

/// A time or a count as SQLite has it.
fn number<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// What is written beside a row to know it by when it is read again.
pub(super) fn sum(metadata: &str, message: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(metadata.as_bytes());
    hasher.update(message);
    hasher.finalize()
}

/// The number of an rpc, which is written down when it is first needed.
pub(super) fn rpc(connection: &Connection, rpc: &str) -> rusqlite::Result<i64> {
    let known = connection.prepare_cached("select id from rpcs where name = ?")?.query_row([rpc], |row| row.get(0));
    match known.optional()? {
        Some(id) => Ok(id),
        None => {
            connection.execute("insert into rpcs (name) values (?)", [rpc])?;
            Ok(connection.last_insert_rowid())
        }
    }
}

/// Writes an event. One that has others before it is not due until they have ended.
pub(super) fn insert(connection: &Connection, entry: &Entry, clock: &Clock, first: bool) -> rusqlite::Result<()> {
    let pairs: serde_json::Map<String, Value> =
        entry.metadata.pairs().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let metadata = Value::from(pairs).to_string();
    let arrived = clock.of(entry.arrived);
    let mut insert = connection.prepare_cached(
        "insert into events (id, event_id, rpc, key, due, arrived, since, attempts, spared, budget, bytes, sum, metadata, message)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    insert.execute(params![
        number(entry.number),
        entry.event_id(),
        rpc(connection, entry.callback.rpc)?,
        entry.key.as_deref(),
        first.then_some(arrived),
        arrived,
        clock.of(entry.since),
        entry.attempts,
        entry.spared,
        number(entry.budget.as_millis()),
        number(entry.size()),
        sum(&metadata, &entry.message),
        metadata,
        &entry.message[..],
    ])?;
    Ok(())
}

/// Whether something is kept that belongs to the same.
pub(super) fn has_key(connection: &Connection, name: &str, key: &str) -> rusqlite::Result<bool> {
    let rpc = rpc(connection, name)?;
    connection.prepare_cached("select 1 from events where rpc = ? and key = ? limit 1")?.exists(params![rpc, key])
}

/// Whether nothing is kept that belongs to the same, but for what is gone.
pub(super) fn is_free(connection: &Connection, of: &Next, is_gone: impl Fn(u64) -> bool) -> rusqlite::Result<bool> {
    let rpc = rpc(connection, of.rpc)?;
    let mut query = connection.prepare_cached("select id from events where rpc = ? and key = ? order by id")?;
    let mut rows = query.query(params![rpc, &*of.key])?;
    while let Some(row) = rows.next()? {
        if !is_gone(row.get::<_, i64>(0)? as u64) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The next attempt of an event is due then.
pub(super) fn retry(connection: &Connection, id: u64, attempts: u32, due: i64) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached("update events set attempts = ?, due = ? where id = ?")?;
    update.execute(params![attempts, due, number(id)])?;
    Ok(())
}

/// Takes an event out.
pub(super) fn delete(connection: &Connection, id: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("delete from events where id = ?")?.execute([number(id)])?;
    Ok(())
}

/// The first of what belongs together has no other before it any more.
pub(super) fn promote(connection: &Connection, next: &Next) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(
        "update events set due = arrived
         where id = (select min(id) from events where rpc = ?1 and key = ?2) and due is null",
    )?;
    update.execute(params![rpc(connection, next.rpc)?, &*next.key])?;
    Ok(())
}

/// The same for everything, at the start: whoever was stopped between two changes may have left one undone.
pub(super) fn promote_all(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "update events set due = arrived where due is null and id in
         (select min(id) from events indexed by events_keyed where key is not null group by rpc, key)",
        [],
    )?;
    Ok(())
}

/// Writes down that no event gets this number or a lower one again.
pub(super) fn mark(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "insert into marks values ('number', ?) on conflict do update set value = max(value, excluded.value)",
    )?;
    insert.execute([number])?;
    Ok(())
}

/// The same, and the next event gets the next number: for the end, when all of them are known.
pub(super) fn mark_exactly(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection.execute("insert or replace into marks values ('number', ?)", [number])?;
    Ok(())
}

/// What waits for its time is due; some of it, where that is very much.
pub(super) fn hurry(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    let rpcs: Vec<i64> =
        connection.prepare_cached("select id from rpcs")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for rpc in rpcs {
        let mut update = connection.prepare_cached(
            "update events set due = ?2 where id in (select id from events where rpc = ?1 and due > ?2 limit 10000)",
        )?;
        update.execute([rpc, now])?;
    }
    Ok(())
}

/// Events that were read, and those that could not be.
pub(super) struct Read {
    pub(super) entries: Vec<Entry>,
    pub(super) unreadable: Vec<Unreadable>,
    /// When the next one is due.
    pub(super) next: Option<Instant>,
}

/// A row that cannot be read: its number, its size, and what it belonged to.
pub(super) type Unreadable = (u64, usize, Option<Next>);

impl Read {
    /// Nothing, and it is tried again then.
    pub(super) fn nothing_until(again: Duration) -> Self {
        Self { entries: Vec::new(), unreadable: Vec::new(), next: Some(Instant::now() + again) }
    }
}

/// Reads events of an rpc that are due, in order, but for those that are elsewhere.
pub(super) fn load(
    connection: &Connection,
    name: &'static str,
    is_elsewhere: impl Fn(u64) -> bool,
    clock: &Clock,
) -> rusqlite::Result<Read> {
    let (rpc, now) = (rpc(connection, name)?, clock.now());
    let mut read = Read { entries: Vec::new(), unreadable: Vec::new(), next: None };
    let Some(callback) = Callback::by_rpc(name) else { return Ok(read) };
    let mut query = connection
        .prepare_cached(&format!("select {COLUMNS} from events where rpc = ?1 and due <= ?2 order by due, id"))?;
    let mut rows = query.query([rpc, now])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let id = row.get::<_, i64>(0)? as u64;
        if is_elsewhere(id) {
            continue;
        }
        if read.entries.len() + read.unreadable.len() >= READ || bytes >= READ_BYTES {
            read.next = Some(Instant::now());
            return Ok(read);
        }
        match entry(row, callback, clock) {
            Some(entry) => {
                bytes += entry.size();
                read.entries.push(entry);
            }
            None => {
                let key = row.get::<_, Option<String>>(1).unwrap_or_default();
                let size = row.get::<_, i64>(10).ok().and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
                read.unreadable.push((id, size, key.map(|key| Next { rpc: name, key: key.into() })));
            }
        }
    }
    let next = "select min(due) from events where rpc = ?1 and due > ?2";
    let next: Option<i64> = connection.prepare_cached(next)?.query_row([rpc, now], |row| row.get(0))?;
    read.next = next.map(|next| clock.instant(next));
    Ok(read)
}

/// An event of its row; none where the row is not what was written.
fn entry(row: &Row<'_>, callback: &'static Callback, clock: &Clock) -> Option<Entry> {
    let (metadata, message): (String, Vec<u8>) = (row.get(8).ok()?, row.get(9).ok()?);
    if row.get::<_, u32>(7).ok()? != sum(&metadata, &message) {
        return None;
    }
    let count = |column: usize| row.get::<_, u32>(column).ok();
    let pairs: BTreeMap<String, String> = serde_json::from_str(&metadata).ok()?;
    Some(Entry {
        callback,
        message: Bytes::from(message),
        metadata: Metadata::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)))?,
        budget: Duration::from_millis(u64::try_from(row.get::<_, i64>(6).ok()?).ok()?),
        key: row.get::<_, Option<String>>(1).ok()?.map(Arc::from),
        number: u64::try_from(row.get::<_, i64>(0).ok()?).ok()?,
        arrived: clock.instant(row.get(2).ok()?),
        attempts: count(4)?,
        since: clock.instant(row.get(3).ok()?),
        spared: count(5)?,
    })
}

/// Moves an event to those that ended undelivered; gives its size if it was there.
pub(super) fn bury(
    connection: &Connection,
    id: u64,
    attempts: Option<u32>,
    reason: &str,
    class: Option<&str>,
    now: i64,
) -> rusqlite::Result<Option<usize>> {
    let mut insert = connection.prepare_cached(
        "insert or replace into dead
             (id, event_id, rpc, key, arrived, attempts, budget, bytes, sum, died, reason, class, metadata, message)
         select id, event_id, rpc, key, arrived, coalesce(?2, attempts), budget, bytes, sum, ?3, ?4, ?5, metadata, message
         from events where id = ?1 returning bytes",
    )?;
    let bytes: Option<i64> =
        insert.query_row(params![number(id), attempts, now, reason, class], |row| row.get(0)).optional()?;
    delete(connection, id)?;
    Ok(bytes.map(|bytes| usize::try_from(bytes).unwrap_or_default()))
}
