//! The directory of the outbox, its lock, and its file.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tracing::{error, info};

use super::gauges::Gauges;
use super::reader::Reader;
use super::standing::{Found, Standing, standing};
use super::store::Handle;
use super::tables::{APPLICATION, VERSION, connection, create, make_private, promote, settle};
use super::writer::Writer;
use super::{Clock, Inner, Shared, SqliteStore, convert, dead, salvage};
use crate::config;

/// The file, in the directory.
const FILE: &str = "outbox.db";

/// Locked besides the directory: earlier versions lock nothing else, and on a network file system a lock of a directory
/// holds on one machine alone.
const LOCK: &str = "lock";

/// The directory, locked: whoever has this has the database in it, and nobody can delete the lock and leave the database.
/// A lock of the database file would go away with the file when a damaged one is replaced.
#[derive(Debug)]
pub(super) struct Lock {
    _directory: File,
    _file: File,
}

/// Maximum time that whoever has the directory may take to leave it.
const LEAVING: Duration = Duration::from_secs(1);

/// Maximum size of a file of which all is checked at the start, in bytes.
const CHECKED: u64 = 64 << 20;

/// A failure to open the outbox of a directory.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a directory that can be used.
    #[error("{path}: {what} (--data takes a directory that hookgate can write to)")]
    Unfit {
        /// The directory.
        path: PathBuf,
        /// The fault.
        what: String,
    },
    /// Another process has it.
    #[error("{0}: another hookgate uses this directory; each needs its own")]
    InUse(PathBuf),
    /// A later hookgate, or another program, has written it.
    #[error("{path}: {what}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The origin, as far as it is known.
        what: String,
    },
    /// A damaged file, of whose rest a new one cannot be made.
    #[error(
        "{path}: it is damaged ({damage}), and what can be read of it cannot be written to a new file: {error}. \
         It is left as it is: see that the disk has room for it once more, and start again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault.
        damage: String,
        /// The reason for which there is no new one.
        error: String,
    },
    /// The store does not work.
    #[error("{path}: {error}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// The error.
        error: rusqlite::Error,
    },
}

impl OpenError {
    /// The error of a directory that cannot be listed.
    pub(crate) fn unreadable(directory: &Path, error: &io::Error) -> Self {
        Self::unfit(directory, "it cannot be read", error)
    }

    fn unfit(directory: &Path, what: &str, error: &io::Error) -> Self {
        let what = match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "it is not a directory".to_owned(),
            io::ErrorKind::ReadOnlyFilesystem => "it is mounted read-only: copy it, and use the copy".to_owned(),
            _ => format!("{what}: {error}"),
        };
        Self::Unfit { path: directory.to_owned(), what }
    }

    /// Returns true if the configuration is at fault.
    pub fn is_mistake(&self) -> bool {
        matches!(self, Self::Unfit { .. })
    }
}

/// The outbox, open, its threads not started.
#[derive(Debug)]
pub(in crate::outbox) struct Opened {
    pub(in crate::outbox) connection: Connection,
    pub(in crate::outbox) clock: Clock,
    found: Found,
    path: PathBuf,
    lock: Arc<Lock>,
}

/// Returns true if a directory holds an outbox.
pub(in crate::outbox) fn is_in(directory: &Path) -> bool {
    salvage::is_there(&directory.join(FILE))
}

/// Opens the outbox of a directory, which is made if it is not there.
pub(in crate::outbox) fn open(directory: &Path) -> Result<Opened, OpenError> {
    let unfit = |what: &str, error: io::Error| OpenError::unfit(directory, what, &error);
    // What people write to each other is in it: it is nobody's but ours.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| unfit("it cannot be made", error))?;
    let itself = File::open(directory).map_err(|error| unfit("it cannot be read", error))?;
    let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(directory.join(LOCK));
    let lock = lock.map_err(|error| unfit("it cannot be written to", error))?;
    let patience = Instant::now() + LEAVING;
    match try_lock(&itself, patience).and_then(|()| try_lock(&lock, patience)) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => return Err(unfit("it cannot be locked", error)),
    }
    let lock = Lock { _directory: itself, _file: lock };
    let path = directory.join(FILE);
    let broken = |error| OpenError::Broken { path: path.clone(), error };
    let started = Instant::now();
    salvage::resume(&path).map_err(|error| unfit("what was salvaged cannot be put in its place", error))?;
    let (connection, found) = match connect(&path) {
        Err(OpenError::Broken { error, .. }) if salvage::is_damage(&error) || salvage::is_lack(&error) => {
            let connection = match salvage::salvage(&path, None, &error, false) {
                Ok(connection) => connection,
                Err(why) => return Err(OpenError::Damaged { path, damage: error.to_string(), error: why.to_string() }),
            };
            let found = standing(&connection).map_err(broken)?;
            (connection, found)
        }
        opened => opened?,
    };
    let events: usize = found.standing.rpcs.iter().map(|rpc| rpc.events).sum();
    info!(directory = %directory.display(), events, took = ?started.elapsed(), "outbox opened");
    Ok(Opened { connection, clock: Clock::start(found.latest), found, path, lock: Arc::new(lock) })
}

/// Locks the directory, or the file in it. Whoever has it may be leaving, so it is tried until then.
#[allow(clippy::disallowed_methods, reason = "nothing is served yet, so nothing is held up")]
fn try_lock(lock: &File, patience: Instant) -> Result<(), TryLockError> {
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < patience => thread::sleep(LEAVING / 50),
            tried => return tried,
        }
    }
}

/// Opens the file, and sees to it that it is ours, whole, and of this version.
fn connect(path: &Path) -> Result<(Connection, Found), OpenError> {
    let broken = |error| OpenError::Broken { path: path.to_owned(), error };
    let unfit = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
            OpenError::Unfit { path: path.to_owned(), what: format!("it cannot be written: {error}") }
        }
        _ => broken(error),
    };
    make_private(path)
        .map_err(|error| OpenError::Unfit { path: path.to_owned(), what: format!("it cannot be written: {error}") })?;
    let connection = connection(path).map_err(unfit)?;
    let foreign = |what: String| OpenError::Foreign { path: path.to_owned(), what };
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(broken);
    // It is looked at before it is changed: most programs give their files neither.
    let tables: i64 =
        connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0)).map_err(broken)?;
    let mut is_new = false;
    match (pragma("application_id")?, pragma("user_version")?) {
        (0, 0) if tables == 0 => is_new = true,
        (APPLICATION, VERSION) => {}
        (APPLICATION, 1) => {
            drop(connection);
            convert::convert(path).map_err(unfit)?;
            return connect(path);
        }
        (APPLICATION, version) if version > VERSION => {
            let what = format!("a newer hookgate wrote it (version {version} of the outbox; this one reads {VERSION})");
            return Err(foreign(what));
        }
        (APPLICATION, version) => {
            return Err(foreign(format!("version {version} of the outbox is not known to this hookgate")));
        }
        _ => return Err(foreign("it is a database of another program".to_owned())),
    }
    if is_new {
        // Pages are given back a few at a time. Only a file without pages can be told so.
        connection.execute_batch("pragma auto_vacuum = incremental").map_err(unfit)?;
    }
    let connection = settle(connection).map_err(unfit)?;
    if is_new {
        create(&connection).map_err(unfit)?;
    }
    if fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED) {
        let found: String = connection.query_row("pragma integrity_check(1)", [], |row| row.get(0)).map_err(broken)?;
        if found != "ok" {
            return Err(broken(salvage::damage(found)));
        }
    }
    promote(&connection).map_err(broken)?;
    let found = standing(&connection).map_err(broken)?;
    Ok((connection, found))
}

impl Opened {
    /// The number of the next event: at least the microseconds since 1970, so that numbers rise over a lost file too.
    pub(in crate::outbox) fn number(&self) -> u64 {
        self.found.number.max(crate::outbox::first_number())
    }

    /// Starts the threads. Returns the store, and the events that wait in it.
    pub(in crate::outbox) fn start(self, settings: &config::After) -> Result<(SqliteStore, Standing), OpenError> {
        let Self { connection, clock, found, path, lock } = self;
        let directory = path.parent().unwrap_or(&path).to_owned();
        let unfit = |error: io::Error| OpenError::Unfit { path: directory.clone(), what: error.to_string() };
        let shared = Arc::new(Shared {
            path,
            clock,
            inner: Mutex::new(Inner::default()),
            work: Condvar::new(),
            gauges: Gauges::default(),
            oldest: Mutex::default(),
            listener: OnceLock::new(),
        });
        match dead::count(&connection) {
            Ok(count) => shared.gauges.count_dead(count),
            Err(error) => {
                error!(%error, "outbox dead letters not counted");
                shared.lock().damage = Some(error).filter(salvage::is_damage);
            }
        }
        let (questions, asked) = mpsc::channel();
        let writer = Writer::new(connection, settings, shared.clone());
        let (reader, reads) = (Reader::new(shared.clone()), lock.clone());
        spawn("outbox-reader", move || {
            let _lock = reads;
            reader.run(&asked);
        })
        .map_err(unfit)?;
        let (watched, writes) = (shared.clone(), lock);
        spawn("outbox", move || {
            let _lock = writes;
            // Whoever waits for it is told; a panic itself is in the log by then.
            if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                watched.gauges.stopped.store(true, Relaxed);
                error!("outbox writer panicked, restart required");
            }
            watched.end();
        })
        .map_err(unfit)?;
        Ok((SqliteStore(Arc::new(Handle { shared, questions })), found.standing))
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}
