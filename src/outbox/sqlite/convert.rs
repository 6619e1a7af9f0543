//! Copies the events and dead letters of a version 1 file into a new one, and deletes the old file when that is whole.

use std::path::Path;

use rusqlite::{Connection, params};
use tracing::info;

use super::{rows, salvage, tables};
use crate::contract::Callback;
use crate::outbox::TARGET;

/// The tables of version 1, whose events are ordered by rpc and key; those behind others are the ones without a time.
pub(super) const TABLES_1: &str = "
    create table old.rpcs (id integer primary key, name text not null unique) strict;
    create table old.events (
        id integer primary key, event_id text not null, rpc integer not null, key text, due integer,
        arrived integer not null, since integer not null, attempts integer not null, spared integer not null,
        budget integer not null, bytes integer not null, sum integer not null,
        metadata text not null, message blob not null
    ) strict;
    create table old.dead (
        id integer primary key, event_id text not null, rpc integer not null, key text, arrived integer not null,
        attempts integer not null, budget integer not null, bytes integer not null, sum integer not null,
        died integer not null, reason text not null, class text, metadata text not null, message blob not null
    ) strict;
    create table old.marks (name text primary key, value integer not null) strict, without rowid;";

/// Makes a file of this version of a file of version 1.
///
/// # Errors
/// On an error the old file is left as it was.
pub(super) fn convert(path: &Path) -> rusqlite::Result<()> {
    // What is in its log belongs to it.
    Connection::open(path)?.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
    salvage::rebuild(path, |new| {
        new.execute("attach ? as old", [path.to_string_lossy()])?;
        let copied = copy(new)?;
        new.execute_batch("detach old")?;
        let (events, dead) = copied;
        info!(events, dead, "outbox of an earlier hookgate converted");
        Ok(())
    })
}

/// Copies the events and dead letters of the attached file `old`. Returns their numbers.
pub(super) fn copy(new: &Connection) -> rusqlite::Result<(usize, usize)> {
    let transaction = new.unchecked_transaction()?;
    let target = rows::number(&transaction, TARGET)?;
    transaction.execute_batch("insert or ignore into names (name) select name from old.rpcs")?;
    let from = |table: &str| {
        format!("from old.{table} as one join old.rpcs on rpcs.id = one.rpc join main.names on names.name = rpcs.name")
    };
    let events = transaction.execute(
        &format!(
            "insert or ignore into main.events
             select one.id, event_id, ?1, names.id, null, key, iif(attempts = 0, null, due), due is null, 0, arrived,
                    since, attempts, spared, null, budget, bytes, sum, metadata, message {}",
            from("events")
        ),
        [target],
    )?;
    let dead = transaction.execute(
        &format!(
            "insert or ignore into main.dead
             select one.id, event_id, ?1, names.id, null, key, arrived, attempts, null, budget, bytes, sum, died, reason,
                    class, metadata, message {}",
            from("dead")
        ),
        [target],
    )?;
    let mut known = transaction.prepare("select 1 from old.rpcs where name = ?")?;
    for callback in Callback::all() {
        if !known.exists([callback.rpc])? {
            continue;
        }
        let rpc = rows::number(&transaction, callback.rpc)?;
        let domain = rows::number(&transaction, callback.order_domain)?;
        for table in ["events", "dead"] {
            let update = format!("update main.{table} set domain = ?2 where rpc = ?1 and key is not null");
            transaction.execute(&update, params![rpc, domain])?;
        }
    }
    let mark = "insert or replace into main.marks select name, value + 1 from old.marks where name = 'number'";
    transaction.execute(mark, [])?;
    drop(known);
    tables::order(&transaction)?;
    transaction.commit()?;
    Ok((events, dead))
}
