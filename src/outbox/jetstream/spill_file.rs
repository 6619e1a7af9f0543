//! The file of the spill: a thread that writes, and reads back.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{io, thread};

use rusqlite::{Connection, OpenFlags, Row, params};
use tokio::sync::oneshot;
use tracing::error;

use super::spill::{CHUNK, Spilled};
use crate::observe::log_limit::LogLimit;
use crate::outbox::limiter::LOG_INTERVAL;
use crate::outbox::sqlite::{as_id, make_private};

/// Maximum number of changes of one commit.
const COMMIT: usize = 1_000;

/// Bytes of events that are read back at once, but for the last one.
const CHUNK_BYTES: usize = 4 << 20;

/// Work for the thread.
pub(super) enum Op {
    Put {
        number: u64,
        spilled: Arc<Spilled>,
        tell: oneshot::Sender<bool>,
    },
    Remove(u64),
    /// Reads the oldest events from this number on.
    Load {
        from: u64,
        tell: oneshot::Sender<Option<Vec<(u64, Spilled)>>>,
    },
    /// Tells the numbers of the events that the file does not have.
    Flush {
        tell: oneshot::Sender<BTreeSet<u64>>,
    },
}

/// The counts of a file that was opened.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// The highest number.
    pub(super) number: u64,
    pub(super) keys: HashMap<String, usize>,
}

/// An event of the spill, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpillRow {
    pub(super) number: u64,
    pub(super) subject: String,
    pub(super) header: String,
    pub(super) key: Option<String>,
    pub(super) bytes: usize,
}

const TABLE: &str = "
    create table if not exists spill (
        number integer primary key autoincrement, subject text not null, message_id text not null, header text not null,
        key text, bytes integer not null, payload blob not null
    ) strict";

/// Opens the file, which is made if it is not there, and starts its thread.
pub(super) fn open(path: &Path) -> Result<(mpsc::Sender<Op>, Found), Box<dyn std::error::Error + Send + Sync>> {
    make_private(path)?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A commit is on disk before the reply that depends on it.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch(TABLE)?;
    let found = found(&connection)?;
    let (sender, ops) = mpsc::channel();
    thread::Builder::new().name("spill".to_owned()).spawn(move || run(&connection, &ops)).map_err(io::Error::other)?;
    Ok((sender, found))
}

fn found(connection: &Connection) -> rusqlite::Result<Found> {
    let query = "select count(*), coalesce(sum(bytes), 0) from spill";
    let (events, bytes): (i64, i64) = connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let last = "select coalesce(max(seq), 0) from sqlite_sequence where name = 'spill'";
    let number: i64 = connection.query_row(last, [], |row| row.get(0))?;
    let mut query = connection.prepare("select key, count(*) from spill where key is not null group by key")?;
    let keys = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let size = |number: i64| usize::try_from(number).unwrap_or(0);
    let keys = keys.map(|found| found.map(|(key, events)| (key, size(events)))).collect::<Result<_, _>>()?;
    Ok(Found { events: size(events), bytes: size(bytes), number: u64::try_from(number).unwrap_or(0), keys })
}

/// Does what is asked, as long as anybody may ask.
fn run(connection: &Connection, ops: &mpsc::Receiver<Op>) {
    let limit = LogLimit::default();
    // What is to be removed: until the file has done it, it would be read again.
    let mut removed = BTreeSet::new();
    // What the file did not take.
    let mut missing = BTreeSet::new();
    while let Ok(first) = ops.recv() {
        let (mut puts, mut loads, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        for op in std::iter::once(first).chain(ops.try_iter().take(COMMIT)) {
            match op {
                Op::Put { number, spilled, tell } => puts.push((number, spilled, tell)),
                Op::Remove(number) => _ = removed.insert(number),
                Op::Load { from, tell } => loads.push((from, tell)),
                Op::Flush { tell } => flushes.push(tell),
            }
        }
        let changed = change(connection, &removed, &puts).inspect_err(|_| {
            // Removals make room.
            if !puts.is_empty() && change(connection, &removed, &[]).is_ok() {
                removed.clear();
            }
        });
        missing.retain(|number| !removed.contains(number));
        match &changed {
            Ok(()) => removed.clear(),
            Err(failure) => limit.log(LOG_INTERVAL, |unlogged| {
                error!(error = %failure, unlogged, "spill cannot be written, its new events are in memory alone");
            }),
        }
        for (number, _, tell) in puts {
            if changed.is_err() {
                missing.insert(number);
            }
            // Whoever waits for one of these may have given up.
            let _ = tell.send(changed.is_ok());
        }
        for (from, tell) in loads {
            let loaded = load_others(connection, from, &removed).inspect_err(|failure| {
                limit.log(LOG_INTERVAL, |unlogged| {
                    error!(error = %failure, unlogged, "spill cannot be read, its events stay in its file");
                });
            });
            let _ = tell.send(loaded.ok());
        }
        flushes.into_iter().for_each(|tell| _ = tell.send(missing.clone()));
    }
}

/// Reads the oldest events from a number on, but for those that are to be removed.
fn load_others(connection: &Connection, from: u64, removed: &BTreeSet<u64>) -> rusqlite::Result<Vec<(u64, Spilled)>> {
    let mut from = from;
    loop {
        let mut loaded = load(connection, from)?;
        let Some(last) = loaded.last().map(|(number, _)| *number) else { return Ok(loaded) };
        loaded.retain(|(number, _)| !removed.contains(number));
        if !loaded.is_empty() {
            return Ok(loaded);
        }
        from = last + 1;
    }
}

/// Makes changes, all of them or none.
fn change(
    connection: &Connection,
    removed: &BTreeSet<u64>,
    puts: &[(u64, Arc<Spilled>, oneshot::Sender<bool>)],
) -> rusqlite::Result<()> {
    if removed.is_empty() && puts.is_empty() {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    for number in removed {
        transaction.prepare_cached("delete from spill where number = ?")?.execute([as_id(*number)])?;
    }
    for (number, spilled, _) in puts.iter().filter(|(number, ..)| !removed.contains(number)) {
        put(&transaction, *number, spilled)?;
    }
    transaction.commit()
}

/// Reads events with higher numbers than `after`, `most` at most, while another thread writes.
pub(super) fn rows(path: &Path, after: u64, most: usize) -> rusqlite::Result<Vec<SpillRow>> {
    let connection = reader(path)?;
    let query = "select number, subject, header, key, bytes from spill where number > ? order by number limit ?";
    let mut query = connection.prepare(query)?;
    let rows = query.query_map([as_id(after), i64::try_from(most).unwrap_or(i64::MAX)], |row| {
        Ok(SpillRow {
            number: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
            subject: row.get(1)?,
            header: row.get(2)?,
            key: row.get(3)?,
            bytes: usize::try_from(row.get::<_, i64>(4)?).unwrap_or(0),
        })
    })?;
    rows.collect()
}

/// Reads the message of an event.
pub(super) fn payload(path: &Path, number: u64) -> rusqlite::Result<Vec<u8>> {
    reader(path)?.query_row("select payload from spill where number = ?", [as_id(number)], |row| row.get(0))
}

/// Removes an event from a file that no hookgate serves from.
pub(super) fn remove(path: &Path, number: u64) -> rusqlite::Result<()> {
    Connection::open(path)?.execute("delete from spill where number = ?", [as_id(number)]).map(drop)
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

fn put(connection: &Connection, number: u64, spilled: &Spilled) -> rusqlite::Result<()> {
    let Spilled { subject, message_id, header, payload, key } = spilled;
    let insert =
        "insert into spill (number, subject, message_id, header, key, bytes, payload) values (?, ?, ?, ?, ?, ?, ?)";
    let bytes = i64::try_from(spilled.size()).unwrap_or(i64::MAX);
    let values = params![as_id(number), subject, message_id, header, key, bytes, &payload[..]];
    connection.prepare_cached(insert)?.execute(values).map(drop)
}

/// Reads the oldest events from a number on, some of them: neither too many nor too large. A row that is not what was written
/// is left where it is.
fn load(connection: &Connection, from: u64) -> rusqlite::Result<Vec<(u64, Spilled)>> {
    let query = "select number, subject, message_id, header, key, payload from spill
                 where number >= ? order by number limit ?";
    let mut query = connection.prepare_cached(query)?;
    let mut rows = query.query([as_id(from), i64::try_from(CHUNK).unwrap_or(i64::MAX)])?;
    let (mut loaded, mut bytes) = (Vec::new(), 0);
    while bytes < CHUNK_BYTES
        && let Some(row) = rows.next()?
    {
        let number = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
        match spilled(row) {
            Ok(spilled) => {
                bytes += spilled.size();
                loaded.push((number, spilled));
            }
            Err(error) => error!(number, %error, "row of the spill cannot be read, it stays in its file"),
        }
    }
    Ok(loaded)
}

fn spilled(row: &Row<'_>) -> rusqlite::Result<Spilled> {
    Ok(Spilled {
        subject: row.get(1)?,
        message_id: row.get(2)?,
        header: row.get(3)?,
        key: row.get(4)?,
        payload: row.get::<_, Vec<u8>>(5)?.into(),
    })
}
