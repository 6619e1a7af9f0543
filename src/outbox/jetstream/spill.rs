//! The spill: where events are while JetStream takes none, in the order in which they arrived.
//!
//! With a directory a thread writes them to a file there, one commit for all that have come meanwhile; the lowest of them are
//! in memory too, and what was only written is read back when those are gone. Without a directory, or while the disk takes
//! nothing, they are in memory alone. Nothing is delivered from here: it is published, oldest first, and a key that has an
//! event here puts its next ones behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::spill_file::{self, Op, SpillRow};
use crate::outbox::CLOSING;

/// The name of its file.
pub(super) const FILE: &str = "spill.db";

/// Maximum bytes of events in memory that are in the file too.
const WINDOW: usize = 8 << 20;

/// Maximum bytes of events that wait for the file: a disk takes nothing, or not as fast as they come.
const UNWRITTEN: usize = 16 << 20;

/// Maximum bytes without a file.
const IN_MEMORY: usize = 256 << 20;

/// Number of reads of the file in a row that fail before what it has is left to the next start.
const LOADS: u32 = 30;

/// Maximum number of events that are read back at once.
pub(super) const CHUNK: usize = 512;

/// Maximum number of events that are published at once.
const BATCH: usize = 64;

/// An event that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spilled {
    pub(super) subject: String,
    pub(super) message_id: String,
    /// The value of the header of hookgate.
    pub(super) header: String,
    pub(super) payload: Bytes,
    /// The domain and the value of its key.
    pub(super) key: Option<String>,
}

impl Spilled {
    pub(super) fn size(&self) -> usize {
        let Self { subject, message_id, header, payload, key } = self;
        let key = key.as_ref().map_or(0, String::len);
        size_of::<Self>() + subject.len() + message_id.len() + header.len() + payload.len() + key
    }
}

impl Spilled {
    fn row(&self, number: u64) -> SpillRow {
        let Self { subject, header, key, .. } = self;
        SpillRow { number, subject: subject.clone(), header: header.clone(), key: key.clone(), bytes: self.size() }
    }
}

/// The events that wait to be published.
#[derive(Debug)]
pub(super) struct Spill {
    inner: Mutex<Inner>,
    file: Option<mpsc::Sender<Op>>,
    pub(super) path: Option<PathBuf>,
    bounds: (usize, usize),
    /// Notifies when there may be something to publish.
    pub(super) work: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    window: BTreeMap<u64, Arc<Spilled>>,
    window_bytes: usize,
    /// Of these the bytes that no file has.
    unwritten_bytes: usize,
    /// The lowest number of those in the file alone, or a lower one.
    unloaded: Option<u64>,
    /// Those in memory that the file has too.
    written: BTreeSet<u64>,
    /// The events of each key, in memory or not.
    keys: HashMap<String, usize>,
    events: usize,
    bytes: usize,
    number: u64,
    /// Reads of the file in a row that failed.
    failed_loads: u32,
    /// Events of the file that were dropped while they may be read.
    dropped: HashSet<u64>,
}

/// What there is in the spill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// The place of an event that was put into the spill.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) number: u64,
    /// Tells if the file has it; none if it is in memory alone.
    pub(super) written: Option<oneshot::Receiver<bool>>,
}

impl Spill {
    /// A spill in memory.
    pub(super) fn in_memory(bounds: (usize, usize)) -> Self {
        Self { inner: Mutex::default(), file: None, path: None, bounds, work: Notify::new() }
    }

    /// A spill in a file of this directory, with what is there.
    pub(super) fn on_disk(directory: &Path, bounds: (usize, usize)) -> Result<Self, String> {
        let path = directory.join(FILE);
        let (file, found) = spill_file::open(&path)
            .map_err(|error| format!("{}: the spill cannot be opened: {error}", path.display()))?;
        let spill_file::Found { events, bytes, number, keys } = found;
        let unloaded = (events > 0).then_some(0);
        let inner = Inner { unloaded, events, bytes, number, keys, ..Inner::default() };
        Ok(Self { inner: Mutex::new(inner), file: Some(file), path: Some(path), bounds, work: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_durable(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn standing(&self) -> Standing {
        let Inner { events, bytes, .. } = *self.lock();
        Standing { events, bytes }
    }

    /// Returns true if an event of this key is here: the next one goes behind it.
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.lock().keys.contains_key(key)
    }

    /// Adds an event. Returns none if there is no room for it.
    pub(super) fn put(&self, spilled: Spilled) -> Option<Put> {
        let inner = &mut *self.lock();
        let size = spilled.size();
        let in_memory = if self.file.is_some() { UNWRITTEN } else { IN_MEMORY };
        if inner.events >= self.bounds.0
            || inner.bytes + size > self.bounds.1
            || inner.unwritten_bytes + size > in_memory
        {
            return None;
        }
        inner.number += 1;
        let (number, spilled) = (inner.number, Arc::new(spilled));
        inner.events += 1;
        inner.bytes += size;
        if let Some(key) = &spilled.key {
            *inner.keys.entry(key.clone()).or_default() += 1;
        }
        let written = self.file.as_ref().map(|file| {
            let (tell, written) = oneshot::channel();
            // A thread that is gone has dropped the other end, which tells that nothing is written.
            let _ = file.send(Op::Put { number, spilled: spilled.clone(), tell });
            written
        });
        inner.window_bytes += size;
        inner.unwritten_bytes += size;
        inner.window.insert(number, spilled);
        self.work.notify_one();
        Some(Put { number, written })
    }

    /// Notes that the file has an event. Of those in memory beyond the window the youngest are then in the file alone.
    pub(super) fn mark_written(&self, number: u64) {
        let inner = &mut *self.lock();
        let Some(spilled) = inner.window.get(&number) else { return };
        if inner.written.insert(number) {
            inner.unwritten_bytes = inner.unwritten_bytes.saturating_sub(spilled.size());
        }
        while inner.window_bytes > WINDOW
            && let Some(youngest) = inner.written.pop_last()
        {
            if let Some(spilled) = inner.window.remove(&youngest) {
                inner.window_bytes = inner.window_bytes.saturating_sub(spilled.size());
                inner.unloaded = Some(inner.unloaded.map_or(youngest, |unloaded| unloaded.min(youngest)));
            }
        }
    }

    /// Returns events that may be published at once, oldest first: one of each key, of those for which there `may_be` room.
    /// Reads more of the file where needed.
    pub(super) async fn batch(&self, may_be: impl Fn(&Spilled) -> bool) -> Vec<(u64, Arc<Spilled>)> {
        let is_to_load = {
            let inner = self.lock();
            let first = inner.window.first_key_value().map(|(number, _)| *number);
            inner.unloaded.is_some_and(|unloaded| first.is_none_or(|first| first >= unloaded))
        };
        if is_to_load {
            self.load().await;
        }
        let inner = self.lock();
        let mut keys = HashSet::new();
        let mut batch = Vec::new();
        for (number, spilled) in &inner.window {
            let is_behind_others = inner.unloaded.is_some_and(|unloaded| *number >= unloaded);
            let is_of_new_key = |key: &String| keys.insert(key.clone());
            if !is_behind_others && !may_be(spilled) {
                continue;
            }
            if batch.len() >= BATCH || is_behind_others {
                break;
            }
            if !spilled.key.as_ref().is_none_or(is_of_new_key) {
                continue;
            }
            batch.push((*number, spilled.clone()));
        }
        batch
    }

    /// Reads the oldest events of the file.
    async fn load(&self) {
        let Some(file) = &self.file else { return };
        // Meanwhile a younger one may come to be in the file alone.
        let Some(from) = self.lock().unloaded.take() else { return };
        let (tell, told) = oneshot::channel();
        let _ = file.send(Op::Load { from, tell });
        let loaded = told.await;
        let inner = &mut *self.lock();
        let Ok(Some(loaded)) = loaded else {
            inner.failed_loads += 1;
            // What cannot be read does not hold up what comes after it for ever; the next start tries again.
            if inner.failed_loads < LOADS {
                inner.unloaded = Some(inner.unloaded.map_or(from, |unloaded| unloaded.min(from)));
            }
            return;
        };
        inner.failed_loads = 0;
        // Some of a whole page may have been removed, so that it is the first of the rest that counts.
        if let Some(next) = loaded.last().map(|(number, _)| number + 1) {
            inner.unloaded = Some(inner.unloaded.map_or(next, |unloaded| unloaded.min(next)));
        }
        for (number, spilled) in loaded {
            if inner.window.contains_key(&number) || inner.dropped.remove(&number) {
                continue;
            }
            inner.window_bytes += spilled.size();
            inner.written.insert(number);
            inner.window.insert(number, Arc::new(spilled));
        }
    }

    /// Removes an event, as it is published or has ended. Returns false if it is not there.
    pub(super) fn remove(&self, number: u64) -> bool {
        let inner = &mut *self.lock();
        let Some(spilled) = inner.window.remove(&number) else { return false };
        let size = spilled.size();
        inner.window_bytes = inner.window_bytes.saturating_sub(size);
        if !inner.written.remove(&number) {
            inner.unwritten_bytes = inner.unwritten_bytes.saturating_sub(size);
        }
        inner.events = inner.events.saturating_sub(1);
        inner.bytes = inner.bytes.saturating_sub(size);
        inner.forget_key(spilled.key.as_ref());
        if let Some(file) = &self.file {
            let _ = file.send(Op::Remove(number));
        }
        true
    }

    /// Waits until the file has what was changed before, and returns the number of events that are in memory alone.
    pub(super) async fn close(&self) -> usize {
        let Some(file) = &self.file else { return self.standing().events };
        let (tell, told) = oneshot::channel();
        let _ = file.send(Op::Flush { tell });
        // A disk that hangs does not hold up the stop.
        let missing = timeout(CLOSING, told).await;
        let inner = self.lock();
        match missing {
            Ok(Ok(missing)) => inner.window.keys().filter(|number| missing.contains(number)).count(),
            _ => inner.window.keys().filter(|number| !inner.written.contains(number)).count(),
        }
    }

    /// Removes an event that may be in the file alone. Returns false if it is not there.
    pub(super) fn discard(&self, row: &SpillRow) -> bool {
        if self.remove(row.number) {
            return true;
        }
        let (Some(file), inner) = (&self.file, &mut *self.lock()) else { return false };
        inner.dropped.insert(row.number);
        inner.events = inner.events.saturating_sub(1);
        inner.bytes = inner.bytes.saturating_sub(row.bytes);
        inner.forget_key(row.key.as_ref());
        file.send(Op::Remove(row.number)).is_ok()
    }

    /// The events in memory with higher numbers than `after` that the file may not have.
    pub(super) fn unwritten(&self, after: u64) -> Vec<SpillRow> {
        let inner = self.lock();
        let behind = inner.window.range(after.saturating_add(1)..);
        let unwritten = behind.filter(|(number, _)| !inner.written.contains(number));
        unwritten.map(|(number, spilled)| spilled.row(*number)).collect()
    }

    /// The message of an event in memory.
    pub(super) fn payload(&self, number: u64) -> Option<Bytes> {
        self.lock().window.get(&number).map(|spilled| spilled.payload.clone())
    }
}

impl Inner {
    /// Counts an event of a key that is gone.
    fn forget_key(&mut self, key: Option<&String>) {
        if let Some(key) = key
            && let Some(count) = self.keys.get_mut(key)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.keys.remove(key);
            }
        }
    }
}
