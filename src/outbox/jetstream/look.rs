//! Questions of people about the events in the streams. Any copy answers, from the streams' leaders; each question ends in
//! time, and none has more than a page of a stream in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::JetStream;
use super::api::{ApiError, Found};
use super::publish::Publisher;
use super::record::{Record, method, token};
use crate::contract::{Callback, metadata};
use crate::outbox::TARGET;
use crate::outbox::admin::count_one;
use crate::outbox::sqlite::{Clock, Count, Filter, Item, State, content};

/// Places of later events begin here, behind those of the partitions.
const LATER: i64 = 1 << 52;

/// Places of dead letters begin here.
pub(super) const DEAD: i64 = 1 << 54;

/// Places of events in the spill of this copy begin here.
pub(in crate::outbox) const SPILL: i64 = 1 << 56;

/// Maximum number of events of one answer.
pub(super) const AT_A_TIME: usize = 1_000;

/// Maximum time of a walk along a stream.
const WALK: Duration = Duration::from_secs(20);

/// The events of a stream that are selected.
#[derive(Debug, Clone)]
pub(super) struct Selected {
    pub(super) sequence: u64,
    pub(super) subject: String,
    pub(super) record: Option<Record>,
    pub(super) bytes: usize,
}

/// The path of the rpc with this method.
pub(super) fn path(method_name: &str) -> &str {
    let all = Callback::all().iter().chain([Callback::fallback()]);
    all.map(|callback| callback.rpc).find(|rpc| method(rpc) == method_name).unwrap_or(method_name)
}

impl JetStream {
    fn read(&self, found: Found) -> Selected {
        let Found { sequence, subject, header, payload } = found;
        let bytes = payload.len() + header.len();
        Selected { sequence, subject, record: Record::read(&header, payload, sequence, &self.publisher.clock), bytes }
    }

    /// Returns the subject of the dead letters that a filter selects.
    fn dead_subject(&self, filter: &Filter) -> String {
        let Filter { id, rpc, reason, .. } = filter;
        let id = id.as_ref().map_or_else(|| "*".to_owned(), |id| token(id));
        self.publisher.names.dead(reason.as_deref().unwrap_or("*"), rpc.as_deref().unwrap_or("*"), "*", &id)
    }

    /// Finds dead letters, some at a time.
    pub(super) async fn dead(&self, filter: &Filter, most: usize) -> Result<Vec<Selected>, ApiError> {
        let Publisher { api, names, .. } = &self.publisher;
        let subject = self.dead_subject(filter);
        if filter.after.is_some_and(|after| after >= SPILL) {
            return Ok(Vec::new());
        }
        let mut from = filter.after.map_or(1, |after| u64::try_from(after.saturating_sub(DEAD)).unwrap_or(0) + 1);
        if let Some(since) = filter.since {
            from = from.max(self.counted_since(&names.dead, &subject, Some(since)).await?.1);
        }
        let (until, mut found) = (Instant::now() + WALK, Vec::new());
        while found.len() < most && Instant::now() < until {
            let Some(next) = api.next(&names.dead, &subject, from).await? else { break };
            from = next.sequence + 1;
            found.push(self.read(next));
        }
        Ok(found)
    }

    /// Counts the messages of a stream of limits since a time, and returns the sequence of the first.
    async fn counted_since(&self, stream: &str, subject: &str, since: Option<i64>) -> Result<(i64, u64), ApiError> {
        #[derive(Deserialize)]
        struct Info {
            num_pending: i64,
            delivered: Delivered,
        }
        #[derive(Deserialize)]
        struct Delivered {
            stream_seq: u64,
        }
        let name = format!("count-{}", fastrand::u64(..));
        let mut config = json!({
            "name": name, "filter_subject": subject, "ack_policy": "none", "replay_policy": "instant",
            "deliver_policy": "all", "mem_storage": true, "num_replicas": 1, "inactive_threshold": 5_000_000_000_u64,
        });
        if let Some(since) = since {
            let time = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(since).unwrap_or(0));
            config["deliver_policy"] = "by_start_time".into();
            config["opt_start_time"] = humantime::format_rfc3339_millis(time).to_string().into();
        }
        let api = &self.publisher.api;
        let body = json!({ "stream_name": stream, "config": config });
        let info: Info = api.ask(&format!("CONSUMER.CREATE.{stream}.{name}.{subject}"), &body).await?;
        // It goes by itself too.
        let _ = api.ask::<Value>(&format!("CONSUMER.DELETE.{stream}.{name}"), &Value::Null).await;
        Ok((info.num_pending, info.delivered.stream_seq + 1))
    }

    /// Calls `each` with the subjects of a stream and their numbers of messages, a page at a time.
    pub(super) async fn subjects(
        &self,
        stream: &str,
        filter: &str,
        mut each: impl FnMut(&str, i64),
    ) -> Result<(), ApiError> {
        #[derive(Deserialize)]
        struct Page {
            state: PageState,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct PageState {
            #[serde(default)]
            subjects: Option<HashMap<String, i64>>,
        }
        let mut offset = 0;
        loop {
            let body = json!({ "subjects_filter": filter, "offset": offset });
            let page: Page = self.publisher.api.ask(&format!("STREAM.INFO.{stream}"), &body).await?;
            let subjects = page.state.subjects.unwrap_or_default();
            subjects.iter().for_each(|(subject, events)| each(subject, *events));
            offset += subjects.len();
            if subjects.is_empty() || offset >= page.total {
                return Ok(());
            }
        }
    }

    /// Counts the events by rpc, state and reason. Bytes are shares of a stream's.
    pub(in crate::outbox) async fn counted(&self) -> Result<Vec<Count>, ApiError> {
        let Publisher { api, names, clock, .. } = &self.publisher;
        self.look().await;
        let held = {
            let seen = self.seen();
            [seen.events, seen.later, seen.dead]
        };
        let mut counts: BTreeMap<(String, bool, String), Count> = BTreeMap::new();
        for (stream, held) in [&names.events, &names.later, &names.dead].into_iter().zip(held) {
            let is_dead = *stream == names.dead;
            let mut found: HashMap<(String, String), i64> = HashMap::new();
            self.subjects(stream, ">", |subject, events| {
                let tokens: Vec<&str> = subject.split('.').collect();
                // Behind the prefix and the stream: the partition or the reason, or nothing, and the rpc.
                let (extra, rpc) =
                    if *stream == names.later { ("", tokens.get(2)) } else { (tokens[2], tokens.get(3)) };
                let reason = if is_dead { extra } else { "" };
                *found.entry((reason.to_owned(), rpc.unwrap_or(&"").to_string())).or_default() += events;
            })
            .await?;
            for ((reason, rpc), events) in found {
                let subject = match stream {
                    _ if is_dead => names.dead(&reason, &rpc, "*", "*"),
                    stream if *stream == names.later => names.later(&rpc, "*", "*"),
                    _ => names.event(0, &rpc, "*").replacen(".0.", ".*.", 1),
                };
                let oldest = api.next(stream, &subject, 1).await?.and_then(|found| self.read(found).record);
                let oldest = oldest.map_or(clock.now(), |record| clock.of(record.entry.event.arrived));
                let bytes = i64::try_from(held.bytes / held.events.max(1)).unwrap_or(0) * events;
                let state = if is_dead { State::Dead } else { State::Waiting };
                let rpc = path(&rpc).to_owned();
                let count = counts.entry((rpc.clone(), is_dead, reason.clone())).or_insert_with(|| Count {
                    target: TARGET.to_owned(),
                    rpc,
                    state,
                    reason: is_dead.then_some(reason),
                    events: 0,
                    bytes: 0,
                    oldest,
                });
                (count.events, count.bytes) = (count.events + events, count.bytes + bytes);
                count.oldest = count.oldest.min(oldest);
            }
        }
        let mut counts: Vec<Count> = counts.into_values().collect();
        for Item { target, rpc, state, reason, bytes, arrived, .. } in
            self.list_spilled(&Filter::default(), usize::MAX).await?
        {
            count_one(&mut counts, Count { target, rpc, state, reason, events: 1, bytes, oldest: arrived });
        }
        Ok(counts)
    }

    /// Counts the events that a filter selects.
    pub(in crate::outbox) async fn count(&self, filter: &Filter) -> Result<i64, ApiError> {
        let mut total = 0;
        if filter.state != Some(State::Waiting) {
            total += self.counted_since(&self.publisher.names.dead, &self.dead_subject(filter), filter.since).await?.0;
        }
        if filter.state != Some(State::Dead) && filter.reason.is_none() {
            for (stream, subject, _) in self.waiting_subjects(filter) {
                let mut events = 0;
                self.subjects(&stream, &subject, |_, count| events += count).await?;
                total += events;
            }
        }
        let spilled = self.list_spilled(filter, usize::MAX).await?.len();
        Ok(total + i64::try_from(spilled).unwrap_or(i64::MAX))
    }

    /// The streams of waiting events, with the subjects that a filter selects and where their places begin.
    fn waiting_subjects(&self, filter: &Filter) -> [(String, String, i64); 2] {
        let names = &self.publisher.names;
        let rpc = filter.rpc.as_deref().unwrap_or("*");
        let id = filter.id.as_ref().map_or_else(|| "*".to_owned(), |id| token(id));
        let events = names.event(0, rpc, &id).replacen(".0.", ".*.", 1);
        [(names.events.clone(), events, 0), (names.later.clone(), names.later(rpc, "*", &id), LATER)]
    }

    /// Lists events without their content, some at a time.
    pub(in crate::outbox) async fn list(&self, filter: &Filter) -> Result<Vec<Item>, ApiError> {
        let most = filter.limit.unwrap_or(100).min(AT_A_TIME);
        let mut items = Vec::new();
        if filter.state != Some(State::Dead) && filter.reason.is_none() {
            let (after, until) = (filter.after.unwrap_or(0), Instant::now() + WALK);
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
            let dead = self.dead(filter, most.saturating_sub(items.len())).await?;
            items.extend(dead.iter().filter_map(|selected| item(&self.publisher.clock, selected, DEAD)));
        }
        items.extend(self.list_spilled(filter, most.saturating_sub(items.len())).await?);
        Ok(items)
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
    let entry = &selected.record.as_ref()?.entry;
    let record = selected.record.as_ref()?;
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
