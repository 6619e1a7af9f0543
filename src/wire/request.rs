//! A webhook's JSON straight into the bytes of its protobuf message.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeSeed;
use smallvec::SmallVec;

use super::Message;
use super::field::put_bytes;
use super::object::ObjectSeed;

/// A body that OpenIM would not send. Its text names the field and the position, and repeats nothing of the content.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// What became of a body.
#[derive(Debug)]
pub struct Transcoded {
    /// The request message, encoded.
    pub message: Bytes,
    /// The JSON paths of the fields that the contract does not know. They are in the message.
    pub unknown_fields: Vec<String>,
    /// The older names that it has for fields.
    pub older_fields: Vec<&'static str>,
    /// Whether the body names another command than the one it was posted to.
    pub other_command: bool,
}

/// Reads the JSON of `message`, posted to `command`, into its protobuf encoding.
pub fn transcode(message: &'static Message, command: &str, body: &[u8]) -> Result<Transcoded, Malformed> {
    let mut state =
        State { path: SmallVec::new(), unknown: BTreeMap::new(), older: Vec::new(), command, other_command: false };
    let mut out = Vec::with_capacity(body.len());
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = ObjectSeed { message, out: &mut out, state: &mut state }.deserialize(&mut json);
    read.and_then(|_| json.end()).map_err(|error| malformed(&error))?;
    if let Some(number) = message.unknown_fields {
        let mut entry = Vec::new();
        for (path, raw) in &state.unknown {
            entry.clear();
            put_bytes(1, path.as_bytes(), &mut entry);
            put_bytes(2, raw.as_bytes(), &mut entry);
            put_bytes(number, &entry, &mut out);
        }
    }
    // It may be kept for long.
    out.shrink_to_fit();
    let unknown_fields = state.unknown.into_keys().collect();
    let (older_fields, other_command) = (state.older, state.other_command);
    Ok(Transcoded { message: out.into(), unknown_fields, older_fields, other_command })
}

/// serde_json's own sentences say nothing of the content; ours take care not to.
pub(super) fn malformed(error: &serde_json::Error) -> Malformed {
    let (reason, line, column) = (reason(error), error.line(), error.column());
    let what = if error.is_data() { "" } else { "the body is not JSON: " };
    Malformed(format!("{what}{reason} (line {line}, column {column})"))
}

/// What was wrong, without the position, which serde_json appends.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// What is known while a body is read.
pub(super) struct State<'a, 'de> {
    /// The way from the body to the value being read.
    pub(super) path: SmallVec<[Step; 4]>,
    /// The fields that the contract does not know: path and raw JSON.
    pub(super) unknown: BTreeMap<String, &'de str>,
    /// The older names that it has for fields.
    pub(super) older: Vec<&'static str>,
    /// The command that the body was posted to.
    pub(super) command: &'a str,
    pub(super) other_command: bool,
}

pub(super) enum Step {
    Field(&'static str),
    Index(usize),
}

impl State<'_, '_> {
    /// The way to the value being read, as in `users[1].createTime`.
    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.extend([".", name]),
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    /// The way to a field that the contract does not know. A name that could be mistaken for a way is quoted.
    pub(super) fn path_to(&self, name: &str) -> String {
        let path = self.path();
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
        match (plain, path.is_empty()) {
            (true, true) => name.to_owned(),
            (true, false) => format!("{path}.{name}"),
            (false, _) => format!("{path}[{}]", serde_json::Value::from(name)),
        }
    }

    pub(super) fn mismatch<E: serde::de::Error>(&self, expected: &str, found: &str) -> E {
        match self.path.as_slice() {
            [] => E::custom(format_args!("the body must be {expected}, not {found}")),
            _ => E::custom(format_args!("{} must be {expected}, not {found}", self.path())),
        }
    }
}
