//! From what the policy said to what OpenIM reads.
//!
//! OpenIM ignores the HTTP status and reads five fields and the changes. Allow is `nextCode` 0, deny is `nextCode` 1;
//! `actionCode` is always 0, because OpenIM 3.5 denies on any other and later servers allow on it. An empty or unreadable
//! body would deny too, but with an error that shows the API client our URL. (OpenIM main, pkg/callbackstruct/common.go
//! and pkg/common/webhook/http_client.go.)

use bytes::Bytes;

use crate::callback::Callback;
use crate::wire::{self, Broken, Garbled, Record, RequestFields, Value};

/// The code of a denial that has none which OpenIM hands on as it is.
pub const DEFAULT_CODE: i32 = 5000;

/// The lowest code that every OpenIM server hands on as it is (openimsdk/tools, mw/grpc/server/error.go).
const LOWEST_CODE: i32 = 100;

/// A no, as the API client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    code: i32,
    message: String,
    detail: String,
}

impl Denial {
    /// A denial; what OpenIM would misread is replaced: a code below 100, an empty message, an empty detail.
    pub fn new(code: i32, message: &str, detail: &str) -> Self {
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        let message = or(message, "denied by policy");
        Self { code: if code < LOWEST_CODE { DEFAULT_CODE } else { code }, detail: or(detail, &message), message }
    }

    /// The error code that the API client gets, 100 or more.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The reply.
    pub fn body(&self) -> Bytes {
        let mut out = Vec::with_capacity(96 + self.message.len() + self.detail.len());
        out.extend_from_slice(b"{\"actionCode\":0,\"errCode\":");
        out.extend_from_slice(self.code.to_string().as_bytes());
        out.extend_from_slice(b",\"errMsg\":");
        wire::write_text(&self.message, &mut out);
        out.extend_from_slice(b",\"errDlt\":");
        wire::write_text(&self.detail, &mut out);
        out.extend_from_slice(b",\"nextCode\":1}");
        out.into()
    }
}

/// What the policy decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Go on, with these fields changed.
    Changed(Vec<&'static str>),
    /// Stop.
    Deny(Denial),
}

/// A verdict and the body that says it.
#[derive(Debug)]
pub struct Reply {
    /// What was decided.
    pub verdict: Verdict,
    /// What OpenIM reads.
    pub body: Bytes,
}

impl From<Denial> for Reply {
    fn from(denial: Denial) -> Self {
        Self { body: denial.body(), verdict: Verdict::Deny(denial) }
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
    /// The reply to `body`, which has been transcoded before, for the policy's response. Without one (a failure whose
    /// rule is allow) it allows and changes nothing.
    pub fn reply(&self, response: Option<&[u8]>, body: &[u8]) -> Result<Reply, InvalidReply> {
        let response = Record::decode(self.response, response.unwrap_or_default())?;
        if let Some(Value::Record(denial)) = response.values.first().and_then(Option::as_ref) {
            return Ok(denial_of(denial).into());
        }
        let mut out = b"{\"actionCode\":0,\"errCode\":0,\"errMsg\":\"\",\"errDlt\":\"\",\"nextCode\":0".to_vec();
        let changes: Vec<_> = response.present().map(|(field, _)| field.json).collect();
        if !changes.is_empty() || wire::echoes(self.response) {
            let request = RequestFields::read(self.request, body);
            response.check(&request)?;
            self.write_changes(&response, &request, &mut out);
        }
        out.push(b'}');
        let verdict = if changes.is_empty() { Verdict::Allow } else { Verdict::Changed(changes) };
        Ok(Reply { verdict, body: out.into() })
    }

    /// Appends the changes, and the request's own values where OpenIM would overwrite them with nothing.
    fn write_changes(&self, response: &Record<'_>, request: &RequestFields<'_>, out: &mut Vec<u8>) {
        let append_raw = |json: &str, out: &mut Vec<u8>| {
            if let Some(raw) = request.raw(json) {
                wire::write_name(1, json, out);
                out.extend_from_slice(raw.as_bytes());
            }
        };
        for json in self.response.echo_only {
            append_raw(json, out);
        }
        for (field, value) in self.response.fields.iter().zip(&response.values) {
            match value {
                Some(value) => {
                    wire::write_name(1, field.json, out);
                    wire::write_field(field, value, out);
                }
                None if field.rules.echo => append_raw(field.json, out),
                None => {}
            }
        }
    }
}

/// Reads the contract's `Denial`: code 1, message 2, detail 3.
fn denial_of(denial: &Record<'_>) -> Denial {
    let text = |number| match denial.get(number) {
        Some(Value::Text(text)) => *text,
        _ => "",
    };
    let code = match denial.get(1) {
        Some(Value::Int(code)) => i32::try_from(*code).unwrap_or_default(),
        _ => 0,
    };
    Denial::new(code, text(2), text(3))
}
