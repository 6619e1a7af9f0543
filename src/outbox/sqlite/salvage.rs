//! A damaged file: what can be read of it goes into a new one, and it is kept beside that.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Error, ErrorCode, ffi};
use tracing::{error, warn};

use super::rescue::{Fault, Rescued, rescue};
use super::tables;

/// The size of a page; SQLite's own default.
const PAGE: usize = 4_096;

/// The end of the name of a new file that is not whole yet.
const NEW: &str = ".new";

/// The end of the name of a copy of the damaged file, which is changed to be read.
const COPY: &str = ".copy";

/// Returns true if an error says that the file is not what was written.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Returns true if an error at the start says that a table or a value is not there: only damage does that.
pub(super) fn is_lack(error: &Error) -> bool {
    let of_a_value = matches!(error, Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..));
    of_a_value || matches!(error, Error::SqlInputError { .. } | Error::QueryReturnedNoRows)
}

/// An error that says what a check has found.
pub(super) fn damage(found: String) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(found))
}

/// An error of the file system as SQLite would say it.
pub(super) fn of_files(error: io::Error) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR), Some(error.to_string()))
}

/// A file beside the outbox.
fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// Returns true if there is an outbox at a path, or a whole one that has yet to be put there.
pub(super) fn is_there(path: &Path) -> bool {
    path.exists() || beside(path, NEW).exists()
}

/// Makes a new file of what can be read of a damaged one, and puts that aside once the new one is whole. The order of its
/// keys is left as it is while hookgate is serving.
///
/// # Errors
/// The damaged file is where it was if the new one cannot be made.
pub(super) fn salvage(
    path: &Path,
    open: Option<Connection>,
    damage: &Error,
    is_serving: bool,
) -> rusqlite::Result<Connection> {
    drop(open);
    // An earlier attempt may have been stopped between the two names.
    resume(path).map_err(of_files)?;
    let new = beside(path, NEW);
    let built = build(&new, |connection| {
        let rescued = recover(path, &new, connection)?;
        if !is_serving {
            // The first event of a key may be lost: the next one is the first then. A scheduler that serves knows better.
            tables::order(connection)?;
        }
        Ok(rescued)
    });
    // The copy is of use to nobody any more.
    let _ = remove(&beside(path, COPY));
    let Rescued { events, dead, gaps } = built?;
    let aside = replace(path, &new).map_err(of_files)?;
    warn!(
        cause = %damage, events, dead, unreadable_places = gaps, kept_as = %aside.display(),
        "outbox damaged, readable events recovered"
    );
    tables::settle(tables::connection(path)?)
}

/// Makes a new file, and puts it in the place of one that is whole and of no more use.
pub(super) fn rebuild(path: &Path, fill: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    let new = beside(path, NEW);
    build(&new, fill)?;
    let aside = replace(path, &new).map_err(of_files)?;
    remove(&aside).map_err(of_files)
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

/// Makes a new file that is on the disk as a whole, or none.
fn build<T>(new: &Path, fill: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    remove(new).map_err(of_files)?;
    let built = (|| {
        tables::make_private(new).map_err(of_files)?;
        let connection = tables::connection(new)?;
        // One file without a log, and all of it on the disk.
        connection.execute_batch(
            "pragma auto_vacuum = incremental; pragma journal_mode = delete; pragma synchronous = full;
             pragma temp_store = memory;",
        )?;
        tables::create(&connection)?;
        let filled = fill(&connection)?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(filled)
    })();
    built.inspect_err(|_| {
        // What is left over is removed by the next one that tries.
        let _ = remove(new);
    })
}

/// Fills a new file with what can be read of a damaged one, of this version or the one before.
fn recover(path: &Path, new: &Path, into: &Connection) -> rusqlite::Result<Rescued> {
    match rescue(path, into) {
        Ok(rescued) => return Ok(rescued),
        Err(Fault::Write(error)) => return Err(error),
        Err(Fault::Read(_)) => {}
    }
    // Its first page leads to all others, and is the same in every file.
    let copy = beside(path, COPY);
    copy_with_first_page(path, new, &copy).map_err(of_files)?;
    match rescue(&copy, into) {
        Ok(rescued) => Ok(rescued),
        Err(Fault::Write(error)) => Err(error),
        Err(Fault::Read(error)) => {
            error!(%error, "outbox recovery, tables unreadable");
            Ok(Rescued::default())
        }
    }
}

/// Puts a file aside with what is beside it, and the new one in its place.
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
