//! Indexes of the events of an rpc, by the time that they wait for.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::outbox::store::Kind;

/// The events of an rpc that are indexed by what they wait for.
#[derive(Debug, Default)]
pub(super) struct RpcIndex {
    pub(super) fresh: BTreeSet<u64>,
    pub(super) due: BTreeSet<(Instant, u64)>,
    pub(super) parked: BTreeSet<(Instant, u64)>,
    /// The highest number that was claimed as fresh: the file is read from there on.
    pub(super) cursor: u64,
    /// All that have their event in memory and wait.
    pub(super) waiting: BTreeSet<u64>,
}

impl RpcIndex {
    /// Returns the events of a kind that wait for a time, by that.
    pub(super) fn times_mut(&mut self, kind: Kind) -> Option<&mut BTreeSet<(Instant, u64)>> {
        match kind {
            Kind::Due => Some(&mut self.due),
            Kind::Parked => Some(&mut self.parked),
            Kind::Fresh => None,
        }
    }

    /// Returns the events of a kind that wait for a time, by that.
    pub(super) fn times(&self, kind: Kind) -> Option<&BTreeSet<(Instant, u64)>> {
        match kind {
            Kind::Due => Some(&self.due),
            Kind::Parked => Some(&self.parked),
            Kind::Fresh => None,
        }
    }
}
