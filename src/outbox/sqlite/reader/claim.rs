//! Events of an rpc: read from the file, and claimed with what the overlay has.

use std::collections::BTreeMap;

use rusqlite::params;
use tokio::time::Instant;

use super::super::rows::{self, COLUMNS};
use super::{AGAIN, Reader};
use crate::outbox::entry::Entry;
use crate::outbox::store::{Ask, Claimed, Kind, Unreadable};

/// Maximum bytes that are read at once, but for the last event.
const BYTES: usize = 256 << 10;

/// Rows that were read.
#[derive(Default)]
struct Rows {
    entries: Vec<Entry>,
    unreadable: Vec<Unreadable>,
    /// True if there may be more.
    is_cut: bool,
    /// True if something could not be read.
    has_failed: bool,
    /// The generation of the file.
    generation: u64,
}

impl Reader {
    /// Claims events of each kind that is asked for.
    pub(super) fn claim(&mut self, ask: Ask) -> Claimed {
        let mut claimed = Claimed::default();
        for kind in Kind::ALL {
            let most = ask.most[kind as usize];
            if most == 0 {
                continue;
            }
            // One moment for all questions: what is due between two of them would be in neither.
            let now = Instant::now();
            let rows = self.rows(ask.rpc, kind, most, now).unwrap_or_else(|error| {
                self.failed(error);
                Rows { has_failed: true, ..Rows::default() }
            });
            let has_failed = rows.has_failed;
            let is_more = self.hold(ask.rpc, kind, most, rows, now, &mut claimed).filter(|_| !has_failed);
            let again = is_more.map_or(Some(now + AGAIN), |is_more| is_more.then_some(now));
            let in_file = if again.is_none() { self.next_due(ask.rpc, kind, now) } else { None };
            let in_memory = self.shared.lock().overlay.next_due(ask.rpc, kind, now);
            claimed.next[kind as usize] = again.into_iter().chain(in_file).chain(in_memory).min();
        }
        claimed.unreadable.iter().for_each(|row| self.set_aside(row));
        claimed
    }

    /// Reads rows of a kind of which the overlay says nothing.
    fn rows(&mut self, rpc: &'static str, kind: Kind, most: usize, now: Instant) -> rusqlite::Result<Rows> {
        let shared = self.shared.clone();
        let (cursor, fails, is_hurried, changes, generation) = {
            let inner = shared.lock();
            let is_hurried = inner.hurries.get(rpc).is_some_and(|hurries| *hurries > 0);
            (inner.overlay.cursor(rpc), inner.fails, is_hurried, inner.changes, inner.generation)
        };
        if !fails || self.changes != changes {
            self.past.clear();
            self.changes = changes;
        }
        let due_by = if is_hurried && kind == Kind::Due { i64::MAX } else { shared.clock.of(now) };
        let past = self.past.get(&(rpc, kind as usize)).copied().unwrap_or((i64::MIN, i64::MIN));
        let connection = self.connection()?;
        let id = rows::known_number(connection, rpc)?;
        let (which, order, from) = match kind {
            Kind::Due => {
                ("parked = 0 and behind = 0 and due <= ?2 and (due, events.id) > (?3, ?4)", "due, events.id", past)
            }
            Kind::Parked => {
                ("parked = 1 and behind = 0 and due <= ?2 and (due, events.id) > (?3, ?4)", "due, events.id", past)
            }
            Kind::Fresh => (
                "parked = 0 and behind = 0 and due is null and ?2 = ?2 and ?3 = ?3 and events.id > ?4",
                "events.id",
                (0, rows::as_id(cursor)),
            ),
        };
        let mut query = connection.prepare_cached(&format!(
            "select {COLUMNS}, due from events join names on names.id = ?1 where rpc = ?1 and {which} order by {order}"
        ))?;
        let mut found = query.query(params![id, due_by, from.0, from.1])?;
        let (mut read, mut bytes, mut last) = (Rows { generation, ..Rows::default() }, 0, past);
        loop {
            let row = match found.next() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                // Those before a row that cannot be read go all the same.
                Err(error) if read.entries.is_empty() => return Err(error),
                Err(_) => {
                    read.has_failed = true;
                    break;
                }
            };
            let number: i64 = row.get(0)?;
            if shared.lock().overlay.decides(number as u64) {
                continue;
            }
            if read.entries.len() + read.unreadable.len() >= most || bytes >= BYTES {
                read.is_cut = true;
                break;
            }
            last = (row.get::<_, Option<i64>>(13)?.unwrap_or_default(), number);
            match rows::read(row, &shared.clock)? {
                Ok(entry) => {
                    bytes += entry.size();
                    read.entries.push(entry);
                }
                Err(unreadable) => read.unreadable.push(unreadable),
            }
        }
        drop(found);
        drop(query);
        if fails && kind != Kind::Fresh {
            self.past.insert((rpc, kind as usize), last);
        }
        Ok(read)
    }

    /// Returns the time of the next attempt of any event in the file that is not due yet.
    fn next_due(&mut self, rpc: &'static str, kind: Kind, now: Instant) -> Option<Instant> {
        if kind == Kind::Fresh {
            return None;
        }
        let clock = self.shared.clock;
        let next = (|| {
            let connection = self.connection()?;
            let mut query = connection.prepare_cached(
                "select min(due) from events where rpc = ?1 and parked = ?2 and behind = 0 and due > ?3",
            )?;
            let values = params![rows::known_number(connection, rpc)?, kind == Kind::Parked, clock.of(now)];
            query.query_row(values, |row| row.get::<_, Option<i64>>(0))
        })();
        match next {
            Ok(next) => next.map(|next| clock.instant(next)),
            Err(error) => {
                self.failed(error);
                Some(now + AGAIN)
            }
        }
    }

    /// Claims what was read, and what the overlay has, in order. Returns true if there is more; none if some could not be read.
    fn hold(
        &mut self,
        rpc: &'static str,
        kind: Kind,
        most: usize,
        rows: Rows,
        now: Instant,
        claimed: &mut Claimed,
    ) -> Option<bool> {
        let shared = self.shared.clone();
        let Rows { entries, unreadable, is_cut, has_failed, generation } = rows;
        claimed.unreadable.extend(unreadable);
        // The file may have others between its last row and what is in memory.
        let last = entries.last().map_or(0, Entry::number);
        let bound = if is_cut && kind == Kind::Fresh { last } else { u64::MAX };
        let mut read: BTreeMap<u64, Entry> = entries.into_iter().map(|entry| (entry.number(), entry)).collect();
        let (mut held, mut bare) = (Vec::new(), Vec::new());
        let mut inner = shared.lock();
        // It may have changed since it was read.
        read.retain(|number, _| !inner.overlay.decides(*number));
        let in_memory = inner.overlay.ready(rpc, kind, now).filter(|number| *number < bound);
        // Rows that were read come first: while the disk takes nothing they are not read again.
        let mut numbers: Vec<u64> = read.keys().copied().chain(in_memory).collect();
        if kind == Kind::Fresh {
            numbers.sort_unstable();
        }
        let is_more = numbers.len() > most || is_cut;
        // What was not read is behind the cursor still; what is held is not read again.
        let advances = kind == Kind::Fresh && !has_failed && inner.generation == generation;
        for number in numbers.into_iter().take(most) {
            if advances {
                inner.overlay.advance(rpc, number);
            }
            match inner.overlay.hold(number).or_else(|| read.remove(&number)) {
                Some(entry) => held.push(entry),
                None => bare.push(number),
            }
        }
        drop(inner);
        let mut is_unread = false;
        for number in bare {
            match self.by_number(number) {
                Ok(Ok(entry)) => held.push(shared.lock().overlay.hold_read(entry)),
                Ok(Err(unreadable)) => claimed.unreadable.push(unreadable),
                Err(error) => {
                    shared.lock().overlay.give_back(number);
                    self.failed(error);
                    is_unread = true;
                }
            }
        }
        claimed.entries[kind as usize] = held;
        (!is_unread).then_some(is_more)
    }

    /// Reads a held event whose slot has its state alone.
    fn by_number(&mut self, number: u64) -> rusqlite::Result<Result<Entry, Unreadable>> {
        let shared = self.shared.clone();
        let connection = self.connection()?;
        let mut query = connection.prepare_cached(&format!(
            "select {COLUMNS} from events join names on names.id = events.rpc where events.id = ?"
        ))?;
        query.query_row([rows::as_id(number)], |row| rows::read(row, &shared.clock))
    }
}
