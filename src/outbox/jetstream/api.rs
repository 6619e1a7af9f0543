//! JetStream's API, asked in its JSON, and what is published to its streams. Every question has a time within which it ends.

use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::{Client, HeaderMap};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Maximum time of a question.
pub(super) const QUESTION: Duration = Duration::from_secs(5);

/// JetStream's API. Clones share the connection.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) client: Client,
}

/// A question that was not answered as it was meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::outbox) enum ApiError {
    /// JetStream refuses it.
    #[error("{description} ({code})")]
    Refused {
        /// JetStream's own number of the error.
        code: u64,
        description: String,
    },
    /// No answer: JetStream is off, or the stream or its group has no leader now.
    #[error("no node leads this stream now, or JetStream is not enabled")]
    NoResponders,
    #[error("no answer in time")]
    TimedOut,
    /// The message is larger than the servers take.
    #[error("the message is larger than max_payload")]
    TooLarge,
    #[error("{0}")]
    Other(String),
}

/// JetStream's numbers of errors.
pub(super) mod code {
    pub(in super::super) const NO_MESSAGE: u64 = 10037;
    pub(in super::super) const NO_STREAM: u64 = 10059;
    pub(in super::super) const NO_CONSUMER: u64 = 10014;
    pub(in super::super) const STREAM_EXISTS: u64 = 10058;
    pub(in super::super) const NO_PEERS: u64 = 10005;
    pub(in super::super) const NO_STORAGE: u64 = 10047;
    pub(in super::super) const REPLICAS_WITHOUT_CLUSTER: u64 = 10074;
    pub(in super::super) const NOT_ENABLED: [u64; 2] = [10076, 10039];
    pub(in super::super) const MESSAGE_TOO_LARGE: u64 = 10054;
    pub(in super::super) const FULL: u64 = 10077;
    pub(in super::super) const CONSUMER_EXISTS: u64 = 10148;
}

impl ApiError {
    pub(super) fn is(&self, number: u64) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == number)
    }

    /// Returns true if the stream has no room.
    pub(super) fn is_full(&self) -> bool {
        self.is(code::FULL)
    }

    /// Returns true if the event can never be taken.
    pub(super) fn is_too_large(&self) -> bool {
        *self == Self::TooLarge || self.is(code::MESSAGE_TOO_LARGE)
    }

    fn of(error: &async_nats::client::RequestError) -> Self {
        match error.kind() {
            RequestErrorKind::TimedOut => Self::TimedOut,
            RequestErrorKind::NoResponders => Self::NoResponders,
            RequestErrorKind::MaxPayloadExceeded => Self::TooLarge,
            RequestErrorKind::InvalidSubject | RequestErrorKind::Other => Self::Other(error.to_string()),
        }
    }
}

/// The answer of the API: what was asked for, or an error.
#[derive(Deserialize)]
#[serde(untagged)]
enum Response<T> {
    Err { error: ErrorBody },
    Ok(T),
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// The notice that a stream has a message.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Published {
    pub(super) seq: u64,
}

/// A message of a stream.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) sequence: u64,
    pub(super) subject: String,
    /// The value of the header of hookgate.
    pub(super) header: String,
    pub(super) payload: Bytes,
}

#[derive(Deserialize)]
struct FoundBody {
    message: RawMessage,
}

#[derive(Deserialize)]
struct RawMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
}

impl Api {
    /// Asks the API.
    pub(super) async fn ask<T: DeserializeOwned>(&self, subject: &str, body: &Value) -> Result<T, ApiError> {
        // Some questions are refused if they have a body.
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        self.send(format!("$JS.API.{subject}"), Request::new().payload(body), QUESTION).await
    }

    /// Publishes a message to the stream that has this subject.
    pub(super) async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
        within: Duration,
    ) -> Result<Published, ApiError> {
        self.send(subject, Request::new().headers(headers).payload(payload), within).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        subject: String,
        request: Request,
        within: Duration,
    ) -> Result<T, ApiError> {
        // The client waits without a bound for room in its own queue.
        let sent = timeout(within, self.client.send_request(subject, request.timeout(Some(within)))).await;
        let message = sent.map_err(|_| ApiError::TimedOut)?.map_err(|error| ApiError::of(&error))?;
        match serde_json::from_slice(&message.payload) {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error: ErrorBody { err_code, description } }) => {
                Err(ApiError::Refused { code: err_code, description })
            }
            Err(error) => Err(ApiError::Other(format!("an answer that is not JetStream's: {error}"))),
        }
    }

    /// Reads the message of a stream that `body` selects.
    async fn message(&self, stream: &str, body: &Value) -> Result<Option<Found>, ApiError> {
        let found: FoundBody = match self.ask(&format!("STREAM.MSG.GET.{stream}"), body).await {
            Err(error) if error.is(code::NO_MESSAGE) => return Ok(None),
            found => found?,
        };
        let RawMessage { subject, seq, data, hdrs } = found.message;
        let decoded = |text: String| STANDARD.decode(text).unwrap_or_default();
        let headers = String::from_utf8(decoded(hdrs)).unwrap_or_default();
        let prefix = format!("{}:", super::record::HEADER);
        let header = headers.lines().find_map(|line| line.strip_prefix(&*prefix)).unwrap_or_default();
        let header = header.trim().to_owned();
        Ok(Some(Found { sequence: seq, subject, header, payload: decoded(data).into() }))
    }

    /// Reads the newest message with this subject, which may have wildcards.
    pub(super) async fn last(&self, stream: &str, subject: &str) -> Result<Option<Found>, ApiError> {
        self.message(stream, &json!({ "last_by_subj": subject })).await
    }

    /// Reads the first message from a sequence on with this subject, which may have wildcards.
    pub(super) async fn next(&self, stream: &str, subject: &str, from: u64) -> Result<Option<Found>, ApiError> {
        self.message(stream, &json!({ "next_by_subj": subject, "seq": from.max(1) })).await
    }

    /// Deletes a message. Returns false if there is none.
    pub(super) async fn delete(&self, stream: &str, sequence: u64) -> Result<bool, ApiError> {
        #[derive(Deserialize)]
        struct Deleted {
            success: bool,
        }
        let body = json!({ "seq": sequence, "no_erase": true });
        match self.ask::<Deleted>(&format!("STREAM.MSG.DELETE.{stream}"), &body).await {
            Err(ApiError::Refused { code, .. }) if [code::NO_MESSAGE, 10057, 10043].contains(&code) => Ok(false),
            deleted => deleted.map(|deleted| deleted.success),
        }
    }
}
