//! A webhook's head: which callback it is, and what the policy is told besides the message.

use std::borrow::Cow;

use axum::http::{HeaderMap, Method, Uri, request::Parts};
use bytes::Bytes;
use percent_encoding::{CONTROLS, percent_decode_str, percent_encode};
use prost::Message as _;
use tonic::metadata::{MetadataMap, MetadataValue};
use tracing::warn;
use uuid::Uuid;

use crate::callback::Callback;
use crate::error::Refusal;
use crate::proto::UnknownCallbackRequest;
use crate::wire::{self, Transcoded};

/// A request for a verdict.
#[derive(Debug)]
pub(super) struct Webhook {
    /// The command as posted.
    pub(super) command: String,
    /// Its row, or the fallback's.
    pub(super) callback: &'static Callback,
    /// The `operationID` header. Empty where there is none.
    pub(super) operation_id: String,
    /// The `key` query of the message events, for POST /msg/send_simple_msg of OpenIM.
    reply_key: Option<String>,
}

impl Webhook {
    /// Reads a request's head.
    pub(super) fn route(head: &Parts) -> Result<Self, Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        let command = command(&head.uri).ok_or(Refusal::NotFound)?;
        let callback = match Callback::by_command(&command) {
            Some(callback) => callback,
            None if command.starts_with("callback") => Callback::fallback(),
            None => return Err(Refusal::NotFound),
        };
        Ok(Self {
            operation_id: operation_id(&head.headers),
            reply_key: query(&head.uri, "key").map(Cow::into_owned),
            command: command.into_owned(),
            callback,
        })
    }

    /// Whether no row has this command.
    pub(super) fn is_unknown(&self) -> bool {
        std::ptr::eq(self.callback, Callback::fallback())
    }

    /// The request message of a body.
    pub(super) fn transcode(&self, body: &[u8]) -> Result<Bytes, Refusal> {
        if self.is_unknown() {
            let body_json = wire::check_object(body)?.to_owned();
            let request = UnknownCallbackRequest { callback_command: self.command.clone(), body_json };
            return Ok(request.encode_to_vec().into());
        }
        let Transcoded { message, unknown_fields, other_command } =
            wire::transcode(self.callback.request, &self.command, body)?;
        if other_command {
            warn!(command = self.command, "the body names another command; the path decides");
        }
        if unknown_fields > 0 {
            warn!(command = self.command, unknown_fields, "the body has fields that this build does not know");
        }
        Ok(message)
    }

    /// What travels beside the message.
    pub(super) fn metadata(&self) -> MetadataMap {
        let mut metadata = MetadataMap::with_capacity(8);
        let event_id = Uuid::now_v7();
        let mut insert = |name: &'static str, value: &str| {
            // gRPC's metadata is printable ASCII; anything else is percent-encoded.
            let value: Cow<'_, str> = percent_encode(value.as_bytes(), CONTROLS).into();
            if let Ok(value) = MetadataValue::try_from(value.as_ref()) {
                metadata.insert(name, value);
            }
        };
        insert("openim-operation-id", &self.operation_id);
        insert("openim-command", &self.command);
        if let Some(key) = &self.reply_key {
            insert("openim-reply-key", key);
        }
        insert("hookgate-event-id", event_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        insert("hookgate-attempt", "1");
        metadata
    }
}

/// The last segment of the path that has a name, if it is a command; else the query's `command`, as OpenIM's documentation
/// shows it; else that segment all the same, which may be a command of tomorrow.
fn command(uri: &Uri) -> Option<Cow<'_, str>> {
    let segment = uri.path().rsplit('/').find(|segment| !segment.is_empty());
    match segment {
        Some(segment) if Callback::by_command(segment).is_some() => Some(segment.into()),
        _ => query(uri, "command").or(segment.map(Cow::from)),
    }
}

/// A query parameter, decoded no further than percent: a plus stays a plus.
fn query<'a>(uri: &'a Uri, name: &str) -> Option<Cow<'a, str>> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    percent_decode_str(value).decode_utf8().ok()
}

fn operation_id(headers: &HeaderMap) -> String {
    let header = headers.get("operationid").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    header.unwrap_or_default()
}
