//! The fields of a request that a line shows: the IDs of users and groups, and those of `decisions.fields`.

use crate::contract::{self, Callback, DecodedMessage, FieldPath, Id, Message, Value, field_paths};
use crate::cut::cut;

/// Maximum bytes written of a field's value; of a list, of all its values together.
const LONGEST: usize = 4096;

/// The shown fields of one callback.
#[derive(Debug)]
pub(super) struct Shown {
    message: &'static Message,
    users: Vec<FieldPath>,
    groups: Vec<FieldPath>,
    configured: Vec<FieldPath>,
}

impl Shown {
    /// Selects the IDs of a callback's request, and the fields with a name in `configured`.
    pub(super) fn of(callback: &Callback, configured: &[String]) -> Self {
        let message = callback.request;
        let mut shown = Self { message, users: Vec::new(), groups: Vec::new(), configured: Vec::new() };
        for (path, field) in field_paths(message) {
            match field.id {
                _ if configured.contains(&path.name) => shown.configured.push(path),
                Some(Id::User) => shown.users.push(path),
                Some(Id::Group) => shown.groups.push(path),
                None => {}
            }
        }
        shown
    }

    /// Writes the JSON members `users`, `groups` and `fields`, each after a comma and without the fields that are absent.
    pub(super) fn write(&self, request: &[u8], out: &mut Vec<u8>) {
        let all = [("users", &self.users), ("groups", &self.groups), ("fields", &self.configured)];
        if all.iter().all(|(_, paths)| paths.is_empty()) {
            return;
        }
        // Cannot fail: hookgate has encoded it.
        let Ok(record) = DecodedMessage::decode(self.message, request) else { return };
        let record = Value::Message(record);
        for (title, paths) in all {
            let mut written = 0;
            for path in paths {
                let mut values = Vec::new();
                collect(&record, &path.indices, &mut values);
                if values.is_empty() {
                    continue;
                }
                if written == 0 {
                    contract::write_name(1, title, out);
                    out.push(b'{');
                }
                contract::write_name(written, &path.name, out);
                let mut room = LONGEST;
                match values[..] {
                    [value] if !path.repeated => write_cut(value, &mut room, out),
                    _ => write_list(values.into_iter(), &mut room, out),
                }
                written += 1;
            }
            if written > 0 {
                out.push(b'}');
            }
        }
    }
}

fn collect<'r, 'a>(value: &'r Value<'a>, indices: &[usize], found: &mut Vec<&'r Value<'a>>) {
    match (value, indices) {
        (value, []) => found.push(value),
        (Value::Message(record), [index, rest @ ..]) => {
            if let Some(Some(value)) = record.values.get(*index) {
                collect(value, rest, found);
            }
        }
        (Value::List(entries), indices) => entries.iter().for_each(|entry| collect(entry, indices, found)),
        _ => {}
    }
}

fn write_list<'r, 'a: 'r>(values: impl Iterator<Item = &'r Value<'a>>, room: &mut usize, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if *room == 0 {
            contract::write_text("…", out);
            break;
        }
        write_cut(value, room, out);
    }
    out.push(b']');
}

/// Writes a value, truncated to `room` bytes, and subtracts what it took.
fn write_cut(value: &Value<'_>, room: &mut usize, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) if text.len() > *room => {
            contract::write_text(&cut(text, *room), out);
            *room = 0;
        }
        Value::Text(text) => {
            contract::write_text(text, out);
            // An empty text counts as a byte, so that a list of them has an end.
            *room = room.saturating_sub(text.len().max(1));
        }
        Value::Bool(value) => write_plain(value, room, out),
        Value::Int(value) => write_plain(value, room, out),
        Value::List(entries) => write_list(entries.iter(), room, out),
        // Unreachable: no request has a map, and the paths lead into messages.
        Value::Message(_) | Value::Map(_) => out.extend_from_slice(b"null"),
    }
}

fn write_plain(value: impl ToString, room: &mut usize, out: &mut Vec<u8>) {
    let text = value.to_string();
    out.extend_from_slice(text.as_bytes());
    *room = room.saturating_sub(text.len());
}
