//! The gRPC metadata that travels beside a message.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use smallvec::SmallVec;

use crate::contract::Callback;

/// The webhook's `operationID`.
pub const OPERATION_ID: HeaderName = HeaderName::from_static("openim-operation-id");
/// The webhook's command, as posted.
pub const COMMAND: HeaderName = HeaderName::from_static("openim-command");
/// The `key` of a message event, which OpenIM's POST /msg/send_simple_msg takes.
pub const REPLY_KEY: HeaderName = HeaderName::from_static("openim-reply-key");
/// The ID of an event, equal for all attempts.
pub const EVENT_ID: HeaderName = HeaderName::from_static("hookgate-event-id");
/// The number of the attempt, from 1.
pub const ATTEMPT: HeaderName = HeaderName::from_static("hookgate-attempt");
/// The number of an After event in the order of its key, equal for all attempts. It rises for each key.
pub const SEQUENCE: HeaderName = HeaderName::from_static("hookgate-sequence");
/// `1` on an attempt outside the order of its event's key: the event was parked, or replayed.
pub const LATE: HeaderName = HeaderName::from_static("hookgate-late");

/// `1` on a call to a shadow, whose verdict is compared with the reply and decides nothing.
pub const SHADOW: HeaderName = HeaderName::from_static("hookgate-shadow");

/// The text that logs and spans show instead of a command that may be part of a secret path.
pub(crate) const NOT_SHOWN: &str = "(not shown)";

/// The bytes that are percent-encoded: all but printable ASCII, and the percent sign.
const NOT_METADATA: &AsciiSet = &CONTROLS.add(b'%');

/// Capacity for all headers of a call but [`LATE`], the channel's too. One more would double the map.
const HEADERS: usize = 12;

/// Number of entries of most webhooks, which have no trace.
const USUAL: usize = 4;

/// The metadata of a call. A list, since After events keep it and a map takes a kilobyte. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Metadata(Arc<SmallVec<[(HeaderName, HeaderValue); USUAL]>>);

impl Metadata {
    /// Adds an entry; percent-encodes the bytes of `text` that metadata cannot carry.
    pub fn insert(&mut self, name: HeaderName, text: &str) {
        let text: Cow<'_, str> = percent_encode(text.as_bytes(), NOT_METADATA).into();
        if let Ok(value) = HeaderValue::from_str(&text) {
            self.insert_value(name, value);
        }
    }

    /// Adds an entry whose value needs no encoding.
    pub(crate) fn insert_value(&mut self, name: HeaderName, mut value: HeaderValue) {
        // All but the command differ from call to call. HPACK would index them, and evict what all calls have in common.
        value.set_sensitive(name != COMMAND);
        Arc::make_mut(&mut self.0).push((name, value));
    }

    /// Adds the webhook's operation ID, and an event ID, which needs no encoding.
    pub(crate) fn insert_ids(&mut self, operation_id: &str, event_id: &str) {
        // One shared buffer for both, as each attempt copies the values into its own map.
        let mut texts = BytesMut::with_capacity(operation_id.len() + event_id.len());
        for text in percent_encode(operation_id.as_bytes(), NOT_METADATA) {
            texts.extend_from_slice(text.as_bytes());
        }
        let operation_id = texts.split();
        texts.extend_from_slice(event_id.as_bytes());
        for (name, text) in [(OPERATION_ID, operation_id), (EVENT_ID, texts)] {
            if let Ok(value) = HeaderValue::from_maybe_shared(text.freeze()) {
                self.insert_value(name, value);
            }
        }
    }

    /// The value of an entry, as it is on the wire.
    pub(crate) fn value(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.0.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value)
    }

    /// The value of an entry; empty if there is none.
    pub fn get(&self, name: &HeaderName) -> &str {
        self.value(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Adds a command that may be part of a secret path: the policy gets it, logs and spans do not.
    pub(crate) fn insert_hidden_command(&mut self, command: &str) {
        self.insert(COMMAND, command);
        self.hide_last();
    }

    fn hide_last(&mut self) {
        if let Some((_, value)) = Arc::make_mut(&mut self.0).last_mut() {
            value.set_sensitive(true);
        }
    }

    /// The command for logs and spans.
    pub(crate) fn shown_command(&self) -> &str {
        match self.value(&COMMAND) {
            Some(hidden) if hidden.is_sensitive() => NOT_SHOWN,
            _ => self.get(&COMMAND),
        }
    }

    /// All entries, as they are on the wire.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// Metadata of entries as they are on the wire; `None` if one of them cannot be metadata.
    pub(crate) fn from_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let known = [OPERATION_ID, COMMAND, REPLY_KEY, EVENT_ID, SHADOW];
        let mut metadata = Self::default();
        for (name, value) in pairs {
            let constant = known.iter().find(|known| known.as_str() == name).cloned();
            let name = constant.or_else(|| HeaderName::from_bytes(name.as_bytes()).ok())?;
            // The outbox does not store whether a command was hidden.
            let hidden = name == COMMAND && Callback::lookup_command(value).is_none();
            metadata.insert_value(name, HeaderValue::from_str(value).ok()?);
            if hidden {
                metadata.hide_last();
            }
        }
        Some(metadata)
    }

    /// Approximate size in bytes of memory.
    pub(crate) fn size(&self) -> usize {
        let spilled = if self.0.spilled() { size_of_val(self.0.as_slice()) } else { 0 };
        let texts: usize = self.0.iter().map(|(_, value)| value.len()).sum();
        size_of_val(&*self.0) + spilled + texts
    }

    /// The headers of an attempt, counted from 1; `late` if it is outside the order of its event's key, in which `sequence` is
    /// the event's number.
    pub(crate) fn for_attempt(&self, attempt: u32, sequence: Option<u64>, late: bool) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(HEADERS + usize::from(late));
        for (name, value) in &*self.0 {
            headers.insert(name, value.clone());
        }
        headers.insert(ATTEMPT, if attempt == 1 { HeaderValue::from_static("1") } else { attempt.into() });
        if let Some(sequence) = sequence {
            let mut value = HeaderValue::from(sequence);
            // It differs from call to call, as an ID does: not for HPACK's table.
            value.set_sensitive(true);
            headers.insert(SEQUENCE, value);
        }
        if late {
            headers.insert(LATE, HeaderValue::from_static("1"));
        }
        headers
    }
}
