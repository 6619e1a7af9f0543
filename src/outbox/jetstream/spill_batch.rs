//! The next events of the spill that are published: of memory, and of the file where memory has none.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::spill::{Spill, Spilled};
use super::spill_file::Op;

/// Maximum number of events that are published at once.
const BATCH: usize = 64;

/// Number of reads of the file in a row that fail before what it has is left to the next start.
const LOADS: u32 = 30;

impl Spill {
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
        let inner = &mut *self.lock();
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
        inner.publishing = batch.iter().map(|(number, _)| *number).collect();
        batch
    }

    /// Reads the oldest events of the file.
    async fn load(&self) {
        let Some(file) = &self.file else { return };
        // Meanwhile a younger one may come to be in the file alone.
        let from = {
            let inner = &mut *self.lock();
            inner.is_loading = inner.unloaded.is_some();
            inner.unloaded.take()
        };
        let Some(from) = from else { return };
        let (tell, told) = oneshot::channel();
        let _ = file.send(Op::Load { from, tell });
        let loaded = told.await;
        let inner = &mut *self.lock();
        inner.is_loading = false;
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
}
