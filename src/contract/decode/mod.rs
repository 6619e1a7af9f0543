//! Transcodes a webhook's JSON straight into the bytes of its protobuf message.

use bytes::Bytes;
use serde::de::DeserializeSeed;
use smallvec::SmallVec;

use self::field::ValueReader;
use super::{Kind, Label, Message};

mod field;
pub(super) mod names;
mod object;
pub(super) mod strict;
mod unknown;

pub use self::strict::check_object;
pub(crate) use self::strict::names_command;
pub use self::unknown::UnknownFields;

/// The error of a body that OpenIM would not send. Its text names the field and the position, and repeats no content.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// The oddities of a body, which are counted or logged.
#[derive(Debug, Default)]
pub struct BodyDrift {
    /// The fields that the contract does not know; the message carries them too.
    pub unknown: UnknownFields,
    /// The aliases that the body uses for fields.
    pub aliases: Vec<&'static str>,
    /// True if the body has no field that the contract knows besides the command.
    pub unrecognized: bool,
    /// True if the body names another command than the one it was posted to.
    pub other_command: bool,
    /// True if the body names a command that no row has, the same as the one it was posted to.
    pub names_unknown_command: bool,
}

/// Transcodes the JSON of `message`, posted to `command`, into protobuf. Returns the request message, encoded, and the body's
/// oddities.
pub fn transcode(message: &'static Message, command: &str, body: &[u8]) -> Result<(Bytes, BodyDrift), Malformed> {
    let (unknown_number, drift) = (message.unknown_fields.unwrap_or_default(), BodyDrift::default());
    let mut state = State { path: SmallVec::new(), unknown_number, unknown: Vec::new(), command, drift };
    let mut out = Vec::with_capacity(body.len());
    let kind = Kind::Message(message);
    let reader = ValueReader { kind, label: Label::Plain, number: 0, out: &mut out, state: &mut state };
    // One check of the whole body is cheaper than one for each string. An invalid body is read as bytes, since only that error
    // has a position.
    let read = match std::str::from_utf8(body) {
        Ok(text) => read_whole(reader, serde_json::Deserializer::from_str(text)),
        Err(_) => read_whole(reader, serde_json::Deserializer::from_slice(body)),
    };
    read.map_err(|error| malformed(&error))?;
    if message.unknown_fields.is_some() {
        out.extend_from_slice(&state.unknown);
    }
    // The outbox may keep it for long, and counts its length.
    out.shrink_to_fit();
    Ok((out.into(), state.drift))
}

/// Reads a value, and nothing after it.
fn read_whole<'de, R: serde_json::de::Read<'de>>(
    reader: ValueReader<'_, '_>,
    mut json: serde_json::Deserializer<R>,
) -> serde_json::Result<()> {
    reader.deserialize(&mut json)?;
    json.end()
}

/// Turns an error of serde_json into ours. Neither its sentences nor those of this module repeat content.
pub(super) fn malformed(error: &serde_json::Error) -> Malformed {
    let (reason, line, column) = (reason(error), error.line(), error.column());
    let what = if error.is_data() { "" } else { "the body is not JSON: " };
    Malformed(format!("{what}{reason} (line {line}, column {column})"))
}

/// The text of an error without the position, which serde_json appends.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// State of the transcoding of one body.
pub(super) struct State<'a> {
    /// The path from the body to the value being read.
    pub(super) path: SmallVec<[Segment; 4]>,
    /// The field number of the map of members that the contract does not know.
    unknown_number: u32,
    /// These members, encoded as entries of that map.
    unknown: Vec<u8>,
    /// The command that the body was posted to.
    pub(super) command: &'a str,
    /// The oddities so far.
    pub(super) drift: BodyDrift,
}

/// A segment of a path into a body.
pub(super) enum Segment {
    Field(&'static str),
    Index(usize),
}

/// Formats a path, as in `users[1].createTime`.
pub(super) fn path(steps: &[Segment]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Segment::Field(name) if path.is_empty() => path.push_str(name),
            Segment::Field(name) => path.extend([".", name]),
            Segment::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

impl State<'_> {
    pub(super) fn mismatch<E: serde::de::Error>(&self, expected: &str, found: &str) -> E {
        match self.path.as_slice() {
            [] => E::custom(format_args!("the body must be {expected}, not {found}")),
            steps => E::custom(format_args!("{} must be {expected}, not {found}", path(steps))),
        }
    }
}
