//! The file of the spill: a thread that writes, and reads back.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{io, thread};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;
use tracing::error;

use super::spill::{CHUNK, Spilled};
use crate::observe::log_limit::LogLimit;

/// Maximum number of changes of one commit.
const COMMIT: usize = 1_000;

/// Seconds between two lines about a file that cannot be written.
const LOG_INTERVAL: u64 = 60;

/// What the thread is to do.
pub(super) enum Op {
    Put { number: u64, spilled: Arc<Spilled>, tell: oneshot::Sender<bool> },
    Remove(u64),
    Load { tell: oneshot::Sender<Option<Vec<(u64, Spilled)>>> },
    Flush { tell: oneshot::Sender<()> },
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// The highest number.
    pub(super) number: u64,
    pub(super) keys: HashMap<String, usize>,
}

const TABLE: &str = "
    create table if not exists spill (
        number integer primary key autoincrement, subject text not null, message_id text not null, header text not null,
        key text, bytes integer not null, payload blob not null
    ) strict";

/// Opens the file, which is made if it is not there, and starts its thread.
pub(super) fn open(path: &Path) -> Result<(mpsc::Sender<Op>, Found), Box<dyn std::error::Error + Send + Sync>> {
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
    let query = "select count(*), coalesce(sum(bytes), 0), coalesce(max(number), 0) from spill";
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
    while let Ok(first) = ops.recv() {
        let (mut tells, mut loads, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        let changed = (|| {
            let transaction = connection.unchecked_transaction()?;
            let mut result = Ok(());
            for op in std::iter::once(first).chain(ops.try_iter().take(COMMIT)) {
                match op {
                    Op::Put { number, spilled, tell } => {
                        tells.push(tell);
                        result = result.and_then(|()| put(&transaction, number, &spilled));
                    }
                    Op::Remove(number) => {
                        let removed = transaction.execute("delete from spill where number = ?", [as_id(number)]);
                        result = result.and(removed.map(drop));
                    }
                    Op::Load { tell } => loads.push(tell),
                    Op::Flush { tell } => flushes.push(tell),
                }
            }
            result?;
            transaction.commit()
        })();
        if let Err(failure) = &changed {
            limit.log(LOG_INTERVAL, |unlogged| {
                error!(error = %failure, unlogged, "spill cannot be written, its new events are in memory alone");
            });
        }
        // Whoever waits for one of these may have given up.
        tells.into_iter().for_each(|tell| _ = tell.send(changed.is_ok()));
        for tell in loads {
            let _ = tell.send(load(connection).ok());
        }
        flushes.into_iter().for_each(|tell| _ = tell.send(()));
    }
}

fn as_id(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn put(connection: &Connection, number: u64, spilled: &Spilled) -> rusqlite::Result<()> {
    let Spilled { subject, message_id, header, payload, key } = spilled;
    let insert =
        "insert into spill (number, subject, message_id, header, key, bytes, payload) values (?, ?, ?, ?, ?, ?, ?)";
    let bytes = i64::try_from(spilled.size()).unwrap_or(i64::MAX);
    let values = params![as_id(number), subject, message_id, header, key, bytes, &payload[..]];
    connection.prepare_cached(insert)?.execute(values).map(drop)
}

fn load(connection: &Connection) -> rusqlite::Result<Vec<(u64, Spilled)>> {
    let most = i64::try_from(CHUNK).unwrap_or(i64::MAX);
    let query = "select number, subject, message_id, header, key, payload from spill order by number limit ?";
    let mut query = connection.prepare_cached(query)?;
    let rows = query.query_map([most], |row| {
        let spilled = Spilled {
            subject: row.get(1)?,
            message_id: row.get(2)?,
            header: row.get(3)?,
            key: row.get(4)?,
            payload: row.get::<_, Vec<u8>>(5)?.into(),
        };
        Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0), spilled))
    })?;
    rows.collect()
}
