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

/// Maximum number of events that are read back at once.
pub(super) const CHUNK: usize = 512;

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

    fn row(&self, number: u64) -> SpillRow {
        let Self { subject, header, key, .. } = self;
        SpillRow { number, subject: subject.clone(), header: header.clone(), key: key.clone(), bytes: self.size() }
    }
}

/// The events that wait to be published.
#[derive(Debug)]
pub(super) struct Spill {
    inner: Mutex<Inner>,
    pub(super) file: Option<mpsc::Sender<Op>>,
    pub(super) path: Option<PathBuf>,
    bounds: (usize, usize),
    /// Notifies when there may be something to publish.
    pub(super) work: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) window: BTreeMap<u64, Arc<Spilled>>,
    pub(super) window_bytes: usize,
    /// The bytes of those in memory that no file has.
    pub(super) unwritten_bytes: usize,
    /// The lowest number of those in the file alone, or a lower one.
    pub(super) unloaded: Option<u64>,
    /// The events in memory that the file has too.
    pub(super) written: BTreeSet<u64>,
    /// The events of each key, in memory or not.
    pub(super) keys: HashMap<String, usize>,
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) number: u64,
    /// Reads of the file in a row that failed.
    pub(super) failed_loads: u32,
    /// True while the file is being read.
    pub(super) is_loading: bool,
    /// Events that went while the file was being read, or that were dropped and are in the file alone.
    pub(super) dropped: HashSet<u64>,
    /// Events that are being published.
    pub(super) publishing: HashSet<u64>,
}

/// The number and the size of the events in the spill.
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

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
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
        // What is being published is in hand until the answer has come.
        let is_free =
            |inner: &Inner| inner.written.iter().rev().find(|number| !inner.publishing.contains(number)).copied();
        while inner.window_bytes > WINDOW
            && let Some(youngest) = is_free(inner)
        {
            inner.written.remove(&youngest);
            if let Some(spilled) = inner.window.remove(&youngest) {
                inner.window_bytes = inner.window_bytes.saturating_sub(spilled.size());
                inner.unloaded = Some(inner.unloaded.map_or(youngest, |unloaded| unloaded.min(youngest)));
            }
        }
    }

    /// Removes an event, as it is published or has ended. Returns false if it is not there.
    pub(super) fn remove(&self, number: u64) -> bool {
        let inner = &mut *self.lock();
        let Some(spilled) = inner.window.remove(&number) else { return false };
        if inner.is_loading {
            inner.dropped.insert(number);
        }
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

    /// Notes that the answers to what was published have come.
    pub(super) fn published(&self) {
        self.lock().publishing.clear();
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
        // The file may still have one that was published or dropped.
        let is_in_file_alone = inner.unloaded.is_some_and(|unloaded| row.number >= unloaded);
        if !is_in_file_alone || !inner.dropped.insert(row.number) {
            return false;
        }
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
