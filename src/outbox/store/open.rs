//! The directory of the outbox, its lock, and its file.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tracing::{error, info, warn};

use super::inbox::inbox;
use super::standing::{Found, Standing, standing};
use super::tables::{APPLICATION, UNIMPLEMENTED, VERSION, connection, create, make_private, settle};
use super::writer::Writer;
use super::{Clock, Gauges, Hear, Store, dead, salvage};
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

/// How long whoever has the directory may take to leave it.
const LEAVING: Duration = Duration::from_secs(1);

/// Up to this size the whole file is checked at the start.
const CHECKED: u64 = 64 << 20;

/// Why a directory cannot be the outbox.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not what the operator thinks.
    #[error("{path}: {what} (--data takes a directory that hookgate can write to)")]
    Unfit {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
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
        /// What is known of it.
        what: String,
    },
    /// It is damaged, and a new file cannot be made of what is left.
    #[error(
        "{path}: it is damaged ({damage}), and what can be read of it cannot be written to a new file: {error}. \
         It is left as it is: see that the disk has room for it once more, and start again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: String,
        /// Why there is no new one.
        error: String,
    },
    /// The store does not work.
    #[error("{path}: {error}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What it says.
        error: rusqlite::Error,
    },
}

impl OpenError {
    /// Whether the configuration is at fault.
    pub fn is_mistake(&self) -> bool {
        matches!(self, Self::Unfit { .. })
    }
}

/// The outbox, open, its thread not started.
#[derive(Debug)]
pub(in crate::outbox) struct Opened {
    pub(in crate::outbox) connection: Connection,
    pub(in crate::outbox) clock: Clock,
    pub(in crate::outbox) standing: Vec<Standing>,
    /// The first number that no event has had.
    pub(in crate::outbox) number: u64,
    pub(super) path: PathBuf,
    pub(super) lock: Arc<Lock>,
}

/// Opens the outbox of a directory, which is made if it is not there.
pub(in crate::outbox) fn open(directory: &Path) -> Result<Opened, OpenError> {
    let unfit = |what: &str, error: io::Error| {
        let what = match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "it is not a directory".to_owned(),
            io::ErrorKind::ReadOnlyFilesystem => "it is mounted read-only: copy it, and use the copy".to_owned(),
            _ => format!("{what}: {error}"),
        };
        OpenError::Unfit { path: directory.to_owned(), what }
    };
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
    let (connection, Found { standing, number, latest }) = match connect(&path) {
        Err(OpenError::Broken { error, .. }) if salvage::is_damage(&error) || salvage::is_lack(&error) => {
            let connection = match salvage::salvage(&path, None, &error) {
                Ok(connection) => connection,
                Err(why) => return Err(OpenError::Damaged { path, damage: error.to_string(), error: why.to_string() }),
            };
            let found = standing(&connection).map_err(broken)?;
            (connection, found)
        }
        opened => opened?,
    };
    let events: usize = standing.iter().map(|rpc| rpc.events).sum();
    info!(directory = %directory.display(), events, took = ?started.elapsed(), "outbox opened");
    Ok(Opened { connection, clock: Clock::start(latest), standing, number, path, lock: Arc::new(lock) })
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
    if let Err(error) = connection.execute_batch(UNIMPLEMENTED) {
        // Without it, eviction of these takes longer.
        warn!(%error, "outbox index not created");
    }
    let found = standing(&connection).map_err(broken)?;
    Ok((connection, found))
}

impl Opened {
    /// Starts the thread, which tells `hear` what the queue must know.
    pub(in crate::outbox) fn start(self, settings: &config::After, hear: Hear) -> io::Result<Store> {
        let (ops, received) = inbox();
        let gauges = Arc::new(Gauges::default());
        let (file, lock) = (self.path.clone(), self.lock.clone());
        gauges.count_dead(dead::count(&self.connection).unwrap_or_default());
        let writer = Writer::new(self, settings, gauges.clone(), hear);
        let watched = gauges.clone();
        thread::Builder::new().name("outbox".to_owned()).spawn(move || {
            // Whoever sends to it is told; a panic itself is in the log by then.
            if catch_unwind(AssertUnwindSafe(|| writer.run(&received))).is_err() {
                watched.stopped.store(true, Relaxed);
                error!("outbox writer panicked, restart required");
            }
        })?;
        Ok(Store { ops, gauges, file, _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

    use std::collections::HashSet;

    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::*;
    use crate::contract::Metadata;
    use crate::outbox::Event;
    use crate::outbox::entry::Entry;
    use crate::outbox::store::{Op, Place};

    #[tokio::test]
    async fn a_thread_that_panics_is_seen_and_nobody_waits_for_it() {
        let directory = std::env::temp_dir().join(format!("hookgate-panics-{}", std::process::id()));
        let opened = open(&directory).unwrap();
        let callback = &crate::contract::Callback::all()[0];
        let panics = Box::new(|_| panic!("as a test has it"));
        let store = opened.start(&config::After::default(), panics).unwrap();
        assert!(!store.is_choked());
        store.send(Op::Load { rpc: callback.rpc, loaded: HashSet::new() });
        let event = Event { callback, message: Bytes::new(), metadata: Metadata::new(), budget: Duration::ZERO };
        let entry = Entry::new(event, 1, tokio::time::Instant::now());
        // The first of these may have been written before the panic.
        for place in 0..2 {
            let (told, written) = oneshot::channel();
            store.send(Op::Insert { entry: entry.clone(), place: Place::First, told });
            let told = tokio::time::timeout(Duration::from_secs(60), written).await;
            assert!(told.expect("nobody waits for it").is_err() || place == 0);
        }
        let patience = Instant::now();
        while !store.gauges.stopped.load(Relaxed) {
            assert!(patience.elapsed() < Duration::from_secs(60), "it is not seen");
            tokio::task::yield_now().await;
        }
        assert!(store.is_choked());
        fs::remove_dir_all(&directory).unwrap();
    }
}
