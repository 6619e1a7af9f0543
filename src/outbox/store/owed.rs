//! What the disk has not taken: what can be done all the same while it fails, and what need not be written at all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::pending::Pending;
use super::{Clock, News, Next, Op, Place, Written, rows};

/// How soon the queue may ask again for what there is no more of.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// With so many changes owed nothing more is read: what goes on from the disk all the same adds to them.
const MOST: usize = 65_536;

/// Keeps what came from a place on and could not be written, and tells those who wait for it.
pub(super) fn owe(pending: &mut Pending, from: u64) {
    for op in pending.iter_mut_from(from) {
        if let Op::Insert { told, .. } = op {
            // Whoever waited may have its verdict by now.
            let _ = std::mem::replace(told, oneshot::channel().0).send(Written::Owed);
        }
    }
    // Whoever asked is told by the end of the channel.
    pending.forget_acts(from);
}

/// While the disk takes nothing: reads what is asked for, as it would be if what is owed had been written.
pub(super) fn load(
    connection: &Connection,
    owed: &Pending,
    rpc: &'static str,
    loaded: &HashSet<u64>,
    clock: &Clock,
) -> News {
    let now = Instant::now();
    let next = Some(now + AGAIN);
    if owed.len() >= MOST {
        return News::Loaded { rpc, entries: Vec::new(), next };
    }
    let is_elsewhere = |number| {
        let waits = |(_, due): (u32, Instant)| due > now;
        loaded.contains(&number) || owed.has_ended(number) || owed.retry(number).is_some_and(waits)
    };
    let mut entries = rows::load(connection, rpc, is_elsewhere, clock).map(|read| read.entries).unwrap_or_default();
    for entry in &mut entries {
        entry.attempts = owed.retry(entry.number).map_or(entry.attempts, |(attempts, _)| attempts);
    }
    News::Loaded { rpc, entries, next }
}

/// While the disk takes nothing: what is owed and has no other before it goes on from memory.
pub(super) fn first(connection: &Connection, owed: &mut Pending) -> Vec<News> {
    let mut seen: HashSet<(&'static str, Arc<str>)> = HashSet::new();
    let (mut free, now) = (HashMap::new(), Instant::now());
    for op in owed.iter() {
        let Op::Insert { entry, .. } = op else { continue };
        if owed.has_ended(entry.number) {
            continue;
        }
        if let Some(key) = &entry.key {
            let next = Next { rpc: entry.callback.rpc, key: key.clone() };
            let is_free = seen.insert((next.rpc, next.key.clone()))
                && rows::is_free(connection, &next, |number| owed.has_ended(number)).unwrap_or_default();
            if !is_free {
                continue;
            }
        }
        // One that has failed has its time.
        match owed.retry(entry.number) {
            Some((_, due)) if due > now => {}
            retry => drop(free.insert(entry.number, retry.map_or(entry.attempts, |(attempts, _)| attempts))),
        }
    }
    let mut news = Vec::with_capacity(free.len());
    for op in owed.iter_mut_from(0) {
        if let Op::Insert { entry, place, .. } = op
            && let Some(attempts) = free.get(&entry.number)
        {
            entry.attempts = *attempts;
            // It may be on its way already: the queue knows.
            *place = Place::First;
            news.push(News::First(entry.clone()));
        }
    }
    news
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

    use std::time::Duration;

    use bytes::Bytes;

    use super::super::{Ended, tables};
    use super::*;
    use crate::contract::Callback;
    use crate::contract::Metadata;
    use crate::outbox::Event;
    use crate::outbox::entry::Entry;

    #[tokio::test]
    async fn with_very_much_owed_nothing_more_is_read() {
        let (connection, clock) = (Connection::open_in_memory().unwrap(), Clock::start(0));
        tables::create(&connection).unwrap();
        let callback = &Callback::all()[0];
        let event = Event { callback, message: Bytes::new(), metadata: Metadata::new(), budget: Duration::ZERO };
        rows::insert(&connection, &Entry::new(event, 0, Instant::now()), &clock, true).unwrap();
        let read = |owed: &Pending| match load(&connection, owed, callback.rpc, &HashSet::new(), &clock) {
            News::Loaded { entries, next, .. } => (entries.len(), next.is_some()),
            _ => panic!("it is read"),
        };
        let mut owed = Pending::default();
        let end = |owed: &mut Pending, number| owed.push(Op::Done(Ended { number, bytes: 0, end: number, next: None }));
        for number in 1..MOST as u64 {
            end(&mut owed, number);
        }
        assert_eq!(read(&owed), (1, true));
        end(&mut owed, MOST as u64);
        assert_eq!(read(&owed), (0, true), "and it is asked again");
    }
}
