//! The thread that reads the file, through the overlay: what cannot be read holds up nothing that is written.

mod claim;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::rows::{self, COLUMNS};
use super::{Shared, salvage};
use crate::outbox::entry::{Entry, Key};
use crate::outbox::overlay::State;
use crate::outbox::store::{Ask, Claimed, Death, Next, Unreadable};

/// Pause before what could not be read is asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// Pause between two lines about a file that cannot be read.
const SAID: Duration = Duration::from_secs(60);

/// A question to the thread.
pub(super) enum Question {
    /// Events of an rpc.
    Claim(Ask, oneshot::Sender<Claimed>),
    /// The first event of a key behind a number.
    Next(Key, u64, oneshot::Sender<Next>),
}

pub(super) struct Reader {
    shared: Arc<Shared>,
    /// The connection, and the generation of its file.
    connection: Option<(Connection, u64)>,
    said: Option<std::time::Instant>,
    /// The last row of each kind that was claimed since the disk takes nothing: what is before it has been claimed too.
    past: HashMap<(&'static str, usize), (i64, i64)>,
    /// The commits that had changed rows when `past` was empty.
    changes: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, connection: None, said: None, past: HashMap::new(), changes: 0 }
    }

    /// Answers questions until nobody asks any more.
    pub(super) fn run(mut self, questions: &mpsc::Receiver<Question>) {
        while let Ok(question) = questions.recv() {
            self.shared.lock().is_read = true;
            // Whoever asks hears of a panic by the end of the channel; the panic itself is in the log.
            if catch_unwind(AssertUnwindSafe(|| self.answer(question))).is_err() {
                self.connection = None;
            }
            let inner = &mut *self.shared.lock();
            inner.is_read = false;
            if inner.overlay.has_written() {
                inner.overlay.forget_written();
            }
        }
    }

    fn answer(&mut self, question: Question) {
        match question {
            Question::Claim(ask, tell) if !tell.is_closed() => {
                let claimed = self.claim(ask);
                if let Err(claimed) = tell.send(claimed) {
                    claimed.entries.iter().flatten().for_each(|entry| self.give_back(entry));
                }
            }
            Question::Next(key, behind, tell) if !tell.is_closed() => {
                let next = self.next(&key, behind);
                if let Err(Next::Event(entry)) = tell.send(next) {
                    self.give_back(&entry);
                }
            }
            // Whoever asked has waited for too long.
            Question::Claim(..) | Question::Next(..) => {}
        }
    }

    /// Gives an event back that nobody waits for any more.
    fn give_back(&mut self, entry: &Entry) {
        self.past.clear();
        let inner = &mut *self.shared.lock();
        inner.overlay.give_back(entry.number());
        inner.overlay.rewind();
    }

    /// Returns the connection, a new one if the file is.
    fn connection(&mut self) -> rusqlite::Result<&Connection> {
        let generation = self.shared.lock().generation;
        let known = self.connection.take().filter(|(_, known)| *known == generation);
        let connection = match known {
            Some((connection, _)) => connection,
            None => {
                let connection = open(&self.shared.path)?;
                connection.set_prepared_statement_cache_capacity(32);
                connection
            }
        };
        Ok(&self.connection.insert((connection, generation)).0)
    }

    /// Notes that the file cannot be read.
    fn failed(&mut self, error: rusqlite::Error) {
        let generation = self.connection.as_ref().map(|(_, generation)| *generation);
        if salvage::is_damage(&error) {
            let inner = &mut *self.shared.lock();
            if generation == Some(inner.generation) {
                inner.damage = Some(error);
                self.shared.work.notify_one();
            }
        } else if self.said.is_none_or(|at| at.elapsed() >= SAID) {
            self.said = Some(std::time::Instant::now());
            error!(%error, "outbox read failed, retrying");
        }
    }

    /// Claims the first event of a key behind a number.
    fn next(&mut self, key: &Key, behind: u64) -> Next {
        loop {
            let read = match self.next_row(key, behind) {
                Ok(read) => read,
                Err(error) => {
                    self.failed(error);
                    return Next::Unknown;
                }
            };
            let mut inner = self.shared.lock();
            let in_memory = inner.overlay.next(key, behind);
            let in_file = read.as_ref().map(|read| read.as_ref().map_or_else(|row| row.number, Entry::number));
            if let Some(number) = in_memory.filter(|number| in_file.is_none_or(|other| *number < other))
                && let Some(entry) = inner.overlay.hold(number)
            {
                return Next::Event(entry);
            }
            if in_file.is_some_and(|number| inner.overlay.decides(number)) {
                // It has changed since it was read.
                continue;
            }
            match read {
                None => return Next::None,
                Some(Ok(entry)) => return Next::Event(inner.overlay.hold_read(entry)),
                Some(Err(unreadable)) => {
                    drop(inner);
                    self.set_aside(&unreadable);
                    return Next::Unreadable(unreadable);
                }
            }
        }
    }

    fn next_row(&mut self, key: &Key, behind: u64) -> rusqlite::Result<Option<Result<Entry, Unreadable>>> {
        let shared = self.shared.clone();
        let connection = self.connection()?;
        let mut query = connection.prepare_cached(&format!(
            "select {COLUMNS} from events indexed by events_keyed join names on names.id = events.rpc
             where domain = ?1 and key = ?2 and parked = 0 and events.id > ?3 order by events.id"
        ))?;
        let values = params![rows::known_number(connection, key.domain)?, &*key.value, rows::as_id(behind)];
        let mut rows = query.query(values)?;
        while let Some(row) = rows.next()? {
            if !shared.lock().overlay.decides(row.get::<_, i64>(0)? as u64) {
                return rows::read(row, &shared.clock).map(Some);
            }
        }
        Ok(None)
    }

    /// Makes a row that cannot be read a dead letter, so that it holds up nothing.
    fn set_aside(&self, row: &Unreadable) {
        let Unreadable { rpc, number, .. } = *row;
        warn!(rpc, number, "outbox event unreadable, dead-lettered");
        self.shared.gauges.unreadable.fetch_add(1, Relaxed);
        let death = Death { reason: rows::UNREADABLE, class: None };
        self.shared.lock().overlay.change(number, rpc, State::Dead(death), None, true);
        self.shared.work.notify_one();
    }
}

/// Opens a file to be read alone.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}
