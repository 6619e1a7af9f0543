//! The names of streams, consumers and subjects.

use std::fmt::Display;

use super::record::{by_method, method};

/// The name of a consumer of later events, in front of its rpc's method.
const LATER_CONSUMER: &str = "later-";

/// The names of streams, consumers and subjects.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) events: String,
    pub(super) later: String,
    pub(super) dead: String,
    /// `after.nats.name`.
    pub(super) prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        let [events, later, dead] = ["", "-later", "-dead"].map(|end| format!("{prefix}{end}"));
        Self { events, later, dead, prefix: prefix.to_owned() }
    }

    pub(super) fn event(&self, partition: impl Display, rpc: &str, id: &str) -> String {
        format!("{}.events.{partition}.{}.{id}", self.prefix, method(rpc))
    }

    pub(super) fn later(&self, rpc: &str, run: &str, id: &str) -> String {
        format!("{}.later.{}.{run}.{id}", self.prefix, method(rpc))
    }

    pub(super) fn dead(&self, reason: &str, rpc: &str, run: &str, id: &str) -> String {
        format!("{}.dead.{reason}.{}.{run}.{id}", self.prefix, method(rpc))
    }

    /// The stream that has a subject.
    pub(super) fn stream(&self, subject: &str) -> &String {
        match subject.split('.').nth(1) {
            Some("later") => &self.later,
            Some("dead") => &self.dead,
            _ => &self.events,
        }
    }

    /// The subject on which copies are asked which of them has an event in hand.
    pub(super) fn holding(&self) -> String {
        format!("{}.holding", self.prefix)
    }

    /// The subject on which copies tell each other of keys that have used up their hold.
    pub(super) fn holds(&self) -> String {
        format!("{}.holds", self.prefix)
    }

    /// The consumer of a partition.
    pub(super) fn partition(partition: usize) -> String {
        format!("partition-{partition}")
    }

    /// The consumer of an rpc's later events.
    pub(super) fn of_rpc(rpc: &str) -> String {
        format!("{LATER_CONSUMER}{}", method(rpc))
    }

    /// The rpc whose later events a consumer has.
    pub(super) fn rpc_of(consumer: &str) -> Option<&'static str> {
        consumer.strip_prefix(LATER_CONSUMER).and_then(by_method).map(|callback| callback.rpc)
    }
}
