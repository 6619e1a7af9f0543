//! Files of IDs: one on each line.

use std::collections::HashMap;
use std::path::Path;

use crate::contract::Ids;

/// Reads a file of IDs. Blanks around an ID, empty lines and those that begin with `#` do not count. Returns the IDs, and a
/// warning about what is probably not meant. The error is a sentence.
pub(super) fn read(file: &Path, text: &str) -> Result<(Ids, Option<String>), String> {
    let file = file.display();
    let mut lines = HashMap::new();
    let mut twice = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let (id, number) = (line.trim(), index + 1);
        if id.is_empty() || id.starts_with('#') {
            continue;
        }
        if id.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(format!("{file}:{number}: an ID with a blank in it; expected one ID on each line"));
        }
        if let Some(first) = lines.insert(id, number) {
            twice.push((number, first));
        }
    }
    let warning = match &*twice {
        _ if lines.is_empty() => Some(format!("{file} holds no ID")),
        [] => None,
        [(line, first), more @ ..] => {
            let more =
                if more.is_empty() { String::new() } else { format!(", and {} more lines repeat one", more.len()) };
            Some(format!("{file}:{line}: the ID of line {first} again{more}"))
        }
    };
    Ok((lines.into_keys().map(Into::into).collect(), warning))
}
