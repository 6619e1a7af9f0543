//! The other end's rules: what OpenIM makes of a reply.
//!
//! It judges what hookgate writes, in tests and for people, so it shares the rows of the table as data and no code with
//! [`wire`](crate::contract) or [`verdict`](crate::contract). It knows the five verdict fields and the changes of the
//! contract; what OpenIM knows beyond them (fields that the contract does not offer) it takes for unknown.
//!
//! The rules are those of OpenIM's sources: pkg/common/webhook/http_client.go (the HTTP status is ignored, the body is
//! decoded by Go's encoding/json), pkg/callbackstruct/common.go (what denies), internal/rpc/*/callback.go and
//! internal/push/callback.go (what becomes of the fields), and of openimsdk/tools, whose interceptors under mw/ carry a
//! denial to the API client.

mod changes;
mod decode;
mod release;

use serde_json::Value;

use crate::contract::Callback;
use crate::contract::{Field, Kind, Label, Rules};
use changes::{Harm, Operation};

pub use release::Release;

/// What the API client reads: HTTP 200 and `{"errCode","errMsg","errDlt"}`. Code 0 is a success, even though the
/// operation was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError {
    /// `errCode`.
    pub code: i32,
    /// `errMsg`.
    pub message: String,
    /// `errDlt`. Empty too where no more is known of it than the code and the message.
    pub detail: String,
}

/// A field of the operation whose value is no longer the request's.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The contract's JSON name of the field.
    pub field: &'static str,
    /// What OpenIM goes on with, as it decoded it; `None` where the reply has nothing and OpenIM takes that.
    pub value: Option<Value>,
}

/// What becomes of an operation after a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// It goes on, with these fields changed.
    Allowed(Vec<Effect>),
    /// It is stopped, and the API client reads this.
    Denied(ClientError),
    /// It is stopped because the reply could not be decoded.
    Unreadable {
        /// What the API client reads. In place of `why` OpenIM has Go's own words.
        told: ClientError,
        /// What could not be decoded.
        why: String,
    },
    /// The reply allows, but OpenIM would crash over it, fail, or leave its own work undone: on this release, or on
    /// another that takes the same change, where the contract does not tell which.
    Harmful {
        /// The JSON name of the field that does it.
        field: &'static str,
        /// What it does.
        why: String,
    },
}

/// The fields that every reply has, by their places in the list.
static VERDICT: [Field; 5] = [
    verdict_field("actionCode", Kind::Int32),
    verdict_field("nextCode", Kind::Int32),
    verdict_field("errCode", Kind::Int32),
    verdict_field("errMsg", Kind::String),
    verdict_field("errDlt", Kind::String),
];

const fn verdict_field(json: &'static str, kind: Kind) -> Field {
    Field {
        name: "",
        json,
        aliases: &[],
        number: 0,
        group: None,
        kind,
        label: Label::Plain,
        redact: false,
        id: None,
        rules: Rules::NONE,
    }
}

/// Reads `reply` as a release of OpenIM does that has sent `request`. Of an After callback's reply see
/// [`Release::heeds`].
pub fn read(callback: &Callback, request: &[u8], reply: &[u8], release: Release) -> Reading {
    let changes = changes::of(callback);
    let request = decode::text(request);
    let operation = Operation::read(callback, &request);
    let verdict = VERDICT.iter().map(|field| (field.json, field));
    let rows: Vec<_> = verdict.chain(changes.iter().map(|field| (operation.name(field.json), *field))).collect();
    let mut values = match decode::reply(&rows, reply) {
        Ok(values) => values,
        Err(error) => {
            let why = error.to_string();
            let told = release.tells(90007, "DataError", &format!("{why} response format error"));
            return Reading::Unreadable { told, why };
        }
    };
    let changed = values.split_off(VERDICT.len());
    let number = |place: usize| values[place].as_ref().and_then(Value::as_i64).unwrap_or_default() as i32;
    let text = |place: usize| values[place].as_ref().and_then(Value::as_str).unwrap_or_default();
    if release.denies(number(0), number(1)) {
        return Reading::Denied(release.tells(number(2), text(3), text(4)));
    }

    let mut effects = Vec::new();
    for (field, value) in changes.into_iter().zip(changed) {
        match operation.take(field, value, release) {
            Ok(effect) => effects.extend(effect),
            Err(Harm(why)) => return Reading::Harmful { field: field.json, why },
        }
    }
    Reading::Allowed(effects)
}
