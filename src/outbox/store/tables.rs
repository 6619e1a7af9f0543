//! The file: who may read it, how it is written, its tables and their version.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// Whose file it is: "hkgt".
pub(super) const APPLICATION: i64 = 0x686b_6774;

/// The version of the tables. A later hookgate that changes them raises it and converts what it finds.
pub(super) const VERSION: i64 = 1;

/// Makes a file that nobody else can read, where there is none. What SQLite writes beside it takes after it.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    match File::options().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A connection that has changed nothing yet.
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
    connection.execute_batch(&format!(
        "begin immediate;
         create table events (
             id integer primary key, event_id text not null, rpc integer not null, key text, due integer,
             arrived integer not null, since integer not null, attempts integer not null, spared integer not null,
             budget integer not null, bytes integer not null, sum integer not null,
             metadata text not null, message blob not null
         ) strict;
         create table dead (
             id integer primary key, event_id text not null, rpc integer not null, key text, arrived integer not null,
             attempts integer not null, budget integer not null, bytes integer not null, sum integer not null,
             died integer not null, reason text not null, class text,
             metadata text not null, message blob not null
         ) strict;
         create table rpcs (id integer primary key, name text not null unique) strict;
         create table marks (name text primary key, value integer not null) strict, without rowid;
         create index events_ready on events (rpc, due, id, bytes);
         create index events_keyed on events (rpc, key, id) where key is not null;
         create index events_named on events (event_id);
         create index dead_died on dead (died, bytes);
         create index dead_named on dead (event_id);
         {UNIMPLEMENTED};
         pragma application_id = {APPLICATION};
         pragma user_version = {VERSION};
         commit;"
    ))
}

/// The index of the dead letters that the policy does not implement. Files from before it was there get it when they are
/// opened; one that has no room for it works without.
pub(super) const UNIMPLEMENTED: &str =
    "create index if not exists dead_unimplemented on dead (died, bytes) where reason = 'unimplemented'";
