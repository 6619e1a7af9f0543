//! The limit on the bytes of webhooks in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes of bodies, messages, incomplete heads and unread replies that are held now. Clones share one counter.
///
/// Bodies of at most 4 KiB that came in one piece are not counted: they lie in the read buffer of their
/// connection, whose number has a limit of its own.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<AtomicUsize>);

/// The largest body that is not counted, in bytes.
pub(crate) const SMALL: usize = 4 << 10;

/// The error if `limits.memory` is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more bytes of webhooks are held than limits.memory allows")]
pub(crate) struct NoRoom;

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Memory,
    bytes: usize,
}

impl Memory {
    /// Bytes that are held now.
    pub fn held(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// A share of no bytes yet.
    pub(crate) fn share(&self) -> Share {
        Share { memory: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Counts more bytes, unless more than `limit` would be held by all together.
    pub(crate) fn grow(&mut self, bytes: usize, limit: usize) -> Result<(), NoRoom> {
        self.grow_anyway(bytes);
        if self.memory.held() <= limit {
            return Ok(());
        }
        self.shrink(bytes);
        Err(NoRoom)
    }

    /// Counts more bytes that are held already, whatever the limit.
    pub(crate) fn grow_anyway(&mut self, bytes: usize) {
        self.memory.0.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
    }

    fn shrink(&mut self, bytes: usize) {
        self.memory.0.fetch_sub(bytes, Relaxed);
        self.bytes -= bytes;
    }

    /// Releases all bytes.
    pub(crate) fn clear(&mut self) {
        if self.bytes > 0 {
            self.shrink(self.bytes);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}
