//! A webhook's head: which callback it is, and what the policy is told besides the message.

use std::borrow::Cow;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use percent_encoding::percent_decode_str;
use prost::Message as _;
use tracing::warn;
use uuid::Uuid;

use crate::contract::proto::UnknownCallbackRequest;
use crate::contract::{self, Transcoded};
use crate::contract::{Callback, Timing};
use crate::contract::{Metadata, metadata};
use crate::observe::counters::Outcome;
use crate::observe::drift::{Names, Unknowns};
use crate::observe::traces::{self, Traces, WebhookSpan};
use crate::server::Refusal;

/// The header that says which of OpenIM's operations it is of.
const OPERATION_ID: HeaderName = HeaderName::from_static("operationid");

/// The longest operation ID that is passed on, in bytes; a longer one is cut. gRPC servers take some 16 KB of metadata
/// and end the connection, with every other call on it, over a good deal more.
const LONGEST_OPERATION_ID: usize = 256;

/// The longest command that may be one of tomorrow's.
const LONGEST_COMMAND: usize = 128;

/// The longest reply key that is passed on; OpenIM's has three IDs in it.
const LONGEST_REPLY_KEY: usize = 2048;

/// A request for a verdict.
#[derive(Debug)]
pub(crate) struct Webhook {
    /// The command as posted.
    pub(super) command: Cow<'static, str>,
    /// Its place in the table of commands.
    place: Option<usize>,
    /// Its row, or the fallback's.
    pub(super) callback: &'static Callback,
    /// Set while the command may be part of a secret path: no row has it, and no body has named it.
    maybe_secret: bool,
    /// The `operationID` header. Empty where there is none.
    pub(super) operation_id: String,
    /// The `key` query of the message events, for POST /msg/send_simple_msg of OpenIM.
    reply_key: Option<String>,
    /// What was odd about the body.
    pub(super) oddities: Oddities,
    /// Its place in a trace: the caller's, then that of its own span.
    trace: traces::Context,
    span: WebhookSpan,
    /// What the decision log wants of it.
    pub(super) kept: Option<Kept>,
}

/// What the policy was sent.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The encoded request message.
    pub(super) message: Bytes,
    pub(super) event_id: String,
}

/// What is worth a word in the log about a body that was read.
#[derive(Debug, Default)]
pub(crate) struct Oddities {
    /// The fields that this build does not know.
    pub(super) unknown: contract::UnknownFields,
    /// The aliases that it has for fields.
    aliases: Vec<&'static str>,
    /// True where it has none of the fields that this build knows, the command apart.
    unrecognized: bool,
    /// Whether it names another command than the path, which decides.
    pub(super) other_command: bool,
    /// True where it names a command that no row has as its path does.
    names_unknown_command: bool,
}

impl Webhook {
    /// Reads a request's head. With `secret_paths` a command that no row has is not shown unless the body names it too.
    pub(crate) fn route(head: &Parts, secret_paths: bool) -> Result<Self, Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        let (place, command, callback) = match Named::by(&head.uri).ok_or(Refusal::NotFound)? {
            Named::Known(place, command, callback) => (Some(place), command.into(), callback),
            Named::Unknown(command) if command.starts_with("callback") && command.len() <= LONGEST_COMMAND => {
                (None, command.into_owned().into(), Callback::fallback())
            }
            Named::Unknown(_) => return Err(Refusal::NotFound),
        };
        Ok(Self {
            operation_id: operation_id(&head.headers),
            reply_key: query(&head.uri, "key").filter(|key| key.len() <= LONGEST_REPLY_KEY).map(Cow::into_owned),
            maybe_secret: secret_paths && place.is_none(),
            command,
            place,
            callback,
            oddities: Oddities::default(),
            trace: traces::Context::of(&head.headers),
            span: WebhookSpan::default(),
            kept: None,
        })
    }

    /// Begins its span.
    pub(super) fn begin_span(&mut self, traces: &Traces) {
        let command = if self.maybe_secret { metadata::NOT_SHOWN } else { &*self.command };
        self.span = traces.webhook(self.callback, command, &self.operation_id, &mut self.trace);
    }

    /// Ends its span with what became of it.
    pub(super) fn end_span(&mut self, outcome: Outcome) {
        self.span.end(outcome);
    }

    /// The command, as logs, traces and counters have it.
    pub(super) fn shown_command(&self) -> &str {
        if self.maybe_secret { metadata::NOT_SHOWN } else { &self.command }
    }

    /// Whether no row has this command.
    pub(super) fn is_unknown(&self) -> bool {
        std::ptr::eq(self.callback, Callback::fallback())
    }

    /// Counts its names, and what this build does not know of it; `now` is in milliseconds since 1970.
    pub(super) fn count_names(&self, names: &Names, unknowns: &Unknowns, now: u64) {
        match self.place {
            Some(place) => names.count_command(place, now),
            None => unknowns.count_command(self.shown_command()),
        }
        let Oddities { unknown, aliases, unrecognized, .. } = &self.oddities;
        names.count_fields(self.callback, aliases, now);
        unknowns.count_fields(self.callback, unknown);
        if *unrecognized && let Some(unlogged) = names.count_unrecognized(self.callback, now) {
            let (command, operation_id, unknown_fields) = (&*self.command, &*self.operation_id, unknown.count);
            let unlogged = (unlogged > 0).then_some(unlogged);
            warn!(command, operation_id, unknown_fields, unlogged, "no known field in body");
        }
    }

    /// Whether OpenIM waits for the answer.
    pub(super) fn timing(&self) -> Timing {
        if self.is_unknown() { Timing::of_unknown(&self.command) } else { self.callback.timing }
    }

    /// The request message of a body.
    pub(crate) fn transcode(&mut self, body: &[u8]) -> Result<Bytes, Refusal> {
        let read = transcode(self.callback, &self.command, body)?;
        Ok(self.take_in(read))
    }

    /// The work of [`Self::transcode`], for another thread; [`Self::take_in`] takes its result.
    pub(super) fn transcoding(&self, body: &Bytes) -> impl FnOnce() -> Result<Read, Refusal> + Send + use<> {
        let (callback, command, body) = (self.callback, self.command.clone(), body.clone());
        move || transcode(callback, &command, &body)
    }

    /// Takes in what was read of the body; gives the request message.
    pub(super) fn take_in(&mut self, (message, oddities): Read) -> Bytes {
        self.maybe_secret &= !oddities.names_unknown_command;
        self.oddities = oddities;
        message
    }

    /// Keeps what the policy is sent.
    pub(super) fn keep(&mut self, message: &Bytes, metadata: &Metadata) {
        self.kept = Some(Kept { message: message.clone(), event_id: metadata.get(&metadata::EVENT_ID).to_owned() });
    }

    /// What travels beside the message, with an event ID of its own.
    pub(crate) fn metadata(&mut self) -> Metadata {
        let mut metadata = Metadata::new();
        let mut buffer = Uuid::encode_buffer();
        let event_id = &*Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
        metadata.insert_ids(&self.operation_id, event_id);
        match &self.command {
            Cow::Borrowed(known) => metadata.insert_value(metadata::COMMAND, HeaderValue::from_static(known)),
            Cow::Owned(unknown) if self.maybe_secret => metadata.insert_hidden_command(unknown),
            Cow::Owned(unknown) => metadata.insert(metadata::COMMAND, unknown),
        }
        if let Some(key) = &self.reply_key {
            metadata.insert(metadata::REPLY_KEY, key);
        }
        self.span.event_id(event_id);
        self.trace.put_into(&mut metadata);
        metadata
    }
}

/// A request message, and what was odd about its body.
type Read = (Bytes, Oddities);

/// The request message of a body posted to `command`, and what was odd about it.
fn transcode(callback: &Callback, command: &str, body: &[u8]) -> Result<Read, Refusal> {
    if std::ptr::eq(callback, Callback::fallback()) {
        let body_json = contract::check_object(body)?.to_owned();
        let names_unknown_command = contract::names_command(&body_json, command);
        let request = UnknownCallbackRequest { callback_command: command.to_owned(), body_json };
        return Ok((request.encode_to_vec().into(), Oddities { names_unknown_command, ..Oddities::default() }));
    }
    let Transcoded { message, unknown, aliases, unrecognized, other_command } =
        contract::transcode(callback.request, command, body)?;
    Ok((message, Oddities { unknown, aliases, unrecognized, other_command, names_unknown_command: false }))
}

/// What a webhook's URL names.
enum Named<'a> {
    /// A command: its place among all, as the table has it, and its callback.
    Known(usize, &'static str, &'static Callback),
    /// Something that may be a command of tomorrow.
    Unknown(Cow<'a, str>),
}

impl<'a> Named<'a> {
    /// The last segment of the path that has a name, if it is a command; else one in the query: OpenIM glues the command
    /// to whatever its url ends with (`/hook?token=x/callbackX`), and its documentation has `?command=callbackX`. Else the
    /// segment all the same, which may be a command of tomorrow.
    fn by(uri: &'a Uri) -> Option<Self> {
        let known =
            |command: &str| Callback::lookup_command(command).map(|(place, name, row)| Self::Known(place, name, row));
        let segment = uri.path().rsplit('/').find(|segment| !segment.is_empty());
        let in_path = segment.and_then(known);
        let pairs = || uri.query().into_iter().flat_map(|query| query.split('&'));
        let glued = || {
            pairs().find_map(|pair| {
                let pair = percent_decode_str(pair).decode_utf8().ok()?;
                pair.rsplit_once('/').and_then(|(_, last)| known(last))
            })
        };
        let named = || {
            let command = query(uri, "command")?;
            known(&command).or_else(|| command.starts_with("callback").then_some(Self::Unknown(command)))
        };
        in_path.or_else(glued).or_else(named).or_else(|| segment.map(|segment| Self::Unknown(segment.into())))
    }
}

/// A query parameter, decoded no further than percent: a plus stays a plus.
fn query<'a>(uri: &'a Uri, name: &str) -> Option<Cow<'a, str>> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    percent_decode_str(value).decode_utf8().ok()
}

/// The `operationID` header, empty where there is none.
pub(super) fn operation_id(headers: &HeaderMap) -> String {
    let header = headers.get(OPERATION_ID).map_or(&b""[..], |value| value.as_bytes());
    String::from_utf8_lossy(&header[..header.len().min(LONGEST_OPERATION_ID)]).into_owned()
}
