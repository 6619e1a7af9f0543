//! Replays and drops of events in the streams, from any copy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::client::Request;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};
use tracing::info;

use super::JetStream;
use super::api::ApiError;
use super::look::{DEAD, Selected, WALK};
use super::publish::Publisher;
use super::record::{Record, path};
use crate::outbox::sqlite::{Filter, State, Undelivered};

/// Maximum time in which the copy answers that has an event in hand.
const ANSWER: Duration = Duration::from_millis(300);

/// Number of dead letters that are replayed at once.
const AT_ONCE: usize = 32;

/// The result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::outbox) enum Done {
    /// The number of events that were changed. `last` is the place behind which more may be selected.
    Changed { events: usize, last: Option<i64> },
    /// No event with the ID.
    Unknown,
    /// A copy has it in hand.
    OnItsWay,
}

/// An event in hand, listed until this is dropped.
pub(super) struct Listed {
    of: Arc<JetStream>,
    id: String,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let state = &mut *self.of.pace.lock();
        if let Some(count) = state.hands.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                state.hands.remove(&self.id);
            }
        }
    }
}

impl JetStream {
    /// Lists an event as one that this copy has in hand.
    pub(super) fn list_in_hand(self: &Arc<Self>, id: &str) -> Listed {
        *self.pace.lock().hands.entry(id.to_owned()).or_default() += 1;
        Listed { of: self.clone(), id: id.to_owned() }
    }

    /// Returns true if a copy has an event in hand, as far as it answers.
    async fn is_held(&self, id: &str) -> bool {
        let Publisher { api, names, .. } = &self.publisher;
        let request = Request::new().payload(id.to_owned().into()).timeout(Some(ANSWER));
        matches!(timeout(ANSWER, api.client.send_request(names.holding(), request)).await, Ok(Ok(_)))
    }

    /// Replays dead letters, some at a time; makes an event due that waits, if it is named.
    pub(in crate::outbox) async fn replay(self: &Arc<Self>, filter: &Filter, run: i64) -> Result<Done, ApiError> {
        if let Some(id) = &filter.id {
            let Some((stream, selected)) = self.find(id).await? else {
                // One in the spill goes as soon as the servers take it.
                let is_spilled = self.find_spilled(id).await?.is_some();
                return Ok(if is_spilled { Done::OnItsWay } else { Done::Unknown });
            };
            if stream != self.publisher.names.dead && self.is_held(id).await {
                return Ok(Done::OnItsWay);
            }
            if stream != self.publisher.names.events {
                self.replay_one(&stream, &selected, run).await?;
            }
            // One that waits behind others goes when its turn comes.
            return Ok(Done::Changed { events: 1, last: None });
        }
        let selected = self.selected(filter).await?;
        let (dead, mut events) = (&self.publisher.names.dead, 0);
        for some in selected.chunks(AT_ONCE) {
            for replayed in join_all(some.iter().map(|selected| self.replay_one(dead, selected, run))).await {
                events += usize::from(replayed?);
            }
        }
        Ok(changed(&selected, events))
    }

    /// Counts the events of a replay that are not delivered. Where they wait is asked first: an event that dies meanwhile is
    /// found among the dead.
    pub(in crate::outbox) async fn undelivered(&self, run: i64) -> Result<Vec<Undelivered>, ApiError> {
        let names = &self.publisher.names;
        let mut found: BTreeMap<String, (String, &'static str, String)> = BTreeMap::new();
        for (is_failed, token) in [(false, run.to_string()), (true, format!("{run}f"))] {
            self.subjects(&names.later, &names.later("*", &token, "*"), |subject, _| {
                let tokens: Vec<&str> = subject.split('.').collect();
                let state = if is_failed { "failed" } else { "untried" };
                found.insert(tokens[4..].join("."), (tokens[2].to_owned(), state, String::new()));
            })
            .await?;
        }
        self.subjects(&names.dead, &names.dead("*", "*", &run.to_string(), "*"), |subject, _| {
            let tokens: Vec<&str> = subject.split('.').collect();
            found.insert(tokens[5..].join("."), (tokens[3].to_owned(), "dead", tokens[2].to_owned()));
        })
        .await?;
        let mut all: BTreeMap<String, Undelivered> = BTreeMap::new();
        for (rpc, state, reason) in found.into_values() {
            let rpc = path(&rpc).to_owned();
            let of = all.entry(rpc.clone()).or_insert_with(|| Undelivered { rpc, ..Undelivered::default() });
            match state {
                "failed" => of.failed += 1,
                "untried" => of.untried += 1,
                _ => *of.dead.entry(reason).or_default() += 1,
            }
        }
        Ok(all.into_values().collect())
    }

    /// Finds the dead letters that a change is about.
    async fn selected(&self, filter: &Filter) -> Result<Vec<Selected>, ApiError> {
        match filter.state {
            Some(State::Waiting) => Ok(Vec::new()),
            _ => self.dead(filter, filter.most_changed(), Instant::now() + WALK).await,
        }
    }

    /// Lets an event wait for an attempt that is due now. It is in its new place before it leaves the old one.
    async fn replay_one(self: &Arc<Self>, stream: &str, selected: &Selected, run: i64) -> Result<bool, ApiError> {
        let Some(record) = &selected.record else { return Ok(false) };
        let now = Instant::now();
        let mut record = Record { due: Some(now), run: Some(run), end: None, ..record.clone() };
        record.entry.progress.spared = record.entry.progress.attempts;
        record.entry.progress.since = now;
        record.entry.progress.parked = true;
        self.ensure_later(record.entry.rpc());
        self.publisher.publish(&record).await?;
        self.publisher.api.delete(stream, selected.sequence).await?;
        Ok(true)
    }

    /// Drops dead letters, some at a time, or an event that waits, if it is named.
    pub(in crate::outbox) async fn discard(&self, filter: &Filter) -> Result<Done, ApiError> {
        let Publisher { api, names, .. } = &self.publisher;
        if let Some(id) = &filter.id {
            if let Some((stream, selected)) = self.find(id).await? {
                if stream != names.dead && self.is_held(id).await {
                    return Ok(Done::OnItsWay);
                }
                if api.delete(&stream, selected.sequence).await? {
                    info!(event_id = id, subject = selected.subject, "queued event dropped on request");
                    return Ok(Done::Changed { events: 1, last: None });
                }
            }
            let found = self.find_spilled(id).await?;
            return Ok(match found.is_some_and(|row| self.publisher.spill.discard(&row)) {
                true => Done::Changed { events: 1, last: None },
                false => Done::Unknown,
            });
        }
        let selected = self.selected(filter).await?;
        let mut events = 0;
        for some in selected.chunks(AT_ONCE) {
            let deleted = some.iter().map(|selected| api.delete(&names.dead, selected.sequence));
            for deleted in join_all(deleted).await {
                events += usize::from(deleted?);
            }
        }
        Ok(changed(&selected, events))
    }
}

/// Returns the result of a change of dead letters: more may be behind the last of them, unless there was none.
fn changed(selected: &[Selected], events: usize) -> Done {
    let last = selected.last();
    Done::Changed { events, last: last.map(|last| DEAD + i64::try_from(last.sequence).unwrap_or(i64::MAX)) }
}
