//! The webhooks that a policy is tried with: made from a callback's rows and its example, and put through hookgate's
//! own front, so that the policy sees what hookgate would send.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Check;
use crate::contract::Callback;
use crate::contract::Metadata;
use crate::contract::{Field, Kind, Label, Message};
use crate::policy::Question;
use crate::server::Refusal;
use crate::server::webhook::Webhook;

/// A large webhook, in bytes: OpenIM's list of some 40,000 user IDs. A policy service that is to take all of `limits.body`
/// needs more than the 4 MiB that most gRPC servers receive by default.
const LARGE: usize = 1 << 20;

/// What is left of the largest body, for what hookgate's own limit counts and the policy does not.
const ROOM: usize = 32 << 10;

/// How many entries a list of a huge request has.
const MANY: usize = 500;

/// Four-byte letters and joined emoji, right-to-left with an override, combining marks, NUL, what OpenIM makes of a
/// lone surrogate, and line ends that are none in ASCII.
pub const ODD_TEXT: &str =
    "\u{1f9d1}\u{200d}\u{1f680} \u{202e}\u{5e9}\u{5dc}\u{5d5}\u{5dd} e\u{301}\u{327} \u{0} \u{fffd} \u{2028} \u{1d4b3}";

/// A webhook that has gone through the front.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Whom it is for.
    pub callback: &'static Callback,
    /// Its JSON.
    pub body: Bytes,
    /// The request message.
    pub message: Bytes,
    metadata: Metadata,
    attempt: u32,
}

impl Posted {
    /// The webhook that a check sends, with an event ID of its own. The policy finds the check's name in the operation
    /// ID.
    pub fn new(callback: &'static Callback, check: Check) -> Result<Self, Refusal> {
        let fallback = std::ptr::eq(callback, Callback::fallback());
        // The fallback's own name makes a command that the table does not have.
        let command = if fallback { format!("callback{}", callback.method()) } else { callback.command.to_owned() };
        let operation_id = format!("verify-{}-{}", callback.method(), check.name());
        let request = http::Request::post(format!("/{command}")).header("operationid", operation_id).body(());
        let head = request.map_err(|_| Refusal::NotFound)?.into_parts().0;
        let webhook = Webhook::route(&head, false)?;
        let body = if fallback { json!({"callbackCommand": command}).to_string() } else { body(callback, check) };
        let (message, oddities) = webhook.transcode(body.as_bytes())?;
        Ok(Self { callback, body: body.into(), message, metadata: webhook.metadata(&oddities), attempt: 1 })
    }

    /// The same event, delivered once more.
    pub fn again(&self) -> Self {
        Self { attempt: self.attempt + 1, ..self.clone() }
    }

    /// As it is put to the policy.
    pub fn question(&self, deadline: Instant) -> Question {
        let Self { callback, message, metadata, attempt, .. } = self.clone();
        Question { callback, message, metadata, attempt, deadline }
    }
}

/// The JSON that a check sends.
pub fn body(callback: &Callback, check: Check) -> String {
    let like = serde_json::from_str(callback.example).unwrap_or_default();
    let filled = |fill: Fill| {
        let mut body = fill.object(callback.request, Some(&like));
        // A body that names another command than its path is odd in another way.
        if let Some(command) = body.get_mut("callbackCommand") {
            *command = callback.command.into();
        }
        Value::Object(body).to_string()
    };
    match check {
        Check::Empty => "{}".to_owned(),
        Check::Huge => {
            let of = |length: usize| filled(Fill { text: Some("x".repeat(length)), entries: MANY, ..Fill::default() });
            let bare = of(0).len();
            let texts = (of(1).len() - bare).max(1);
            of((LARGE - ROOM).saturating_sub(bare) / texts)
        }
        Check::Unicode => filled(Fill { text: Some(ODD_TEXT.to_owned()), entries: 2, ..Fill::default() }),
        Check::NullLaden => filled(Fill { nulls: true, ..Fill::default() }),
        Check::UnknownFields => filled(Fill { unknown: true, entries: 1, ..Fill::default() }),
        _ => callback.example.to_owned(),
    }
}

/// How a body differs from the example.
#[derive(Default)]
struct Fill {
    /// Every text is this.
    text: Option<String>,
    /// Every list has at least so many entries.
    entries: usize,
    /// What can be absent is null.
    nulls: bool,
    /// Every object has fields that the contract does not know.
    unknown: bool,
}

impl Fill {
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
            // No request has one.
            (Label::Map, _) | (_, Kind::Bare(_)) => Value::Null,
            // What the example leaves out stays so, unless everything is to be there.
            (Label::Optional, _) if self.text.is_none() && like.is_none_or(Value::is_null) => Value::Null,
            (_, kind) => self.single(kind, like),
        }
    }

    fn single(&self, kind: Kind, like: Option<&Value>) -> Value {
        let like = like.filter(|value| !value.is_null());
        match (kind, like, &self.text) {
            (Kind::Message(message), like, _) => Value::Object(self.object(message, like)),
            (Kind::String, _, Some(text)) => text.as_str().into(),
            (_, Some(like), _) => like.clone(),
            (Kind::Bool, ..) => false.into(),
            (Kind::Int32 | Kind::Int64 | Kind::Uint32, ..) => 0.into(),
            (Kind::CodePoint, ..) => "\u{2}".into(),
            (Kind::String, ..) => "".into(),
            (Kind::Bare(_), ..) => Value::Null,
        }
    }
}

/// Whether OpenIM may send null, or nothing, and the contract tells it from zero.
fn may_be_absent(message: &Message, field: &Field) -> bool {
    let of_optional_group = field.group.is_some_and(|group| message.groups[group].optional);
    field.label != Label::Plain || of_optional_group || matches!(field.kind, Kind::Message(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::metadata;

    #[test]
    fn every_body_goes_through_the_front_of_every_callback() {
        let limit = LARGE;
        for callback in Callback::all().iter().chain([Callback::fallback()]) {
            for check in Check::OF_CALLBACK {
                let posted = Posted::new(callback, check).expect(callback.rpc);
                assert!(posted.body.len() <= limit, "{} {}", callback.rpc, check.name());
                if check == Check::Huge && !callback.command.is_empty() {
                    assert!(posted.message.len() > 800 << 10, "{}: {}", callback.rpc, posted.message.len());
                }
            }
        }
    }

    #[test]
    fn odd_bodies_are_odd() {
        for callback in Callback::all() {
            let unknown = Posted::new(callback, Check::UnknownFields).expect(callback.rpc);
            let text = String::from_utf8_lossy(&unknown.message);
            let nested = callback.request.fields.iter().find(|field| matches!(field.kind, Kind::Message(_)));
            assert!(text.contains("hookgateVerifyNumber"), "{}", callback.rpc);
            if let Some(nested) = nested {
                assert!(text.contains(&format!("{}[0].hookgateVerify", nested.json)), "{}", callback.rpc);
            }
            let unicode = Posted::new(callback, Check::Unicode).expect(callback.rpc);
            assert!(String::from_utf8_lossy(&unicode.message).contains(ODD_TEXT), "{}", callback.rpc);
            let lifelike = body(callback, Check::Lifelike);
            assert!(lifelike.len() > 2, "{} has an example", callback.rpc);
        }
    }

    #[test]
    fn an_event_that_comes_again_has_the_same_id() {
        let first = Posted::new(&Callback::all()[0], Check::Duplicate).expect("a webhook");
        let (again, other) = (first.again(), Posted::new(first.callback, Check::Duplicate).expect("a webhook"));
        let id = |posted: &Posted| posted.metadata.get(&metadata::EVENT_ID).to_owned();
        assert_eq!(id(&first), id(&again));
        assert_ne!(id(&first), id(&other));
        assert_eq!((first.attempt, again.attempt), (1, 2));
    }
}
