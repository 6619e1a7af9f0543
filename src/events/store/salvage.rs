//! A damaged file: what can be read of it goes into a new one, and it is kept beside that.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::types::Value;
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension, ffi, params_from_iter};
use tracing::{error, warn};

use super::{open, pages, rows};

/// The size of a page; SQLite's own default.
const PAGE: usize = 4_096;

/// What SQLite writes beside a file.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Whether an error says that the file is not what was written.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Whether an error at the start says that a table or a value is not there: only damage does that.
pub(super) fn is_lack(error: &Error) -> bool {
    let of_a_value = matches!(error, Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..));
    of_a_value || matches!(error, Error::SqlInputError { .. } | Error::QueryReturnedNoRows)
}

/// An error that says what a check has found.
pub(super) fn damage(found: String) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(found))
}

/// Puts a damaged file aside, and makes a new one of what can be read of it.
pub(super) fn salvage(path: &Path, open: Option<Connection>, damage: &Error) -> rusqlite::Result<Connection> {
    drop(open);
    let aside = put_aside(path);
    let connection = open::prepare(path)?;
    open::create(&connection)?;
    let mut rescued = Rescued::default();
    if rescue(&aside, &connection, &mut rescued).is_err() {
        // Its first page leads to all others, and is the same in every file.
        rescued = Rescued::default();
        connection.execute_batch("delete from events; delete from dead; delete from rpcs;")?;
        if let Err(error) = replace_first_page(path, &connection, &aside)
            .and_then(|()| rescue(&aside, &connection, &mut rescued).map_err(std::io::Error::other))
        {
            error!(%error, "nothing of the damaged outbox can be read");
        }
    }
    if rescued.cut || rescued.gaps > 0 || rescued.events == 0 {
        rescue_pages(&aside, &connection, &mut rescued);
    }
    let Rescued { events, dead, gaps, .. } = rescued;
    warn!(
        cause = %damage, events, dead, unreadable_at_most = gaps, kept_as = %aside.display(),
        "the outbox is damaged: what can be read of it goes on"
    );
    Ok(connection)
}

/// What was found in a damaged file.
#[derive(Default)]
struct Rescued {
    events: u64,
    dead: u64,
    /// Numbers of events between those that can be read.
    gaps: i64,
    /// Whether a table could not be read to its end.
    cut: bool,
}

/// Reads every page by itself. Some of what it finds may have been delivered before: at least once is the promise.
fn rescue_pages(aside: &Path, into: &Connection, rescued: &mut Rescued) {
    let Ok(file) = fs::read(aside) else { return };
    let Ok(transaction) = into.unchecked_transaction() else { return };
    for (number, mut values) in pages::rows(&file, PAGE) {
        let sum_of = |values: &[Value], sum: usize| match (values.get(sum), values.get(12), values.get(13)) {
            (Some(Value::Integer(sum)), Some(Value::Text(metadata)), Some(Value::Blob(message))) => {
                *sum == i64::from(rows::sum(metadata, message))
            }
            _ => false,
        };
        let table = match values.len() {
            2 if matches!(values.get(1), Some(Value::Text(name)) if name.starts_with("/openim.")) => "rpcs",
            14 if sum_of(&values, 11) => "events",
            14 if sum_of(&values, 8) => "dead",
            _ => continue,
        };
        values[0] = Value::Integer(number);
        let places = vec!["?"; values.len()].join(", ");
        // What is there already was read the ordinary way.
        let insert = format!("insert or ignore into {table} values ({places})");
        let inserted = into.prepare_cached(&insert).and_then(|mut insert| insert.execute(params_from_iter(values)));
        match (table, inserted) {
            ("events", Ok(count)) => rescued.events += count as u64,
            ("dead", Ok(count)) => rescued.dead += count as u64,
            _ => {}
        }
    }
    if let Err(error) = transaction.commit() {
        error!(%error, "what was found in the damaged outbox cannot be written");
    }
}

fn put_aside(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let aside = PathBuf::from(format!("{}.damaged-{now}", path.display()));
    let _ = fs::rename(path, &aside);
    for beside in BESIDE {
        // What is not there need not be moved.
        let _ = fs::rename(format!("{}{beside}", path.display()), format!("{}{beside}", aside.display()));
    }
    aside
}

fn rescue(aside: &Path, into: &Connection, rescued: &mut Rescued) -> rusqlite::Result<()> {
    let from = Connection::open(aside)?;
    from.query_row("select count(*) from sqlite_schema where name = 'events'", [], |_| Ok(()))?;
    let transaction = into.unchecked_transaction()?;
    // A number without its name is of no use to anybody, so these come first.
    copy(&from, into, "rpcs", 2, &mut Rescued::default())?;
    rescued.events = copy(&from, into, "events", 14, rescued)?;
    rescued.dead = copy(&from, into, "dead", 14, rescued)?;
    transaction.commit()
}

/// Copies every row that can be read, and steps over those that cannot.
fn copy(
    from: &Connection,
    into: &Connection,
    table: &str,
    columns: usize,
    rescued: &mut Rescued,
) -> rusqlite::Result<u64> {
    let (mut copied, mut at) = (0, 0);
    loop {
        match copy_from(from, into, table, columns, &mut at, &mut copied) {
            Ok(()) => return Ok(copied),
            Err(_) => match next_readable(from, table, at) {
                Some(next) => {
                    rescued.gaps += next - at;
                    at = next;
                }
                None => {
                    rescued.cut = true;
                    return Ok(copied);
                }
            },
        }
    }
}

/// Copies from a number on until the end or the first row that cannot be read; `at` is the number behind the last copied.
fn copy_from(
    from: &Connection,
    into: &Connection,
    table: &str,
    columns: usize,
    at: &mut i64,
    copied: &mut u64,
) -> rusqlite::Result<()> {
    let mut query = from.prepare(&format!("select * from {table} not indexed where id >= ? order by id"))?;
    let places = vec!["?"; columns].join(", ");
    let mut insert = into.prepare(&format!("insert or ignore into {table} values ({places})"))?;
    let mut rows = query.query([*at])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let values: Vec<Value> = (0..columns).map(|column| row.get(column)).collect::<Result<_, _>>()?;
        // A value of another type than its column is damage of that row alone.
        if insert.execute(params_from_iter(values)).is_ok() {
            *copied += 1;
        } else {
            warn!(table, number = id, "a row of the damaged outbox cannot be read");
        }
        *at = id + 1;
    }
    Ok(())
}

/// The first number from which rows can be read again: found by ever longer steps, and then by halves.
fn next_readable(from: &Connection, table: &str, bad: i64) -> Option<i64> {
    let first = |at: i64| -> Option<i64> {
        let query = format!("select * from {table} not indexed where id >= ? order by id limit 1");
        from.query_row(&query, [at], |row| row.get(0)).optional().ok()?
    };
    let mut step = 1;
    let mut good = loop {
        match first(bad + step) {
            Some(found) => break found,
            None if step > 1 << 40 => return None,
            None => step *= 2,
        }
    };
    let mut bad = bad + step / 2;
    while bad + 1 < good {
        let middle = bad + (good - bad) / 2;
        match first(middle) {
            Some(found) if found < good => good = found,
            Some(_) => good = middle,
            None => bad = middle,
        }
    }
    first(good)
}

/// Gives a damaged file the first page of a new one, which knows where the tables begin.
fn replace_first_page(new: &Path, connection: &Connection, aside: &Path) -> std::io::Result<()> {
    connection.execute_batch("pragma wal_checkpoint(truncate)").map_err(std::io::Error::other)?;
    let mut page = vec![0; PAGE];
    fs::File::open(new)?.read_exact(&mut page)?;
    let pages = u32::try_from(fs::metadata(aside)?.len().div_ceil(PAGE as u64)).unwrap_or(u32::MAX);
    // Of the header: how many pages there are, and none of them free.
    page[28..32].copy_from_slice(&pages.to_be_bytes());
    page[32..40].fill(0);
    let mut file = fs::File::options().write(true).open(aside)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&page)
}
