//! What the disk has not taken: what can be done all the same while it fails, and what need not be written at all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Clock, News, Next, Op, Place, Written, rows};

/// How soon the queue may ask again for what there is no more of.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// An event that has been delivered before it was written needs no disk.
pub(super) fn without_what_cancels(batch: Vec<Op>) -> Vec<Op> {
    let mut inserts: HashMap<u64, usize> = HashMap::new();
    let mut kept: Vec<Option<Op>> = Vec::with_capacity(batch.len());
    for op in batch {
        let done = match &op {
            Op::Insert { entry, place, .. } => {
                if *place != Place::Ask {
                    inserts.insert(entry.number, kept.len());
                }
                None
            }
            Op::Done(ended) => Some((ended.number, ended.next.is_some())),
            _ => None,
        };
        if let Some((number, frees_others)) = done
            && let Some(at) = inserts.remove(&number)
        {
            if let Some(Op::Insert { told, .. }) = kept[at].take() {
                // Whoever waited may have its verdict by now.
                let _ = told.send(Written::Kept);
            }
            if !frees_others {
                continue;
            }
        }
        kept.push(Some(op));
    }
    kept.into_iter().flatten().collect()
}

/// Keeps what could not be written, and tells those who wait for it; gives the bytes of its events.
pub(super) fn owe(batch: Vec<Op>, owed: &mut Vec<Op>) -> (usize, Vec<(&'static str, HashSet<u64>)>) {
    let (mut bytes, mut loads) = (0, Vec::new());
    for op in batch {
        match op {
            Op::Insert { entry, place, told } => {
                bytes += entry.size();
                // Whoever waited may have its verdict by now.
                let _ = told.send(Written::Owed);
                owed.push(Op::Insert { entry, place, told: oneshot::channel().0 });
            }
            Op::Load { rpc, loaded } => loads.push((rpc, loaded)),
            // Whoever asked is told by the end of the channel.
            Op::Act(_) | Op::Hurry | Op::MakeRoom(_) => {}
            other => owed.push(other),
        }
    }
    (bytes, loads)
}

/// How many events wait that the disk has not taken.
pub(super) fn events(owed: &[Op]) -> usize {
    let gone = gone(owed);
    let waits = |op: &&Op| matches!(op, Op::Insert { entry, .. } if !gone.contains(&entry.number));
    owed.iter().filter(waits).count()
}

fn gone(owed: &[Op]) -> HashSet<u64> {
    let ended = owed.iter().filter_map(|op| match op {
        Op::Done(ended) | Op::Bury { ended, .. } => Some(ended.number),
        _ => None,
    });
    ended.collect()
}

/// While the disk takes nothing: reads what is asked for, as it would be if what is owed had been written.
pub(super) fn load(
    connection: &Connection,
    owed: &[Op],
    rpc: &'static str,
    mut loaded: HashSet<u64>,
    clock: &Clock,
) -> News {
    let now = Instant::now();
    let mut attempts_of = HashMap::new();
    for op in owed {
        match op {
            Op::Done(ended) | Op::Bury { ended, .. } => {
                loaded.insert(ended.number);
            }
            Op::Retry { number, attempts, due } => {
                attempts_of.insert(*number, (*attempts, *due));
            }
            _ => {}
        }
    }
    loaded.extend(attempts_of.iter().filter(|(_, (_, due))| *due > now).map(|(number, _)| *number));
    let mut entries = rows::load(connection, rpc, &loaded, clock).map(|read| read.entries).unwrap_or_default();
    for entry in &mut entries {
        entry.attempts = attempts_of.get(&entry.number).map_or(entry.attempts, |(attempts, _)| *attempts);
    }
    News::Loaded { rpc, entries, next: Some(now + AGAIN) }
}

/// While the disk takes nothing: what is owed and has no other before it goes on from memory.
pub(super) fn first(connection: &Connection, owed: &mut [Op]) -> Vec<News> {
    let gone = gone(owed);
    let mut seen: HashSet<(&'static str, Arc<str>)> = HashSet::new();
    let mut news = Vec::new();
    for op in owed {
        let Op::Insert { entry, place, .. } = op else { continue };
        if gone.contains(&entry.number) {
            continue;
        }
        if let Some(key) = &entry.key {
            let next = Next { rpc: entry.callback.rpc, key: key.clone() };
            let free = seen.insert((next.rpc, next.key.clone()))
                && rows::is_free(connection, &next, &gone).unwrap_or_default();
            if !free {
                continue;
            }
        }
        // It may be on its way already: the queue knows.
        *place = Place::First;
        news.push(News::First(entry.clone()));
    }
    news
}
