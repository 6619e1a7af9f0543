//! Counts of the events in the streams.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::JetStream;
use super::api::ApiError;
use super::publish::Publisher;
use super::record::path;
use crate::outbox::TARGET;
use crate::outbox::admin::count_one;
use crate::outbox::sqlite::{Count, Filter, Item, State};

impl JetStream {
    /// Counts the messages of a stream of limits since a time, and returns the sequence of the first.
    pub(super) async fn counted_since(
        &self,
        stream: &str,
        subject: &str,
        since: Option<i64>,
    ) -> Result<(i64, u64), ApiError> {
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
                    _ => names.event("*", &rpc, "*"),
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
}
