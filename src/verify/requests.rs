//! The webhooks that the checks send: made from a callback's schema and its example, and passed through hookgate's own
//! front, so that the policy receives what hookgate would send.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Check;
use super::checks::How;
use super::finding::{Fault, Finding};
use crate::contract::{Callback, Field, Kind, Label, Message, Metadata};
use crate::openim::{CONTENT_TYPES, ContentType, zero};
use crate::policy::PolicyCall;
use crate::server::Refusal;
use crate::server::webhook::Webhook;

/// Size of a huge webhook, in bytes: OpenIM's list of some 40,000 user IDs. Most gRPC servers receive at most 4 MiB by
/// default, less than `limits.body` admits.
const HUGE: usize = 1 << 20;

/// Bytes that a huge body stays below [`HUGE`], for what hookgate's own limit counts and the policy's does not.
const MARGIN: usize = 32 << 10;

/// Entries in every list of a huge request.
const HUGE_ENTRIES: usize = 500;

/// Four-byte letters and joined emoji, right-to-left with an override, combining marks, NUL, the replacement that OpenIM
/// makes of a lone surrogate, and a line separator outside ASCII.
pub(super) const ODD_TEXT: &str =
    "\u{1f9d1}\u{200d}\u{1f680} \u{202e}\u{5e9}\u{5dc}\u{5d5}\u{5dd} e\u{301}\u{327} \u{0} \u{fffd} \u{2028} \u{1d4b3}";

/// A webhook that has passed through the front.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// The callback.
    pub callback: &'static Callback,
    /// The JSON body.
    pub body: Bytes,
    message: Bytes,
    metadata: Metadata,
    attempt: u32,
}

impl Request {
    /// Makes the webhook of a check that sends one, with an event ID of its own.
    ///
    /// # Errors
    ///
    /// If the front refuses it, which the tests rule out for every check and callback.
    pub(super) fn new(callback: &'static Callback, check: &Check) -> Result<Self, Finding> {
        let is_fallback = std::ptr::eq(callback, Callback::fallback());
        // The fallback's own name makes a command that the table does not have.
        let command = if is_fallback { format!("callback{}", callback.method()) } else { callback.command.to_owned() };
        let body = match check.how {
            _ if is_fallback => json!({"callbackCommand": command}).to_string(),
            How::Once(body) => body(callback),
            _ => callback.example.to_owned(),
        };
        Self::posted(callback, &format!("/{command}"), check, body.into())
    }

    /// Makes a webhook that is posted to this path and query. The check's name stands in the operation ID.
    pub(super) fn posted(callback: &'static Callback, path: &str, check: &Check, body: Bytes) -> Result<Self, Finding> {
        let refused = |refusal| {
            let message = format!("hookgate refuses the request: {refusal}");
            Fault::new("a request that hookgate refuses", message, "tell us").failed()
        };
        let operation_id = format!("verify-{}-{}", callback.method(), check.name);
        let request = http::Request::post(path).header("operationid", operation_id).body(());
        let head = request.map_err(|_| refused(Refusal::NotFound))?.into_parts().0;
        let webhook = Webhook::route(&head, false).map_err(refused)?;
        let (message, drift) = webhook.transcode(&body).map_err(refused)?;
        Ok(Self { callback, body, message, metadata: webhook.metadata(&drift), attempt: 1 })
    }

    /// Returns true if servers may find it too long.
    pub(super) fn is_huge(&self) -> bool {
        self.message.len() > HUGE / 2
    }

    /// Returns the next delivery of the same event.
    pub(super) fn again(&self) -> Self {
        Self { attempt: self.attempt + 1, ..self.clone() }
    }

    /// Returns the call to the policy.
    pub(super) fn call(&self, deadline: Instant) -> PolicyCall {
        let Self { callback, message, metadata, attempt, .. } = self.clone();
        PolicyCall { callback, message, metadata, attempt, sequence: None, late: false, deadline }
    }
}

/// Makes a body just below [`HUGE`]: every list has [`HUGE_ENTRIES`], and the texts share the remaining bytes.
pub(super) fn huge(callback: &Callback) -> String {
    let with_texts_of = |length: usize| {
        let text = "x".repeat(length);
        Fill { text: Some(&text), entries: HUGE_ENTRIES, ..Fill::default() }.body(callback)
    };
    let empty = with_texts_of(0).len();
    let texts = (with_texts_of(1).len() - empty).max(1);
    with_texts_of((HUGE - MARGIN).saturating_sub(empty) / texts)
}

/// Returns a label and a body for each common type of content; none if the callback is not about messages.
pub(super) fn content_types(callback: &Callback) -> Vec<(String, String)> {
    let kinds = callback.request.fields.iter().filter_map(|field| field.content_of);
    kinds.flat_map(|json| CONTENT_TYPES.iter().map(move |kind| of_kind(callback, json, kind.number))).collect()
}

/// Returns a label and a body for each value of a field whose requests are not to be denied.
pub(super) fn undeniable(callback: &Callback) -> Vec<(String, String)> {
    let when = callback.denial_breaks.as_ref().and_then(|breaks| breaks.when.as_ref());
    let values = when.into_iter().flat_map(|when| when.values.iter().map(|value| (when.field, *value)));
    values.map(|(json, value)| of_kind(callback, json, value.into())).collect()
}

/// Makes a lifelike body with another number in a field, and with the content that belongs to it if the field says its kind:
/// that of notifications is normally empty.
fn of_kind(callback: &Callback, json: &str, number: i64) -> (String, String) {
    let mut body = example(callback);
    body[json] = number.into();
    for content in callback.request.fields.iter().filter(|field| field.content_of == Some(json)) {
        body[content.json] = ContentType::by_number(number).map_or("", |kind| kind.example).into();
    }
    (format!("{json} {number}"), body.to_string())
}

/// Returns the body of the callback's example.
fn example(callback: &Callback) -> Value {
    serde_json::from_str(callback.example).unwrap_or_default()
}

/// Differences of a body from the callback's example.
#[derive(Default)]
pub(super) struct Fill<'a> {
    /// Replaces every text.
    pub text: Option<&'a str>,
    /// Minimum entries of every list.
    pub entries: usize,
    /// Makes null of everything that may be absent.
    pub nulls: bool,
    /// Adds fields to every object that the contract does not know.
    pub unknown: bool,
}

impl Fill<'_> {
    /// Makes the JSON body.
    pub(super) fn body(&self, callback: &Callback) -> String {
        let like = example(callback);
        let mut body = self.object(callback.request, Some(&like));
        // Neither request nor reply has a list empty that the contract wants filled.
        let filled = |change: &&Field| change.rules.non_empty && matches!(change.kind, Kind::Bare(_));
        for change in callback.response.fields.iter().filter(filled) {
            if let (Some(null @ Value::Null), Some(list)) = (body.get_mut(change.json), like.get(change.json)) {
                *null = list.clone();
            }
        }
        // A body that names another command than its path is odd in another way.
        if let Some(command) = body.get_mut("callbackCommand") {
            *command = callback.command.into();
        }
        Value::Object(body).to_string()
    }

    fn object(&self, message: &Message, like: Option<&Value>) -> Map<String, Value> {
        let mut object = Map::new();
        for field in message.fields {
            let like = field.aliases.iter().chain([&field.json]).find_map(|name| like?.get(name));
            let value = if self.nulls && may_be_absent(message, field) { Value::Null } else { self.field(field, like) };
            object.insert(field.json.to_owned(), value);
        }
        if self.unknown {
            object.insert("hookgateVerify".to_owned(), json!({"of": ["tomorrow", null, {"deep": true}]}));
            object.insert("hookgateVerifyNumber".to_owned(), json!(u64::MAX));
        }
        object
    }

    fn field(&self, field: &Field, like: Option<&Value>) -> Value {
        match (field.label, field.kind) {
            (Label::Repeated, kind) => {
                let like = like.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let entry = |at: usize| self.single(kind, like.get(at % like.len().max(1)));
                (0..self.entries.max(like.len())).map(entry).collect()
            }
            // No request has a map.
            (Label::Map, _) | (_, Kind::Bare(_)) => Value::Null,
            // A field that the example leaves out stays absent, unless every text is replaced.
            (Label::Optional, _) if self.text.is_none() && like.is_none_or(Value::is_null) => Value::Null,
            (_, kind) => self.single(kind, like),
        }
    }

    fn single(&self, kind: Kind, like: Option<&Value>) -> Value {
        let like = like.filter(|value| !value.is_null());
        match (kind, self.text) {
            (Kind::Message(message), _) => Value::Object(self.object(message, like)),
            (Kind::String, Some(text)) => text.into(),
            _ => like.cloned().unwrap_or_else(|| zero(kind)),
        }
    }
}

/// Returns true if OpenIM may send null, or nothing, and the contract tells it from zero.
fn may_be_absent(message: &Message, field: &Field) -> bool {
    let of_optional_group = field.group.is_some_and(|group| message.groups[group].optional);
    field.label != Label::Plain || of_optional_group || matches!(field.kind, Kind::Message(_))
}
