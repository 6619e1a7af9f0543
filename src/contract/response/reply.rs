//! Turns the policy's *response* (protobuf) into the *reply* that OpenIM reads (JSON).
//!
//! OpenIM ignores the HTTP status and reads five fields and the changes. Allow is `nextCode` 0, deny is `nextCode` 1;
//! `actionCode` is always 0, because OpenIM 3.5 denies on any other value and later servers allow on it. An empty or
//! unreadable body would deny too, but with an error about JSON instead of our message. (OpenIM main,
//! pkg/callbackstruct/common.go and pkg/common/webhook/http_client.go.)

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use super::fields::{Redacted, write_field, write_name, write_text};
use super::{DecodeError, DecodedMessage, RequestFields, RuleViolation};
use crate::contract::Callback;
use crate::cut::beginning;

/// The lowest error code that every OpenIM server passes on unchanged (openimsdk/tools, mw/grpc/server/error.go).
pub const LOWEST_CODE: i32 = 100;

/// Maximum bytes of a denial's message, and of its detail; a longer text is cut between two characters.
pub const LONGEST_SENTENCE: usize = 4 << 10;

/// The reply of an allow that changes nothing.
const ALLOW: &[u8] = br#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// The reply to a webhook: the verdict, with all that OpenIM reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// OpenIM goes on.
    Allow {
        /// The contract's JSON names of the fields that are changed.
        changes: Vec<&'static str>,
        /// The JSON that OpenIM reads.
        body: Bytes,
    },
    /// OpenIM stops, and tells its caller why.
    Deny(Denial),
}

/// A denial: the error that OpenIM's API client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    code: i32,
    message: String,
    detail: String,
}

impl Denial {
    /// A denial with the policy's texts, each cut at [`LONGEST_SENTENCE`]. Values that OpenIM would misread are replaced: a
    /// code below 100 by the default, an empty message by "denied by policy", an empty detail by the message.
    pub fn new(code: i32, message: &str, detail: &str) -> Self {
        let or = |text: &str, default: &str| {
            let text = if text.is_empty() { default } else { text };
            beginning(text, LONGEST_SENTENCE).to_owned()
        };
        let message = or(message, "denied by policy");
        Self { code, detail: or(detail, &message), message }
    }

    /// A denial without a code of its own.
    pub fn because(message: &str) -> Self {
        Self::new(0, message, "")
    }

    /// The error code that the API client gets; `default` if the denial has none that OpenIM passes on.
    pub fn code(&self, default: i32) -> i32 {
        if self.code < LOWEST_CODE { default } else { self.code }
    }

    /// The policy's own code, if the default replaces it. 0 is no code.
    pub fn replaced_code(&self) -> Option<i32> {
        Some(self.code).filter(|code| *code != 0 && *code < LOWEST_CODE)
    }

    /// The JSON that OpenIM reads; `default` is the code of a denial that has none.
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

    /// The JSON that OpenIM reads; `default` is the code of a denial that has none.
    pub fn body(&self, default: i32) -> Bytes {
        match self {
            Self::Allow { body, .. } => body.clone(),
            Self::Deny(denial) => denial.body(default),
        }
    }
}

/// The error of a response that cannot become a reply.
#[derive(Debug, thiserror::Error)]
pub enum InvalidReply {
    /// The response is not the message of the rpc.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A change breaks a rule of the contract.
    #[error("the change of {0}")]
    Rule(#[from] RuleViolation),
}

impl Callback {
    /// The reply to `body`, which has been transcoded before, for the policy's encoded response. An After event needs no body,
    /// which may be empty: no response to it has changes or echoes.
    pub fn reply(&self, response: &[u8], body: &[u8]) -> Result<Reply, InvalidReply> {
        // First: a denial stays one, whatever is wrong with it or with the rest of the response.
        if let Some(denial) = decode_denial(response) {
            return Ok(Reply::Deny(denial));
        }
        if response.is_empty() {
            return Ok(self.unchanged(body));
        }
        let response = DecodedMessage::decode(self.response, response)?;
        let request = RequestFields::read(self.request, body);
        response.check(&request)?;
        Ok(self.allow(&response, &request))
    }

    /// Returns the denial of a response, if it is one: a denial stays one, whatever else is in it.
    pub(crate) fn denial(&self, response: &[u8]) -> Option<Denial> {
        decode_denial(response)
    }

    /// The reply to `body` that allows without changes.
    pub fn unchanged(&self, body: &[u8]) -> Reply {
        // Few callbacks echo; for the others the body need not be read again.
        if !self.echoes() {
            return Reply::allow();
        }
        self.allow(&DecodedMessage::empty(self.response), &RequestFields::read(self.request, body))
    }

    /// Returns true if an allow repeats values of the request, so that a reply needs the webhook's body.
    pub fn echoes(&self) -> bool {
        !self.response.echo_only.is_empty() || self.response.fields.iter().any(|field| field.rules.echo)
    }

    pub(super) fn allow(&self, response: &DecodedMessage<'_>, request: &RequestFields<'_>) -> Reply {
        let mut out = Vec::with_capacity(128);
        let (open, close) = ALLOW.split_at(ALLOW.len() - 1);
        out.extend_from_slice(open);
        self.write_changes(response, request, &mut out);
        out.extend_from_slice(close);
        Reply::Allow { changes: response.present().map(|(field, _)| field.json).collect(), body: out.into() }
    }

    /// Appends the changes, and the request's values that OpenIM would overwrite with nothing, each under the name that
    /// the request uses for it.
    fn write_changes(&self, response: &DecodedMessage<'_>, request: &RequestFields<'_>, out: &mut Vec<u8>) {
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
                    write_field(field, value, Redacted::Shown, out);
                }
                None if field.rules.echo => append_raw(field.json, out),
                None => {}
            }
        }
    }
}

/// The contract's `Denial` with texts that need not be UTF-8, which servers in C++ do not check.
#[derive(prost::Message)]
struct LossyDenial {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(bytes = "bytes", tag = "2")]
    message: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    detail: Bytes,
}

/// Decodes the denial of a response, which is field 1 of each (`build.rs` sees to it). Parts of it that cannot be decoded
/// count as absent; bytes of its texts that are not UTF-8 become U+FFFD.
fn decode_denial(mut response: &[u8]) -> Option<Denial> {
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
            let read = denial.get_or_insert_with(LossyDenial::default);
            // A second denial is merged, as protobuf says; on an error the fields that were read stay.
            let _ = read.merge_length_delimited(field);
        }
    }
    denial.map(|LossyDenial { code, message, detail }| {
        Denial::new(code, &String::from_utf8_lossy(&message), &String::from_utf8_lossy(&detail))
    })
}
