//! A damaged file: what can be read of it goes into a new one, and it is kept beside that.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::types::Value;
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension, ffi, params_from_iter};
use tracing::{error, warn};

use super::{open, pages, rows};

/// The size of a page; SQLite's own default.
const PAGE: usize = 4_096;

/// The end of the name of a new file that is not whole yet.
const NEW: &str = ".new";

/// The same of a copy of the damaged file, which is changed to be read.
const COPY: &str = ".copy";

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

/// What goes wrong on the way: with the damaged file, or with the new one.
enum Fault {
    Read(Error),
    Write(Error),
}

/// An error of the file system as SQLite would say it.
fn of_files(error: io::Error) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR), Some(error.to_string()))
}

/// A file beside the outbox.
fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// Makes a new file of what can be read of a damaged one, and puts that aside once the new one is whole.
///
/// # Errors
/// The damaged file is where it was if the new one cannot be made.
pub(super) fn salvage(path: &Path, open: Option<Connection>, damage: &Error) -> rusqlite::Result<Connection> {
    drop(open);
    let new = beside(path, NEW);
    remove(&new).map_err(of_files)?;
    let built = build(path, &new);
    // The copy is of use to nobody any more.
    let _ = remove(&beside(path, COPY));
    let Rescued { events, dead, gaps, .. } = built.inspect_err(|_| {
        // What is left over is removed by the next one that tries.
        let _ = remove(&new);
    })?;
    let aside = replace(path, &new).map_err(of_files)?;
    warn!(
        cause = %damage, events, dead, unreadable_at_most = gaps, kept_as = %aside.display(),
        "the outbox is damaged: what can be read of it goes on"
    );
    open::settle(open::connection(path)?)
}

/// Ends what was stopped: between the two names the new file is whole, before that it is begun again.
pub(super) fn resume(path: &Path) -> io::Result<()> {
    let new = beside(path, NEW);
    if path.exists() {
        return remove(&new).and_then(|()| remove(&beside(path, COPY)));
    }
    if !new.exists() {
        return Ok(());
    }
    replace(path, &new).map(|_| ())
}

fn build(path: &Path, new: &Path) -> rusqlite::Result<Rescued> {
    open::make_private(new).map_err(of_files)?;
    let connection = open::connection(new)?;
    // One file without a log, and all of it on the disk.
    connection.execute_batch(
        "pragma auto_vacuum = incremental; pragma journal_mode = delete; pragma synchronous = full;
         pragma temp_store = memory;",
    )?;
    open::create(&connection)?;
    let mut rescued = Rescued::default();
    match rescue(path, &connection, &mut rescued) {
        Ok(()) => {}
        Err(Fault::Write(error)) => return Err(error),
        Err(Fault::Read(_)) => {
            // Its first page leads to all others, and is the same in every file.
            rescued = Rescued::default();
            let copy = beside(path, COPY);
            copy_with_first_page(path, new, &copy).map_err(of_files)?;
            match rescue(&copy, &connection, &mut rescued) {
                Ok(()) => {}
                Err(Fault::Write(error)) => return Err(error),
                Err(Fault::Read(error)) => error!(%error, "nothing of the damaged outbox can be read in order"),
            }
        }
    }
    if rescued.cut || rescued.gaps > 0 || rescued.events == 0 {
        rescue_pages(path, &connection, &mut rescued)?;
    }
    // The first of what belongs together may be lost: the next one has none before it then.
    rows::promote_all(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(rescued)
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
fn rescue_pages(damaged: &Path, into: &Connection, rescued: &mut Rescued) -> rusqlite::Result<()> {
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

/// Puts the damaged file aside with what is beside it, and the new one in its place.
fn replace(path: &Path, new: &Path) -> io::Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let aside = beside(path, &format!(".damaged-{now}"));
    // The file goes first: whoever finds it gone knows that the new one is whole (see `resume`).
    for ending in ["", "-wal", "-shm"] {
        match fs::rename(beside(path, ending), beside(&aside, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync_directory(path)?;
    fs::rename(new, path)?;
    sync_directory(path)?;
    Ok(aside)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

/// Removes a file and what SQLite writes beside it, where they are there.
fn remove(path: &Path) -> io::Result<()> {
    for ending in ["", "-journal", "-wal", "-shm"] {
        match fs::remove_file(beside(path, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn rescue(damaged: &Path, into: &Connection, rescued: &mut Rescued) -> Result<(), Fault> {
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
                warn!(table, number = id, "a row of the damaged outbox cannot be read");
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

/// Copies a damaged file and gives the copy the first page of a new one, which knows where the tables begin.
fn copy_with_first_page(damaged: &Path, new: &Path, copy: &Path) -> io::Result<()> {
    remove(copy)?;
    for ending in ["", "-wal"] {
        match fs::copy(beside(damaged, ending), beside(copy, ending)) {
            Err(error) if ending.is_empty() || error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let mut page = vec![0; PAGE];
    fs::File::open(new)?.read_exact(&mut page)?;
    let pages = u32::try_from(fs::metadata(damaged)?.len().div_ceil(PAGE as u64)).unwrap_or(u32::MAX);
    // Of the header: that there is a log, how many pages there are, and none of them free.
    page[18..20].fill(2);
    page[28..32].copy_from_slice(&pages.to_be_bytes());
    page[32..40].fill(0);
    let mut file = fs::File::options().write(true).open(copy)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&page)
}
