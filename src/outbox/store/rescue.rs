//! What can be read of a damaged file: row by row past those that cannot, or page by page where nothing leads to them.

use std::fs;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension, params_from_iter};
use tracing::warn;

use super::salvage::{PAGE, of_files};
use super::{pages, rows};

/// What goes wrong on the way: with the damaged file, or with the new one.
pub(super) enum Fault {
    Read(Error),
    Write(Error),
}

/// What was found in a damaged file.
#[derive(Default)]
pub(super) struct Rescued {
    pub(super) events: u64,
    pub(super) dead: u64,
    /// Numbers of events between those that can be read.
    pub(super) gaps: i64,
    /// Whether a table could not be read to its end.
    pub(super) cut: bool,
}

/// Reads every page by itself. Some of what it finds may have been delivered before: at least once is the promise.
pub(super) fn rescue_pages(damaged: &Path, into: &Connection, rescued: &mut Rescued) -> rusqlite::Result<()> {
    let file = fs::read(damaged).map_err(of_files)?;
    let transaction = into.unchecked_transaction()?;
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
            (_, Err(error)) if !is_of_the_row(&error) => return Err(error),
            _ => {}
        }
    }
    transaction.commit()
}

/// Whether the values of a row are why it cannot be written, and not the disk.
fn is_of_the_row(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch))
}

/// Reads everything in order, and steps over what cannot be read.
pub(super) fn rescue(damaged: &Path, into: &Connection, rescued: &mut Rescued) -> Result<(), Fault> {
    let from = Connection::open(damaged).map_err(Fault::Write)?;
    let schema = "select count(*) from sqlite_schema where name = 'events'";
    from.query_row(schema, [], |_| Ok(())).map_err(Fault::Read)?;
    let transaction = into.unchecked_transaction().map_err(Fault::Write)?;
    // A number without its name is of no use to anybody, so these come first.
    copy(&from, into, "rpcs", 2, &mut Rescued::default())?;
    rescued.events = copy(&from, into, "events", 14, rescued)?;
    rescued.dead = copy(&from, into, "dead", 14, rescued)?;
    let number = "select value from marks where name = 'number'";
    if let Ok(number) = from.query_row(number, [], |row| row.get(0)) {
        rows::mark(into, number).map_err(Fault::Write)?;
    }
    transaction.commit().map_err(Fault::Write)
}

/// Copies every row that can be read, and steps over those that cannot.
fn copy(
    from: &Connection,
    into: &Connection,
    table: &str,
    columns: usize,
    rescued: &mut Rescued,
) -> Result<u64, Fault> {
    let (mut copied, mut at) = (0, 0);
    loop {
        match copy_from(from, into, table, columns, &mut at, &mut copied) {
            Ok(()) => return Ok(copied),
            Err(Fault::Write(error)) => return Err(Fault::Write(error)),
            Err(Fault::Read(_)) => match next_readable(from, table, at) {
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
) -> Result<(), Fault> {
    let query = format!("select * from {table} not indexed where id >= ? order by id");
    let mut query = from.prepare(&query).map_err(Fault::Read)?;
    let places = vec!["?"; columns].join(", ");
    let insert = format!("insert or ignore into {table} values ({places})");
    let mut insert = into.prepare(&insert).map_err(Fault::Write)?;
    let mut rows = query.query([*at]).map_err(Fault::Read)?;
    while let Some(row) = rows.next().map_err(Fault::Read)? {
        let id: i64 = row.get(0).map_err(Fault::Read)?;
        let values: Result<Vec<Value>, _> = (0..columns).map(|column| row.get(column)).collect();
        match insert.execute(params_from_iter(values.map_err(Fault::Read)?)) {
            Ok(_) => *copied += 1,
            // A value of another type than its column is damage of that row alone.
            Err(error) if is_of_the_row(&error) => {
                warn!(table, number = id, "outbox recovery, row unreadable");
            }
            Err(error) => return Err(Fault::Write(error)),
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
