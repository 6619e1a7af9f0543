//! Keeps the members of a webhook's JSON that the contract does not know, as raw JSON by path.
//!
//! The caller chooses how many there are, so each is encoded at once, no tree is built, and the number of reported paths is
//! bounded.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::field::put_bytes;
use super::{State, path};

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

impl State<'_> {
    /// Keeps a member of the object at the path.
    pub(super) fn put_unknown(&mut self, name: &str, raw: &str) {
        let path = member_path(path(&self.path), name);
        let text = |text: &str| key_len(1) + encoded_len_varint(text.len() as u64) + text.len();
        encode_key(self.unknown_number, WireType::LengthDelimited, &mut self.unknown);
        encode_varint((text(&path) + text(raw)) as u64, &mut self.unknown);
        put_bytes(1, path.as_bytes(), &mut self.unknown);
        put_bytes(2, raw.as_bytes(), &mut self.unknown);
        let unknown = &mut self.drift.unknown;
        unknown.count += 1;
        if unknown.paths.len() < MAX_PATHS {
            unknown.paths.push(path);
        }
    }
}

/// Returns the path of a member of the object at `path`. A name that could be mistaken for a path is quoted.
fn member_path(mut path: String, name: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '$');
    if name.is_empty() || !name.chars().all(plain) {
        path.extend(["[", &serde_json::Value::from(name).to_string(), "]"]);
    } else if path.is_empty() {
        path.push_str(name);
    } else {
        path.extend([".", name]);
    }
    path
}
