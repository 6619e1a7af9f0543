//! gRPC over HTTP/2, as far as unary calls need it: the prefix of a message, `grpc-timeout`, and the reading of a response.
//!
//! A status counts in headers and in trailers, whatever its `grpc-message` and the response's message look like. If there are
//! several, one that is not OK beats OK, `PERMISSION_DENIED` beats every other, and different failures make `UNKNOWN`. OK
//! counts only in trailers, and only with HTTP 200 and `application/grpc`. With any other HTTP status a `grpc-status` still
//! counts, as gRPC's table says (http-grpc-status-mapping.md); without one the HTTP status decides.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response};
use percent_encoding::percent_decode;
use tonic::Code;

use super::answer::CallError;
use crate::failure::Class;

/// A response that is not gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotGrpc {
    /// The HTTP status says so.
    #[error("the answer is HTTP status {0}, not gRPC")]
    Status(StatusCode),
    /// The content type of a response with HTTP status 200.
    #[error("the answer's content type is not gRPC's")]
    ContentType,
}

impl NotGrpc {
    /// HTTP 404, which HTTP routers answer for a service that is not registered.
    pub(super) const NOT_FOUND: Self = Self::Status(StatusCode::NOT_FOUND);

    /// The class of the failure, by gRPC's table; but a 403 is not a denial, as it is a mesh's and not the policy's.
    pub(crate) fn class(self) -> Class {
        match self {
            Self::NOT_FOUND => Class::Unimplemented,
            Self::Status(
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT,
            ) => Class::Unavailable,
            Self::Status(_) | Self::ContentType => Class::Error,
        }
    }
}

pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The content type of gRPC over HTTP/2.
pub(super) const CONTENT_TYPE: &str = "application/grpc";

/// Bytes before each message: a flag, and the length.
const PREFIX: usize = 5;

/// Writes the time that is left as `grpc-timeout` (gRPC over HTTP/2, "Requests"): at most eight digits, and a unit. Most
/// calls get the same whole milliseconds, which HPACK encodes in a byte; `sensitive` keeps a rare value out of its table.
pub(super) fn set_timeout(headers: &mut HeaderMap, left: Duration, sensitive: bool) {
    let (number, unit) = match left.as_millis() {
        0..100 => (left.as_micros().max(1) as u64, b"u"),
        millis @ 100..100_000_000 => (millis as u64, b"m"),
        _ => (left.as_secs().min(99_999_999), b"S"),
    };
    let mut digits = itoa::Buffer::new();
    let text = [digits.format(number).as_bytes(), unit].concat();
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(sensitive);
        headers.insert(TIMEOUT, value);
    }
}

/// Puts the prefix before a message. A webhook's is far below the 4 GiB that it can say.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    framed.freeze()
}

/// Returns the message of a body, of at most `limit` bytes. An error is a sentence.
pub(super) fn unframed(body: Bytes, limit: usize) -> Result<Bytes, String> {
    let mut messages = Messages::new(limit);
    messages.push(body);
    messages.only()
}

/// Reads the message of a response, of at most `limit` bytes. Reads to the end, as the status comes after all messages.
pub(super) async fn read(response: Response<RecvStream>, limit: usize) -> Result<Bytes, CallError> {
    let (head, mut stream) = response.into_parts();
    let mut status = Status::in_head(&head)?;
    let mut messages = Messages::new(limit);
    while let Some(data) = stream.data().await {
        let data = data.map_err(|error| status.or(CallError::CutOff(error)))?;
        // Fails only if the stream has ended, which then needs no window.
        drop(stream.flow_control().release_capacity(data.len()));
        if !messages.push(data) {
            return messages.only().map_err(|why| status.or(CallError::Invalid(why)));
        }
    }
    let trailers = stream.trailers().await.map_err(|error| status.or(CallError::CutOff(error)))?;
    status.end(&trailers.unwrap_or_default());
    if status.code != Some(Code::Ok) {
        return Err(status.or(CallError::Invalid("no status came after the message".to_owned())));
    }
    messages.only().map_err(CallError::Invalid)
}

/// The status of a response, as far as it has come.
struct Status {
    http: StatusCode,
    code: Option<Code>,
    message: String,
}

impl Status {
    /// Reads the status in the head of a response. The error is a response that is not gRPC, or a denial, which nothing after
    /// it can change.
    fn in_head(head: &response::Parts) -> Result<Self, CallError> {
        let mut status = Self { http: head.status, code: None, message: String::new() };
        // OK does not count here: only trailers prove that the message was complete.
        match code_in(&head.headers).filter(|code| *code != Code::Ok) {
            Some(code) => status.add(code, &head.headers),
            None if is_grpc(head.headers.get(header::CONTENT_TYPE)) => {}
            None if head.status == StatusCode::OK => return Err(NotGrpc::ContentType.into()),
            None => return Err(NotGrpc::Status(head.status).into()),
        }
        match status.code {
            Some(Code::PermissionDenied) => Err(CallError::Status(Code::PermissionDenied, status.message)),
            _ => Ok(status),
        }
    }

    /// Reads the status in the trailers.
    fn end(&mut self, trailers: &HeaderMap) {
        if let Some(code) = code_in(trailers)
            && (code != Code::Ok || self.http == StatusCode::OK)
        {
            self.add(code, trailers);
        }
    }

    /// Combines a status with the one before.
    fn add(&mut self, code: Code, headers: &HeaderMap) {
        let joined = self.code.map_or(code, |before| both(before, code));
        self.code = Some(joined);
        if joined == code
            && let Some(message) = headers.get(MESSAGE)
        {
            self.message = percent_decode(message.as_bytes()).decode_utf8_lossy().into_owned();
        }
    }

    /// Returns the failure that the policy has sent, or that the HTTP status says; else `error`.
    fn or(&self, error: CallError) -> CallError {
        match self.code {
            Some(code) if code != Code::Ok => CallError::Status(code, self.message.clone()),
            None if self.http != StatusCode::OK => NotGrpc::Status(self.http).into(),
            _ => error,
        }
    }
}

/// The messages of a response, of which there must be one. A second one is read and dropped.
struct Messages {
    limit: usize,
    /// The beginning of a message that has not come whole.
    partial: Bytes,
    first: Option<Bytes>,
    has_more: bool,
    /// The sentence about a message that cannot be read.
    mistake: Option<String>,
    /// Bytes that came after it.
    dropped: usize,
}

impl Messages {
    fn new(limit: usize) -> Self {
        Self { limit, partial: Bytes::new(), first: None, has_more: false, mistake: None, dropped: 0 }
    }

    /// Adds data. Returns false if no more is to be read: after a mistake up to `limit` bytes are dropped, as the trailers may
    /// deny.
    fn push(&mut self, data: Bytes) -> bool {
        if self.mistake.is_none() {
            self.mistake = self.split(data).err();
        } else {
            self.dropped += data.len();
        }
        self.dropped <= self.limit
    }

    /// Splits data into messages.
    fn split(&mut self, data: Bytes) -> Result<(), String> {
        let mut rest = data;
        if !self.partial.is_empty() {
            // Copies once, and then appends in place.
            let mut joined = BytesMut::from(std::mem::take(&mut self.partial));
            joined.extend_from_slice(&rest);
            rest = joined.freeze();
        }
        while let Some([flag, length @ ..]) = rest.first_chunk::<PREFIX>() {
            let (limit, length) = (self.limit, u32::from_be_bytes(*length) as usize);
            if *flag != 0 {
                return Err("the message is compressed".to_owned());
            }
            if length > limit {
                return Err(format!("the message has {length} bytes, the limit is {limit}"));
            }
            if rest.len() < PREFIX + length {
                break;
            }
            let message = rest.split_to(PREFIX + length);
            self.has_more = self.first.is_some();
            self.first.get_or_insert(message.slice(PREFIX..));
        }
        self.partial = rest;
        Ok(())
    }

    fn only(self) -> Result<Bytes, String> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let why = match self.first {
            _ if !self.partial.is_empty() => "the message is not complete",
            _ if self.has_more => "more than one message",
            Some(message) => return Ok(message),
            None => "no message",
        };
        Err(why.to_owned())
    }
}

/// Returns true for the content type of gRPC over HTTP/2; `application/grpc-web` is not.
fn is_grpc(content_type: Option<&HeaderValue>) -> bool {
    let Some((kind, rest)) = content_type.and_then(|value| value.as_bytes().split_at_checked(CONTENT_TYPE.len()))
    else {
        return false;
    };
    kind.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Reads the status in headers or trailers; several fields, and several values in one, are combined.
fn code_in(headers: &HeaderMap) -> Option<Code> {
    let values = headers.get_all(STATUS).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(code_of).reduce(both)
}

/// Reads a code as other implementations do, `07` too; but OK is `0` and nothing else.
fn code_of(value: &[u8]) -> Code {
    match value.trim_ascii() {
        b"0" => Code::Ok,
        value => match std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()) {
            None | Some(0) => Code::Unknown,
            Some(code) => Code::from_i32(code),
        },
    }
}

/// Combines two statuses of one response.
fn both(one: Code, other: Code) -> Code {
    match (one, other) {
        _ if one == other => one,
        (Code::PermissionDenied, _) | (_, Code::PermissionDenied) => Code::PermissionDenied,
        (Code::Ok, failure) | (failure, Code::Ok) => failure,
        _ => Code::Unknown,
    }
}
