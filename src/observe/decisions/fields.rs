//! The fields of a request that a line shows: the IDs of users and groups, and those of `decisions.fields`.

use serde_json::{Map, Value as Json};

use crate::contract::{Callback, DecodedMessage, FieldPath, Id, Message, Value, field_paths};
use crate::cut::cut;

/// Maximum bytes written of a field's value; of a list, of all its values together.
const LONGEST: usize = 4096;

/// The shown fields of one callback.
#[derive(Debug)]
pub(super) struct Shown {
    message: &'static Message,
    /// By the member of the line that has them.
    members: [(&'static str, Vec<FieldPath>); 3],
}

impl Shown {
    /// Selects the IDs of a callback's request, and the fields with a name in `configured`.
    pub(super) fn of(callback: &Callback, configured: &[String]) -> Self {
        let message = callback.request;
        let (mut users, mut groups, mut fields) = (Vec::new(), Vec::new(), Vec::new());
        for (path, field) in field_paths(message) {
            match field.id {
                _ if configured.contains(&path.name) => fields.push(path),
                Some(Id::User) => users.push(path),
                Some(Id::Group) => groups.push(path),
                None => {}
            }
        }
        Self { message, members: [("users", users), ("groups", groups), ("fields", fields)] }
    }

    /// Returns the members `users`, `groups` and `fields` of a request's line, without the fields that are absent.
    pub(super) fn members(&self, request: &[u8]) -> Map<String, Json> {
        if self.members.iter().all(|(_, paths)| paths.is_empty()) {
            return Map::new();
        }
        // Cannot fail: hookgate has encoded it.
        let Ok(record) = DecodedMessage::decode(self.message, request) else { return Map::new() };
        let record = Value::Message(record);
        let members = self.members.iter().map(|(name, paths)| {
            let fields = paths.iter().filter_map(|path| Some((path.name.clone(), show(path, &record)?)));
            ((*name).to_owned(), Map::from_iter(fields))
        });
        members.filter(|(_, fields)| !fields.is_empty()).map(|(name, fields)| (name, fields.into())).collect()
    }
}

/// Returns the value of a field, or a list of its values; `None` if it is absent.
fn show(path: &FieldPath, record: &Value<'_>) -> Option<Json> {
    let mut values = Vec::new();
    collect(record, &path.indices, &mut values);
    let mut room = LONGEST;
    match values[..] {
        [] => None,
        [value] if !path.repeated => Some(shorten(value, &mut room)),
        _ => Some(shorten_list(values, &mut room)),
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

/// Returns a value of at most `room` bytes, and subtracts what it takes.
fn shorten(value: &Value<'_>, room: &mut usize) -> Json {
    let (shown, bytes) = match value {
        // An empty text counts as a byte, so that a list of them has an end.
        Value::Text(text) => (cut(text, *room).into(), text.len().max(1)),
        Value::Bool(value) => (Json::from(*value), value.to_string().len()),
        Value::Int(value) => (Json::from(*value), value.to_string().len()),
        Value::List(entries) => return shorten_list(entries, room),
        // Unreachable: no request has a map, and the paths lead into messages.
        Value::Message(_) | Value::Map(_) => (Json::Null, 0),
    };
    *room = room.saturating_sub(bytes);
    shown
}

fn shorten_list<'r, 'a: 'r>(values: impl IntoIterator<Item = &'r Value<'a>>, room: &mut usize) -> Json {
    let mut list = Vec::new();
    for value in values {
        if *room == 0 {
            list.push("…".into());
            break;
        }
        list.push(shorten(value, room));
    }
    list.into()
}
