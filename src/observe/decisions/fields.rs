//! Which fields of a request stand in its line: the IDs of users and groups, and those that were asked for.

use crate::contract::Callback;
use crate::contract::{self, FieldPath, Id, Message, Record, Value, field_paths};

/// How many bytes of a field's value are written at most, and of all values of a list.
const LONGEST: usize = 4096;

/// What ends a value that is cut.
const CUT: &str = "…";

/// What is shown of one callback's requests.
#[derive(Debug)]
pub(super) struct Shown {
    message: &'static Message,
    users: Vec<FieldPath>,
    groups: Vec<FieldPath>,
    asked: Vec<FieldPath>,
}

impl Shown {
    /// The IDs of a callback's request, and those of its fields that are among `asked`.
    pub(super) fn of(callback: &Callback, asked: &[String]) -> Self {
        let message = callback.request;
        let mut shown = Self { message, users: Vec::new(), groups: Vec::new(), asked: Vec::new() };
        for (path, field) in field_paths(message) {
            match field.id {
                _ if asked.contains(&path.name) => shown.asked.push(path),
                Some(Id::User) => shown.users.push(path),
                Some(Id::Group) => shown.groups.push(path),
                None => {}
            }
        }
        shown
    }

    /// Writes the objects `users`, `groups` and `fields`, each with what of it is there, after a comma.
    pub(super) fn write(&self, request: &[u8], out: &mut Vec<u8>) {
        let all = [("users", &self.users), ("groups", &self.groups), ("fields", &self.asked)];
        if all.iter().all(|(_, paths)| paths.is_empty()) {
            return;
        }
        // It is our own encoding, so it can be read.
        let Ok(record) = Record::decode(self.message, request) else { return };
        let record = Value::Record(record);
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
        (Value::Record(record), [index, rest @ ..]) => {
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
            contract::write_text(CUT, out);
            break;
        }
        write_cut(value, room, out);
    }
    out.push(b']');
}

/// Writes a value as far as there is room.
fn write_cut(value: &Value<'_>, room: &mut usize, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) if text.len() > *room => {
            let end = (0..=*room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            contract::write_text(&[&text[..end], CUT].concat(), out);
            *room = 0;
        }
        Value::Text(text) => {
            contract::write_text(text, out);
            // An empty one takes room too.
            *room = room.saturating_sub(text.len().max(1));
        }
        Value::Bool(value) => write_plain(value, room, out),
        Value::Int(value) => write_plain(value, room, out),
        Value::List(entries) => write_list(entries.iter(), room, out),
        // No request has a map, and messages are taken apart.
        Value::Record(_) | Value::Map(_) => out.extend_from_slice(b"null"),
    }
}

fn write_plain(value: impl ToString, room: &mut usize, out: &mut Vec<u8>) {
    let text = value.to_string();
    out.extend_from_slice(text.as_bytes());
    *room = room.saturating_sub(text.len());
}
