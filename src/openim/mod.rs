//! A model of OpenIM: how each release reads the reply to a webhook.
//!
//! Tests and commands use it to check what hookgate writes. To be independent of that, it shares the contract's table of
//! callbacks and fields, and no code that encodes replies. It knows the five verdict fields and the fields that the contract
//! can change; other fields that OpenIM reads are ignored as unknown.
//!
//! Sources in OpenIM: pkg/common/webhook/http_client.go (the HTTP status is ignored, the body is decoded by Go's
//! encoding/json), pkg/callbackstruct/common.go (which replies deny), internal/rpc/*/callback.go and
//! internal/push/callback.go (the use of each field); in openimsdk/tools the interceptors under mw/, which carry a denial to
//! the API client.
//!
//! - `decode`: JSON as Go decodes it.
//! - `changes`: the effect of changed fields on the operation.
//! - `caution`: changes that are hardly meant; `content`: the names in a message's content by its type.
//! - `release`: the differences between releases.
//! - `explain`: how each release reads a reply, in words.

mod caution;
mod changes;
mod content;
mod decode;
mod explain;
mod release;

use serde_json::Value;

use crate::contract::{Callback, Kind, Label};
use changes::Operation;
use decode::{Row, is_zero};

pub(crate) use caution::{Caution, CautionKind, cautions};
pub(crate) use content::{CONTENT_TYPES, ContentType};
pub(crate) use decode::zero;
pub(crate) use explain::{Explanation, Interpretation, explain};
pub use release::Release;

/// The error that OpenIM's API returns: HTTP 200 and `{"errCode","errMsg","errDlt"}`. Clients take code 0 for a success,
/// although the operation was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError {
    /// `errCode`.
    pub code: i32,
    /// `errMsg`.
    pub message: String,
    /// `errDlt`. Empty also if only the code and the message are known.
    pub detail: String,
}

/// A field of the operation that the reply has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The contract's JSON name of the field.
    pub field: &'static str,
    /// The value that OpenIM uses from here on, as it decodes it; `None` if it takes the field's absence for a value.
    pub value: Option<Value>,
    /// The request's value. `None` if that is empty or 0, or the request has none.
    pub instead_of: Option<Value>,
}

impl Effect {
    /// Returns true if nothing replaces something: an empty text, list or object, or the field's absence; or a 0 or false
    /// where the request has no other value.
    pub(crate) fn empties(&self) -> bool {
        match &self.value {
            Some(Value::Bool(_) | Value::Number(_)) if self.instead_of.is_some() => false,
            Some(value) => is_zero(value),
            None => true,
        }
    }
}

/// The effect of a reply on the operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// The operation continues, with these fields changed.
    Allowed(Vec<Effect>),
    /// The operation is stopped with this error.
    Denied(ClientError),
    /// The operation is stopped, because the reply could not be decoded.
    Unreadable {
        /// The error; instead of `why`, OpenIM's has the message of Go's decoder.
        told: ClientError,
        /// The reason.
        why: String,
    },
    /// The reply allows, but OpenIM would crash, fail, or not complete the operation: this release, or another one that takes
    /// the same change, if the contract does not tell them apart.
    Harmful {
        /// The JSON name of the field at fault.
        field: &'static str,
        /// The damage.
        why: String,
    },
}

/// The fields of every reply. `read` takes their values by index.
const VERDICT: [Row<'_>; 5] = [
    ("actionCode", Label::Plain, Kind::Int32),
    ("nextCode", Label::Plain, Kind::Int32),
    ("errCode", Label::Plain, Kind::Int32),
    ("errMsg", Label::Plain, Kind::String),
    ("errDlt", Label::Plain, Kind::String),
];

/// Reads `reply` as a release of OpenIM that has sent `request`. For replies to After callbacks see [`Release::heeds`].
pub fn read(callback: &Callback, request: &[u8], reply: &[u8], release: Release) -> Reading {
    let changes = changes::of(callback);
    let request = decode::text(request);
    let operation = Operation::read(callback, &request);
    let changeable = changes.iter().map(|field| (operation.name(field.json), field.label, field.kind));
    let rows: Vec<Row<'_>> = VERDICT.into_iter().chain(changeable).collect();
    let mut values = match decode::reply(&rows, reply) {
        Ok(values) => values,
        Err(error) => {
            let why = error.to_string();
            let told = release.client_error(90007, "DataError", &format!("{why} response format error"));
            return Reading::Unreadable { told, why };
        }
    };
    let changed = values.split_off(VERDICT.len());
    let number = |index: usize| values[index].as_ref().and_then(Value::as_i64).unwrap_or_default() as i32;
    let text = |index: usize| values[index].as_ref().and_then(Value::as_str).unwrap_or_default();
    if release.denies(number(0), number(1)) {
        return Reading::Denied(release.client_error(number(2), text(3), text(4)));
    }

    let mut effects = Vec::new();
    for (field, value) in changes.into_iter().zip(changed) {
        match operation.take(field, value, release) {
            Ok(effect) => effects.extend(effect),
            Err(why) => return Reading::Harmful { field: field.json, why },
        }
    }
    Reading::Allowed(effects)
}
