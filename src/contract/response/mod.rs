//! From what the policy said to what OpenIM reads.
//!
//! OpenIM ignores the HTTP status and reads five fields and the changes. Allow is `nextCode` 0, deny is `nextCode` 1;
//! `actionCode` is always 0, because OpenIM 3.5 denies on any other and later servers allow on it. An empty or unreadable
//! body would deny too, but with an error about JSON in place of our sentence. (OpenIM main,
//! pkg/callbackstruct/common.go and pkg/common/webhook/http_client.go.)

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use super::Callback;
use crate::cut::beginning;

mod check;
mod json;
mod record;

pub use self::check::{Broken, RequestFields, echoes};
pub use self::json::{write_field, write_name, write_redacted, write_text, write_whole};
pub use self::record::{Garbled, Record, Value};

/// The lowest code that every OpenIM server hands on as it is (openimsdk/tools, mw/grpc/server/error.go).
pub const LOWEST_CODE: i32 = 100;

/// The most bytes of a denial's message, and of its detail; what is longer is cut at a character.
pub const LONGEST_SENTENCE: usize = 4 << 10;

/// What OpenIM reads of an allow that changes nothing.
const ALLOW: &[u8] = br#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// The verdict on a webhook, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Go on.
    Allow {
        /// The contract's JSON names of what is changed.
        changes: Vec<&'static str>,
        /// What OpenIM reads.
        body: Bytes,
    },
    /// Stop.
    Deny(Denial),
}

/// A no, as the API client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    code: Option<i32>,
    message: String,
    detail: String,
}

impl Denial {
    /// A denial with the policy's own words, each cut at [`LONGEST_SENTENCE`]. What OpenIM would misread is left to be
    /// replaced: a code below 100, an empty message, an empty detail.
    pub fn new(code: i32, message: &str, detail: &str) -> Self {
        let or = |text: &str, default: &str| {
            let text = if text.is_empty() { default } else { text };
            beginning(text, LONGEST_SENTENCE).to_owned()
        };
        let message = or(message, "denied by policy");
        Self { code: (code >= LOWEST_CODE).then_some(code), detail: or(detail, &message), message }
    }

    /// A denial without a code of its own.
    pub fn because(message: &str) -> Self {
        Self::new(0, message, "")
    }

    /// The error code that the API client gets, `default` where the denial has none.
    pub fn code(&self, default: i32) -> i32 {
        self.code.unwrap_or(default)
    }

    /// What OpenIM reads; `default` is the code of a denial that has none.
    pub fn body(&self, default: i32) -> Bytes {
        let mut out = Vec::with_capacity(96 + self.message.len() + self.detail.len());
        out.extend_from_slice(b"{\"actionCode\":0,\"errCode\":");
        out.extend_from_slice(self.code(default).to_string().as_bytes());
        out.extend_from_slice(b",\"errMsg\":");
        write_text(&self.message, &mut out);
        out.extend_from_slice(b",\"errDlt\":");
        write_text(&self.detail, &mut out);
        out.extend_from_slice(b",\"nextCode\":1}");
        out.into()
    }
}

impl Reply {
    /// Returns an allow that changes nothing and repeats nothing of the webhook's body.
    pub fn allow() -> Self {
        Self::Allow { changes: Vec::new(), body: Bytes::from_static(ALLOW) }
    }

    /// What OpenIM reads; `default` is the code of a denial that has none.
    pub fn body(&self, default: i32) -> Bytes {
        match self {
            Self::Allow { body, .. } => body.clone(),
            Self::Deny(denial) => denial.body(default),
        }
    }
}

/// A policy's response that cannot become a reply.
#[derive(Debug, thiserror::Error)]
pub enum InvalidReply {
    /// It is not the message that the rpc promises.
    #[error(transparent)]
    Garbled(#[from] Garbled),
    /// A change breaks a rule of the contract.
    #[error("the change of {0}")]
    Broken(#[from] Broken),
}

impl Callback {
    /// The reply to `body`, which has been transcoded before, for the policy's encoded response.
    pub fn reply(&self, response: &[u8], body: &[u8]) -> Result<Reply, InvalidReply> {
        // Before all else: a denial stays one, whatever is wrong with it or stands beside it.
        if let Some(denial) = denial_in(response) {
            return Ok(Reply::Deny(denial));
        }
        if response.is_empty() {
            return Ok(self.unchanged(body));
        }
        let response = Record::decode(self.response, response)?;
        let request = RequestFields::read(self.request, body);
        response.check(&request)?;
        Ok(self.allow(&response, &request))
    }

    /// Returns the reply to an After event for the policy's encoded response. It needs no request body: no response to an
    /// After callback has changes or echoes.
    pub fn reply_to_event(&self, response: &[u8]) -> Result<Reply, InvalidReply> {
        self.reply(response, &[])
    }

    /// The reply to `body` that allows and changes nothing.
    pub fn unchanged(&self, body: &[u8]) -> Reply {
        // Few callbacks echo; the others need no second look at the body.
        if !self.echoes() {
            return Reply::allow();
        }
        self.allow(&Record::empty(self.response), &RequestFields::read(self.request, body))
    }

    /// Returns true if an allow repeats something of the webhook's body.
    pub(crate) fn echoes(&self) -> bool {
        echoes(self.response)
    }

    fn allow(&self, response: &Record<'_>, request: &RequestFields<'_>) -> Reply {
        let mut out = Vec::with_capacity(128);
        let (open, close) = ALLOW.split_at(ALLOW.len() - 1);
        out.extend_from_slice(open);
        self.write_changes(response, request, &mut out);
        out.extend_from_slice(close);
        Reply::Allow { changes: response.present().map(|(field, _)| field.json).collect(), body: out.into() }
    }

    /// Appends the changes, and the request's own values where OpenIM would overwrite them with nothing, each under the
    /// name that the sender of the request has for it.
    fn write_changes(&self, response: &Record<'_>, request: &RequestFields<'_>, out: &mut Vec<u8>) {
        let append_raw = |json: &'static str, out: &mut Vec<u8>| {
            if let Some(raw) = request.raw(json) {
                write_name(1, request.name_in_reply(json), out);
                out.extend_from_slice(raw.as_bytes());
            }
        };
        for json in self.response.echo_only {
            append_raw(json, out);
        }
        for (field, value) in self.response.fields.iter().zip(&response.values) {
            match value {
                Some(value) => {
                    write_name(1, request.name_in_reply(field.json), out);
                    write_field(field, value, out);
                }
                None if field.rules.echo => append_raw(field.json, out),
                None => {}
            }
        }
    }
}

/// The contract's `Denial` with texts that need not be UTF-8: servers in C++ send whatever they are given.
#[derive(prost::Message)]
struct AnyDenial {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(bytes = "bytes", tag = "2")]
    message: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    detail: Bytes,
}

/// The denial of an encoded response, which is field 1 of each (`build.rs` sees to it). What cannot be read of it is left
/// to be replaced; bytes of its texts that are no UTF-8 become U+FFFD.
fn denial_in(mut response: &[u8]) -> Option<Denial> {
    let mut denial = None;
    while !response.is_empty()
        && let Ok((number, wire_type)) = decode_key(&mut response)
    {
        let before = response;
        if skip_field(wire_type, number, &mut response, DecodeContext::default()).is_err() {
            break;
        }
        if (number, wire_type) == (1, WireType::LengthDelimited) {
            let field = &before[..before.len() - response.len()];
            let read = denial.get_or_insert_with(AnyDenial::default);
            // What comes twice is merged, as protobuf says; what is odd leaves what was there.
            let _ = read.merge_length_delimited(field);
        }
    }
    denial.map(|AnyDenial { code, message, detail }| {
        Denial::new(code, &String::from_utf8_lossy(&message), &String::from_utf8_lossy(&detail))
    })
}
