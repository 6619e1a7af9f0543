//! Files of IDs: one on each line.

use std::collections::HashMap;
use std::path::Path;

use ring::digest::{SHA256, digest};

use crate::config::file::lines;
use crate::contract::Ids;

/// The IDs of a file, a digest of its text, and a warning about what is probably not meant.
pub(super) struct Read {
    pub(super) ids: Ids,
    pub(super) digest: Vec<u8>,
    pub(super) warning: Option<String>,
}

/// Reads a file of IDs. Blanks around an ID, empty lines and those that begin with `#` do not count. The error is a sentence.
pub(super) fn read(file: &Path, text: &str) -> Result<Read, String> {
    let digest = digest(&SHA256, text.as_bytes()).as_ref().to_vec();
    let file = file.display();
    let mut ids = HashMap::new();
    let mut twice = Vec::new();
    for (number, line) in lines(text) {
        let id = line.trim();
        if id.contains(|letter: char| letter.is_whitespace() || letter.is_control() || ",\"".contains(letter)) {
            return Err(format!("{file}:{number}: expected one ID on each line, without blanks, commas and quotes"));
        }
        if let Some(first) = ids.insert(id, number) {
            twice.push((number, first));
        }
    }
    // A file that was emptied must not take everybody out of a rule.
    if ids.is_empty() {
        return Err(format!("{file} holds no ID"));
    }
    let warning = twice.split_first().map(|((line, first), more)| {
        let more = if more.is_empty() { String::new() } else { format!(", and {} of other lines", more.len()) };
        format!("{file}:{line}: the ID of line {first} again{more}")
    });
    Ok(Read { ids: ids.into_keys().map(Into::into).collect(), digest, warning })
}
