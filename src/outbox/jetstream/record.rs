//! An event as a message: the request message is the payload, all else stands in one header as JSON.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::contract::{Callback, Metadata, metadata};
use crate::outbox::TARGET;
use crate::outbox::entry::{Entry, Kept, Key, Progress};
use crate::outbox::sqlite::Clock;

/// The header with everything but the request message.
pub(super) const HEADER: &str = "Hookgate-Event";

/// The header by which the servers recognize a message that was published before.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// Numbers of events without an order, which no stream gives.
const UNORDERED: u64 = 1 << 63;

/// Version of the header.
const VERSION: u8 = 1;

/// An event in a stream.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// The receiver.
    pub(super) target: String,
    pub(super) entry: Entry,
    /// The time of the next attempt; none if it is made at once.
    pub(super) due: Option<Instant>,
    /// The replay that it is from.
    pub(super) run: Option<i64>,
    /// The end, if it has ended.
    pub(super) end: Option<End>,
}

/// The end of an event that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<String>,
    /// The time of the end, in milliseconds since 1970.
    pub(super) died: i64,
}

/// The header's value. Times are milliseconds since 1970, by the clock of the copy that wrote them.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u8,
    #[serde(default = "policy")]
    target: String,
    rpc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The sequence of the first publish, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    arrived: i64,
    since: i64,
    budget_ms: u64,
    #[serde(default)]
    attempts: u32,
    #[serde(default)]
    spared: u32,
    #[serde(default)]
    parked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
    metadata: Map<String, Value>,
}

fn policy() -> String {
    TARGET.to_owned()
}

impl Record {
    /// A record of an event that arrives.
    pub(super) fn new(entry: Entry) -> Self {
        Self { target: TARGET.to_owned(), entry, due: None, run: None, end: None }
    }

    /// Returns the header's value.
    pub(super) fn header(&self, clock: &Clock) -> String {
        let Kept { callback, metadata, budget, key, number, arrived, .. } = &*self.entry.event;
        let Progress { attempts, spared, since, parked } = self.entry.progress;
        let header = Header {
            version: VERSION,
            target: self.target.clone(),
            rpc: callback.rpc.to_owned(),
            key: key.as_ref().map(|key| key.value.to_string()),
            // One without a key has no place in an order.
            sequence: (*number > 0 && key.is_some()).then_some(*number),
            arrived: clock.of(*arrived),
            since: clock.of(since),
            budget_ms: u64::try_from(budget.as_millis()).unwrap_or(u64::MAX),
            attempts,
            spared,
            parked,
            due: self.due.map(|due| clock.of(due)),
            run: self.run,
            end: self.end.clone(),
            metadata: metadata.pairs().map(|(name, value)| (name.to_owned(), value.into())).collect(),
        };
        ascii(serde_json::to_string(&header).unwrap_or_default())
    }

    /// Reads a message. `sequence` is that of the message; the event keeps an earlier one that the header has.
    pub(super) fn read(header: &str, payload: Bytes, sequence: u64, clock: &Clock) -> Option<Self> {
        let header: Header = serde_json::from_str(header).ok().filter(|header: &Header| header.version == VERSION)?;
        let callback = Callback::by_rpc(&header.rpc)?;
        let pairs = header.metadata.iter().filter_map(|(name, value)| Some((&**name, value.as_str()?)));
        let metadata = Metadata::from_pairs(pairs)?;
        // The same each time that it is published: one without an order is told from others by it.
        let number = match &header.key {
            Some(_) => header.sequence.unwrap_or(sequence),
            None => unordered(metadata.get(&metadata::EVENT_ID)),
        };
        let kept = Kept {
            callback,
            message: payload,
            metadata,
            budget: Duration::from_millis(header.budget_ms),
            key: header.key.map(|value| Key { domain: callback.order_domain, value: value.into() }),
            number,
            arrived: clock.instant(header.arrived),
        };
        let progress = Progress {
            attempts: header.attempts,
            spared: header.spared,
            since: clock.instant(header.since),
            parked: header.parked,
        };
        let due = header.due.map(|due| clock.instant(due));
        let entry = Entry { event: Arc::new(kept), progress };
        Some(Self { target: header.target, entry, due, run: header.run, end: header.end })
    }

    /// Returns the ID of the message. One that is published twice is kept once, so each step of an event has its own.
    pub(super) fn message_id(&self) -> String {
        let id = self.entry.event_id();
        let Progress { attempts, .. } = self.entry.progress;
        let run = self.run.map(|run| format!("/r{run}")).unwrap_or_default();
        match &self.end {
            Some(_) => format!("{id}{run}/dead{attempts}"),
            None if self.entry.progress.parked || self.due.is_some() || self.run.is_some() => {
                format!("{id}{run}/later{attempts}")
            }
            None => id.to_owned(),
        }
    }
}

/// Returns the number of an event without an order.
pub(super) fn unordered(event_id: &str) -> u64 {
    UNORDERED | u64::from(crc32fast::hash(event_id.as_bytes()))
}

/// Returns the headers of a message.
pub(super) fn headers(message_id: &str, header: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MESSAGE_ID, message_id);
    headers.insert(HEADER, header);
    headers
}

/// Escapes what a header cannot carry, so that JSON reads it back.
fn ascii(json: String) -> String {
    if json.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && !c.is_ascii_control() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

/// Returns a token of a subject: an ID without what has a meaning there.
pub(super) fn token(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '.' | '*' | '>' | '%');
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut out = String::from("%");
    for byte in text.bytes() {
        match char::from(byte) {
            c if is_plain(c) => out.push(c),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

/// Returns the method of an rpc's path, as a token of a subject; a wildcard as it is.
pub(super) fn method(rpc: &str) -> &str {
    rpc.rsplit('/').next().unwrap_or(rpc)
}

/// Finds the callback whose rpc has this method.
pub(super) fn by_method(method: &str) -> Option<&'static Callback> {
    Callback::all().iter().chain([Callback::fallback()]).find(|callback| callback.method() == method)
}

/// Returns the path of the rpc with this method; the method itself if there is none.
pub(super) fn path(method: &str) -> &str {
    by_method(method).map_or(method, |callback| callback.rpc)
}
