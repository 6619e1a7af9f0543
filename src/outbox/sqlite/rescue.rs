//! Reading of a damaged file, row by row, past those that cannot be read.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension, params_from_iter};
use tracing::warn;

use super::{convert, rows};

/// A fault on the way: of the damaged file, or of the new one.
pub(super) enum Fault {
    Read(Error),
    Write(Error),
}

/// The contents found in a damaged file.
#[derive(Default)]
pub(super) struct Rescued {
    pub(super) events: u64,
    pub(super) dead: u64,
    /// The places at which one or more events could not be read.
    pub(super) gaps: u64,
}

/// Returns true if the values of a row are why it cannot be written, and not the disk.
fn is_of_the_row(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch))
}

/// Reads everything in order, and steps over what cannot be read. What is of version 1 is converted.
pub(super) fn rescue(damaged: &Path, into: &Connection) -> Result<Rescued, Fault> {
    let from = Connection::open(damaged).map_err(Fault::Write)?;
    let has = |table: &str| {
        let schema = "select 1 from sqlite_schema where name = ?";
        from.prepare(schema).and_then(|mut query| query.exists([table])).map_err(Fault::Read)
    };
    let (is_of_1, mut rescued) = (has("rpcs")?, Rescued::default());
    if !is_of_1 && !has("events")? {
        return Err(Fault::Read(Error::QueryReturnedNoRows));
    }
    if is_of_1 {
        into.execute_batch(&format!("attach '' as old; {}", convert::TABLES_1)).map_err(Fault::Write)?;
    }
    let transaction = into.unchecked_transaction().map_err(Fault::Write)?;
    let (schema, names, columns) = if is_of_1 { ("old", "rpcs", [14, 14]) } else { ("main", "names", [19, 17]) };
    // A number without its name is of no use to anybody, so these come first.
    copy(&from, into, (schema, names, 2), &mut Rescued::default())?;
    rescued.events = copy(&from, into, (schema, "events", columns[0]), &mut rescued)?;
    rescued.dead = copy(&from, into, (schema, "dead", columns[1]), &mut rescued)?;
    let number = "select value from marks where name = 'number'";
    if let Ok(number) = from.query_row(number, [], |row| row.get::<_, i64>(0)) {
        rows::mark(into, number as u64 + 1).map_err(Fault::Write)?;
    }
    transaction.commit().map_err(Fault::Write)?;
    if is_of_1 {
        convert::copy(into).and_then(|_| into.execute_batch("detach old")).map_err(Fault::Write)?;
    }
    Ok(rescued)
}

/// A table: the schema of the copy, the name, and the number of columns.
type Table<'a> = (&'a str, &'a str, usize);

/// Copies every row that can be read, and steps over those that cannot.
fn copy(from: &Connection, into: &Connection, table: Table<'_>, rescued: &mut Rescued) -> Result<u64, Fault> {
    let (mut copied, mut at) = (0, 0);
    loop {
        match copy_from(from, into, table, &mut at, &mut copied) {
            Ok(()) => return Ok(copied),
            Err(Fault::Write(error)) => return Err(Fault::Write(error)),
            Err(Fault::Read(_)) => match next_readable(from, table.1, at) {
                Some(next) => {
                    rescued.gaps += 1;
                    at = next;
                }
                None => return Ok(copied),
            },
        }
    }
}

/// Copies from a number on until the end or the first row that cannot be read; `at` is the number behind the last copied.
fn copy_from(
    from: &Connection,
    into: &Connection,
    (schema, table, columns): Table<'_>,
    at: &mut i64,
    copied: &mut u64,
) -> Result<(), Fault> {
    let query = format!("select * from {table} not indexed where id >= ? order by id");
    let mut query = from.prepare(&query).map_err(Fault::Read)?;
    let places = vec!["?"; columns].join(", ");
    let insert = format!("insert or ignore into {schema}.{table} values ({places})");
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

/// A look at the first row from a number on.
enum Look {
    Row(i64),
    Damage,
    End,
}

/// Returns the first number from which rows can be read again: found by ever longer steps, and then by halves. A step behind
/// the end says nothing of what is before it, so the steps begin again where the last of them met damage.
fn next_readable(from: &Connection, table: &str, mut bad: i64) -> Option<i64> {
    let look = |at: i64| {
        let query = format!("select * from {table} not indexed where id >= ? order by id limit 1");
        match from.query_row(&query, [at], |row| row.get(0)).optional() {
            Ok(Some(found)) => Look::Row(found),
            Ok(None) => Look::End,
            Err(_) => Look::Damage,
        }
    };
    let mut step = 1;
    let mut good = loop {
        match look(bad.saturating_add(step)) {
            Look::Row(found) => break found,
            Look::End if step == 1 => return None,
            Look::End => (bad, step) = (bad + step / 2, 1),
            Look::Damage if step > i64::MAX / 4 => return None,
            Look::Damage => step *= 2,
        }
    };
    bad += step / 2;
    while bad + 1 < good {
        let middle = bad + (good - bad) / 2;
        match look(middle) {
            Look::Row(found) => good = found.min(middle).max(bad + 1),
            Look::Damage | Look::End => bad = middle,
        }
    }
    match look(good) {
        Look::Row(found) => Some(found),
        Look::Damage | Look::End => None,
    }
}
