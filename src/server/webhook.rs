//! A webhook: its head, the request message of its body, and the metadata beside it.

use std::borrow::Cow;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use percent_encoding::percent_decode_str;
use prost::Message as _;
use tracing::warn;
use uuid::Uuid;

use crate::contract::proto::UnknownCallbackRequest;
use crate::contract::{self, BodyDrift, Callback, Metadata, Timing, metadata};
use crate::observe::counters::Status;
use crate::server::Refusal;

/// The header with the ID of OpenIM's operation.
const OPERATION_ID: HeaderName = HeaderName::from_static("operationid");

/// Maximum bytes of an operation ID; a longer one is cut. gRPC servers take some 16 KB of metadata
/// and end the connection, with every other call on it, over a good deal more.
const LONGEST_OPERATION_ID: usize = 256;

/// Maximum bytes of a command that is in no row.
const LONGEST_COMMAND: usize = 128;

/// Maximum bytes of a reply key that is passed on; OpenIM's has three IDs in it.
const LONGEST_REPLY_KEY: usize = 2048;

/// A webhook, as its head tells.
#[derive(Debug)]
pub(crate) struct Webhook {
    /// The command as posted.
    pub(super) command: Cow<'static, str>,
    /// Index of the command in the table of commands.
    index: Option<usize>,
    /// The callback of the command, or the fallback.
    pub(super) callback: &'static Callback,
    /// True if the command is in no row and paths are secrets: it is not shown until the body names it too.
    maybe_secret: bool,
    /// The `operationID` header. Empty where there is none.
    pub(super) operation_id: String,
    /// The `key` query of the message events, for POST /msg/send_simple_msg of OpenIM.
    reply_key: Option<String>,
}

impl Webhook {
    /// Reads a request's head. With `secret_paths` a command that no row has is not shown unless the body names it too.
    pub(crate) fn route(head: &Parts, secret_paths: bool) -> Result<Self, Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        let (index, command, callback) = match Named::by(&head.uri).ok_or(Refusal::NotFound)? {
            Named::Known(index, command, callback) => (Some(index), command.into(), callback),
            Named::Unknown(command) if command.starts_with("callback") && command.len() <= LONGEST_COMMAND => {
                (None, command.into_owned().into(), Callback::fallback())
            }
            Named::Unknown(_) => return Err(Refusal::NotFound),
        };
        Ok(Self {
            operation_id: operation_id(&head.headers),
            reply_key: query(&head.uri, "key").filter(|key| key.len() <= LONGEST_REPLY_KEY).map(Cow::into_owned),
            maybe_secret: secret_paths && index.is_none(),
            command,
            index,
            callback,
        })
    }

    /// Returns true if the command must not be shown: it may be part of a secret path.
    fn is_hidden(&self, drift: &BodyDrift) -> bool {
        self.maybe_secret && !drift.names_unknown_command
    }

    /// The command, as logs, traces and counters have it.
    pub(super) fn shown_command(&self, drift: &BodyDrift) -> &str {
        if self.is_hidden(drift) { metadata::NOT_SHOWN } else { &self.command }
    }

    /// Counts the command, and the names of the body's fields, known and unknown; `now` is in milliseconds since 1970.
    pub(super) fn count_names(&self, drift: &BodyDrift, status: &Status, now: u64) {
        let names = &status.names;
        match self.index {
            Some(index) => names.count_command(index, now),
            None => names.count_unknown_command(self.shown_command(drift), now),
        }
        names.count_aliases(self.callback, &drift.aliases, now);
        names.count_unknown_fields(self.callback, &drift.unknown, now);
        if drift.unrecognized {
            let (command, operation_id, unknown_fields) = (&*self.command, &*self.operation_id, drift.unknown.count);
            names.count_unrecognized(self.callback, now, |unlogged| {
                warn!(command, operation_id, unknown_fields, unlogged, "no known field in body");
            });
        }
    }

    /// Returns whether OpenIM waits for the answer.
    pub(super) fn timing(&self) -> Timing {
        let is_unknown = std::ptr::eq(self.callback, Callback::fallback());
        if is_unknown { Timing::of_unknown(&self.command) } else { self.callback.timing }
    }

    /// Returns the request message of a body.
    pub(crate) fn transcode(&self, body: &[u8]) -> Result<Transcoding, Refusal> {
        transcode(self.callback, &self.command, body)
    }

    /// Returns [`Self::transcode`] as work for another thread.
    pub(super) fn transcoding(&self, body: &Bytes) -> impl FnOnce() -> Result<Transcoding, Refusal> + Send + use<> {
        let (callback, command, body) = (self.callback, self.command.clone(), body.clone());
        move || transcode(callback, &command, &body)
    }

    /// Returns the metadata of the policy call, with a new event ID.
    pub(crate) fn metadata(&self, drift: &BodyDrift) -> Metadata {
        let mut metadata = Metadata::default();
        let mut buffer = Uuid::encode_buffer();
        let event_id = &*Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
        metadata.insert_ids(&self.operation_id, event_id);
        match &self.command {
            Cow::Borrowed(known) => metadata.insert_value(metadata::COMMAND, HeaderValue::from_static(known)),
            Cow::Owned(unknown) if self.is_hidden(drift) => metadata.insert_hidden_command(unknown),
            Cow::Owned(unknown) => metadata.insert(metadata::COMMAND, unknown),
        }
        if let Some(key) = &self.reply_key {
            metadata.insert(metadata::REPLY_KEY, key);
        }
        metadata
    }
}

/// The request message of a body, and the body's drift.
pub(crate) type Transcoding = (Bytes, BodyDrift);

fn transcode(callback: &Callback, command: &str, body: &[u8]) -> Result<Transcoding, Refusal> {
    if std::ptr::eq(callback, Callback::fallback()) {
        let body_json = contract::check_object(body)?.to_owned();
        let names_unknown_command = contract::names_command(&body_json, command);
        let request = UnknownCallbackRequest { callback_command: command.to_owned(), body_json };
        return Ok((request.encode_to_vec().into(), BodyDrift { names_unknown_command, ..BodyDrift::default() }));
    }
    Ok(contract::transcode(callback.request, command, body)?)
}

/// The name in a webhook's URL.
enum Named<'a> {
    /// A command of the table: its index, its text, and its callback.
    Known(usize, &'static str, &'static Callback),
    /// A text that may be a command of a later OpenIM.
    Unknown(Cow<'a, str>),
}

impl<'a> Named<'a> {
    /// Reads the last segment of the path that is not empty, if it is a command; else a command in the query: OpenIM appends
    /// the command to its configured url, whatever that ends with (`/hook?token=x/callbackX`), and its documentation has
    /// `?command=callbackX`. Else the segment, which may be a command of a later OpenIM.
    fn by(uri: &'a Uri) -> Option<Self> {
        let known =
            |command: &str| Callback::lookup_command(command).map(|(index, name, row)| Self::Known(index, name, row));
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

/// Returns a query parameter, percent-decoded; a plus stays a plus.
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
