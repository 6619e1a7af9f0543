//! Questions of people about the events in the streams. Any copy answers, from the streams' leaders; each question ends in
//! time, and none has more than a page of a stream in memory.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::JetStream;
use super::api::{ApiError, Found};
use super::publish::Publisher;
use super::record::{Record, token};
use crate::contract::metadata;
use crate::outbox::sqlite::{Clock, Filter, Item, State, content};

/// Places of later events begin here, behind those of the partitions.
const LATER: i64 = 1 << 52;

/// Places of dead letters begin here.
pub(super) const DEAD: i64 = 1 << 54;

/// Places of events in the spill of this copy begin here.
pub(in crate::outbox) const SPILL: i64 = 1 << 56;

/// Maximum time of a walk along the streams.
pub(super) const WALK: Duration = Duration::from_secs(20);

/// A list of events.
#[derive(Debug, Default)]
pub(in crate::outbox) struct Page {
    pub(in crate::outbox) items: Vec<Item>,
    /// True if the time was over before the limit or the end was reached: there may be more behind the last item.
    pub(in crate::outbox) is_cut: bool,
}

/// The events of a stream that are selected.
#[derive(Debug, Clone)]
pub(super) struct Selected {
    pub(super) sequence: u64,
    pub(super) subject: String,
    pub(super) record: Option<Record>,
    pub(super) bytes: usize,
}

impl JetStream {
    pub(super) fn read(&self, found: Found) -> Selected {
        let Found { sequence, subject, header, payload } = found;
        let bytes = payload.len() + header.len();
        Selected { sequence, subject, record: Record::read(&header, payload, sequence, &self.publisher.clock), bytes }
    }

    /// Returns the subject of the dead letters that a filter selects.
    pub(super) fn dead_subject(&self, filter: &Filter) -> String {
        let Filter { id, rpc, reason, .. } = filter;
        let id = id.as_ref().map_or_else(|| "*".to_owned(), |id| token(id));
        self.publisher.names.dead(reason.as_deref().unwrap_or("*"), rpc.as_deref().unwrap_or("*"), "*", &id)
    }

    /// Finds dead letters, some at a time: `most` at most, and no more after `until`. Fails if it has found none by then.
    pub(super) async fn dead(&self, filter: &Filter, most: usize, until: Instant) -> Result<Vec<Selected>, ApiError> {
        let Publisher { api, names, .. } = &self.publisher;
        let subject = self.dead_subject(filter);
        if filter.after.is_some_and(|after| after >= SPILL) {
            return Ok(Vec::new());
        }
        let mut from = filter.after.map_or(1, |after| u64::try_from(after.saturating_sub(DEAD)).unwrap_or(0) + 1);
        if let Some(since) = filter.since {
            from = from.max(self.counted_since(&names.dead, &subject, Some(since)).await?.1);
        }
        let mut found = Vec::new();
        while found.len() < most {
            if Instant::now() >= until {
                return if found.is_empty() { Err(ApiError::TimedOut) } else { Ok(found) };
            }
            let Some(next) = api.next(&names.dead, &subject, from).await? else { break };
            from = next.sequence + 1;
            found.push(self.read(next));
        }
        Ok(found)
    }

    /// The streams of waiting events, with the subjects that a filter selects and where their places begin.
    pub(super) fn waiting_subjects(&self, filter: &Filter) -> [(String, String, i64); 2] {
        let names = &self.publisher.names;
        let rpc = filter.rpc.as_deref().unwrap_or("*");
        let id = filter.id.as_ref().map_or_else(|| "*".to_owned(), |id| token(id));
        let events = names.event("*", rpc, &id);
        [(names.events.clone(), events, 0), (names.later.clone(), names.later(rpc, "*", &id), LATER)]
    }

    /// Lists events without their content, some at a time. Fails if it has found none in time.
    pub(in crate::outbox) async fn list(&self, filter: &Filter) -> Result<Page, ApiError> {
        let (most, until) = (filter.most_listed(), Instant::now() + WALK);
        let mut items = Vec::new();
        if filter.state != Some(State::Dead) && filter.reason.is_none() {
            let after = filter.after.unwrap_or(0);
            for (stream, subject, base) in self.waiting_subjects(filter) {
                let mut from = u64::try_from(after.saturating_sub(base).max(0)).unwrap_or(0) + 1;
                let end = if base == 0 { LATER } else { DEAD };
                if after >= end {
                    continue;
                }
                while items.len() < most && Instant::now() < until {
                    let Some(found) = self.publisher.api.next(&stream, &subject, from).await? else { break };
                    from = found.sequence + 1;
                    let item = item(&self.publisher.clock, &self.read(found), base);
                    items.extend(item.filter(|item| filter.since.is_none_or(|since| item.arrived >= since)));
                }
            }
        }
        if filter.state != Some(State::Waiting) {
            let dead = match self.dead(filter, most.saturating_sub(items.len()), until).await {
                // They are listed from the last item on.
                Err(ApiError::TimedOut) if !items.is_empty() => Vec::new(),
                dead => dead?,
            };
            items.extend(dead.iter().filter_map(|selected| item(&self.publisher.clock, selected, DEAD)));
        }
        let is_cut = items.len() < most && Instant::now() >= until;
        match is_cut {
            true if items.is_empty() => return Err(ApiError::TimedOut),
            true => {}
            false => items.extend(self.list_spilled(filter, most.saturating_sub(items.len())).await?),
        }
        Ok(Page { items, is_cut })
    }

    /// Finds the event with an ID: one that waits, else a dead letter. Returns its stream too.
    pub(super) async fn find(&self, id: &str) -> Result<Option<(String, Selected)>, ApiError> {
        let Publisher { api, names, .. } = &self.publisher;
        let filter = Filter { id: Some(id.to_owned()), ..Filter::default() };
        let waiting = self.waiting_subjects(&filter).map(|(stream, subject, _)| (stream, subject));
        let dead = (names.dead.clone(), self.dead_subject(&filter));
        for (stream, subject) in waiting.into_iter().chain([dead]) {
            if let Some(found) = api.last(&stream, &subject).await? {
                return Ok(Some((stream, self.read(found))));
            }
        }
        Ok(None)
    }

    /// Returns an event with its content.
    pub(in crate::outbox) async fn show(&self, id: &str, reveal: bool) -> Result<Option<Item>, ApiError> {
        let selected = match self.find(id).await? {
            Some((_, selected)) => selected,
            None => match self.find_spilled(id).await? {
                Some(row) => self.spilled(&row).await?,
                None => return Ok(None),
            },
        };
        let Some(mut item) = item(&self.publisher.clock, &selected, 0) else { return Ok(None) };
        add_content(&mut item, &selected, reveal);
        Ok(Some(item))
    }
}

/// Returns an event as people see it, its place behind `base`. None if it cannot be read.
pub(super) fn item(clock: &Clock, selected: &Selected, base: i64) -> Option<Item> {
    let record = selected.record.as_ref()?;
    let entry = &record.entry;
    let end = record.end.as_ref();
    Some(Item {
        place: base + i64::try_from(selected.sequence).unwrap_or(i64::MAX),
        id: entry.event_id().to_owned(),
        state: if end.is_some() { State::Dead } else { State::Waiting },
        target: record.target.clone(),
        rpc: entry.rpc().to_owned(),
        key: entry.key().map(|key| key.value.to_string()),
        arrived: clock.of(entry.event.arrived),
        attempts: entry.progress.attempts,
        bytes: i64::try_from(selected.bytes).unwrap_or(i64::MAX),
        due: record.due.filter(|_| end.is_none()).map(|due| clock.of(due)),
        died: end.map(|end| end.died),
        reason: end.map(|end| end.reason.clone()),
        class: end.and_then(|end| end.class.clone()),
        parked: end.is_none() && entry.progress.parked,
        metadata: None,
        message: None,
    })
}

/// Adds the content of an event; without what belongs in no log, unless it is to be revealed.
pub(super) fn add_content(item: &mut Item, selected: &Selected, reveal: bool) {
    let Some(Record { entry, .. }) = &selected.record else { return };
    let event = &entry.event;
    let is_shown = |name: &str| reveal || name != metadata::REPLY_KEY.as_str();
    let shown = event.metadata.pairs().filter(|(name, _)| is_shown(name));
    item.metadata = Some(Value::Object(shown.map(|(name, value)| (name.to_owned(), value.into())).collect()));
    item.message = content(event.callback, &event.message, reveal);
}
