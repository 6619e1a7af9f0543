//! The file: who may read it, how it is written, its tables and their version.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// The application ID of the file: "hkgt".
pub(super) const APPLICATION: i64 = 0x686b_6774;

/// The version of the tables. A later hookgate that changes them, or the domain of a callback, raises it and converts what
/// it finds.
pub(super) const VERSION: i64 = 2;

/// Makes a file that nobody else can read, if there is none. What SQLite writes beside it takes after it.
pub(in crate::outbox) fn make_private(path: &Path) -> io::Result<()> {
    match File::options().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Opens a connection that has changed nothing yet.
pub(super) fn connection(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// Makes a connection do what the promises need.
pub(super) fn settle(connection: Connection) -> rusqlite::Result<Connection> {
    connection.set_prepared_statement_cache_capacity(32);
    // What is written goes to a log first, which a crash cannot tear.
    connection.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = normal;
         pragma journal_size_limit = 16777216; pragma cache_size = -2048; pragma temp_store = memory;",
    )?;
    Ok(connection)
}

/// Makes the tables. Whoever changes them raises the version; the order matters to whoever repairs a file.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(&format!(
        "{TABLES} {INDEXES}
         create table names (id integer primary key, name text not null unique) strict;
         create table marks (name text primary key, value integer not null) strict, without rowid;
         pragma application_id = {APPLICATION}; pragma user_version = {VERSION};"
    ))?;
    transaction.commit()
}

/// An event waits for its first attempt (`due` is null and `behind` 0), behind others of its key (`behind` 1), or for its
/// next attempt (`due`). `spared` are the attempts before its last replay; its age begins at `since`. Times are milliseconds
/// since 1970. `target`, `rpc` and `domain` are names.
const TABLES: &str = "
    create table events (
        id integer primary key, event_id text not null, target integer not null, rpc integer not null,
        domain integer, key text, due integer, behind integer not null, parked integer not null,
        arrived integer not null, since integer not null, attempts integer not null, spared integer not null,
        replay integer, budget integer not null, bytes integer not null, sum integer not null,
        metadata text not null, message blob not null
    ) strict;
    create table dead (
        id integer primary key, event_id text not null, target integer not null, rpc integer not null,
        domain integer, key text, arrived integer not null, attempts integer not null,
        replay integer, budget integer not null, bytes integer not null, sum integer not null,
        died integer not null, reason text not null, class text, metadata text not null, message blob not null
    ) strict;";

const INDEXES: &str = "
    create index events_ready on events (rpc, parked, behind, due, id, bytes, arrived);
    create index events_keyed on events (domain, key, id) where key is not null and parked = 0;
    create index events_named on events (event_id);
    create index events_replayed on events (replay) where replay is not null;
    create index dead_died on dead (died, bytes);
    create index dead_unimplemented on dead (died, bytes) where reason = 'unimplemented';
    create index dead_named on dead (event_id);
    create index dead_replayed on dead (replay) where replay is not null;";

/// Sees to it that of each key the first event alone is before the others: in a domain there may be several after a
/// conversion, and after damage none.
pub(super) fn order(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "update events set behind = 1, due = null where behind = 0 and parked = 0 and key is not null and id not in
         (select min(id) from events indexed by events_keyed where key is not null and parked = 0 group by domain, key)",
        [],
    )?;
    promote(connection)
}

/// Sees to it that the first event of each key is behind no other: while hookgate serves, the row does not say so.
pub(super) fn promote(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "update events set behind = 0 where behind = 1 and id in
         (select min(id) from events indexed by events_keyed where key is not null and parked = 0 group by domain, key)",
        [],
    )?;
    Ok(())
}
