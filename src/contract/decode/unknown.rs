//! Keeps the members of a webhook's JSON that the contract does not know, as raw JSON by path.
//!
//! The caller chooses how many there are, so each is encoded at once and no tree is built: a set finds duplicates among
//! the names of one object, and the number of reported paths is bounded.

use std::borrow::Cow;
use std::collections::HashSet;

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::field::put_bytes;
use super::strict;

/// Maximum number of paths that are reported of one body.
const MAX_PATHS: usize = 1_000;

/// The unknown members of one body.
#[derive(Debug, Default)]
pub struct UnknownFields {
    /// The JSON paths of the first 1,000.
    pub paths: Vec<String>,
    /// The number of all unknown members.
    pub count: usize,
}

/// The unknown members of a body, encoded as entries of the request's map.
#[derive(Default)]
pub(super) struct UnknownEntries {
    /// The field number of the map.
    number: u32,
    pub(super) entries: Vec<u8>,
    pub(super) unknown: UnknownFields,
    /// The path of the current member; the buffer is reused.
    path: String,
}

/// The unknown members of one object.
#[derive(Default)]
pub(super) struct UnknownMembers<'de> {
    names: HashSet<Cow<'de, str>>,
    /// The path of the object, once it has an unknown member.
    path: Option<String>,
}

impl<'de> UnknownMembers<'de> {
    /// Adds a member to `to`. Calls `path` once an object, for the path of the object.
    pub(super) fn take(
        &mut self,
        name: Cow<'de, str>,
        raw: &str,
        path: impl FnOnce() -> String,
        to: &mut UnknownEntries,
    ) -> Result<(), String> {
        strict::check(raw)?;
        let object = self.path.get_or_insert_with(path);
        to.put(object, &name, raw);
        if self.names.insert(name) { Ok(()) } else { Err(strict::DUPLICATE_FIELD.to_owned()) }
    }
}

impl UnknownEntries {
    /// No entries yet of the map with this field number.
    pub(super) fn of(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    fn put(&mut self, object: &str, name: &str, raw: &str) {
        self.path.clear();
        write_path(object, name, &mut self.path);
        let text = |text: &str| key_len(1) + encoded_len_varint(text.len() as u64) + text.len();
        encode_key(self.number, WireType::LengthDelimited, &mut self.entries);
        encode_varint((text(&self.path) + text(raw)) as u64, &mut self.entries);
        put_bytes(1, self.path.as_bytes(), &mut self.entries);
        put_bytes(2, raw.as_bytes(), &mut self.entries);
        self.unknown.count += 1;
        if self.unknown.paths.len() < MAX_PATHS {
            self.unknown.paths.push(self.path.clone());
        }
    }
}

/// Writes the path of a member of the object at `object`. A name that could be mistaken for a path is quoted.
fn write_path(object: &str, name: &str, out: &mut String) {
    let plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '$');
    out.push_str(object);
    if name.is_empty() || !name.chars().all(plain) {
        out.extend(["[", &serde_json::Value::from(name).to_string(), "]"]);
    } else if object.is_empty() {
        out.push_str(name);
    } else {
        out.extend([".", name]);
    }
}
