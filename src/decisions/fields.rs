//! Which fields of a request stand in its line: the IDs of users and groups, and those that were asked for.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::callback::Callback;
use crate::wire::{self, Field, Id, Kind, Label, Message, Record, Value};

/// How many bytes of a field's value are written at most, and of all values of a list.
const LONGEST: usize = 4096;

/// What ends a value that is cut.
const CUT: &str = "…";

/// The names of all fields that a request can have, as in `message.content`.
pub fn names() -> &'static BTreeSet<String> {
    static NAMES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let requests = Callback::all().iter().chain([Callback::fallback()]).map(|callback| callback.request);
        requests.flat_map(ways).map(|(way, _)| way.name).collect()
    });
    &NAMES
}

/// What is shown of one callback's requests.
#[derive(Debug)]
pub(super) struct Shown {
    message: &'static Message,
    users: Vec<Way>,
    groups: Vec<Way>,
    asked: Vec<Way>,
}

/// The way from a request to a field.
#[derive(Debug)]
struct Way {
    /// The contract's names, with dots between: `message.send_id`.
    name: String,
    /// The places among the fields of each message on the way.
    places: Vec<usize>,
    /// Whether there is a list on it.
    many: bool,
}

impl Shown {
    /// The IDs of a callback's request, and those of its fields that are among `asked`.
    pub(super) fn of(callback: &Callback, asked: &[String]) -> Self {
        let message = callback.request;
        let mut shown = Self { message, users: Vec::new(), groups: Vec::new(), asked: Vec::new() };
        for (way, field) in ways(message) {
            match field.id {
                _ if asked.contains(&way.name) => shown.asked.push(way),
                Some(Id::User) => shown.users.push(way),
                Some(Id::Group) => shown.groups.push(way),
                None => {}
            }
        }
        shown
    }

    /// Writes the objects `users`, `groups` and `fields`, each with what of it is there, after a comma.
    pub(super) fn write(&self, request: &[u8], out: &mut Vec<u8>) {
        let all = [("users", &self.users), ("groups", &self.groups), ("fields", &self.asked)];
        if all.iter().all(|(_, ways)| ways.is_empty()) {
            return;
        }
        // It is our own encoding, so it can be read.
        let Ok(record) = Record::decode(self.message, request) else { return };
        let record = Value::Record(record);
        for (title, ways) in all {
            let mut written = 0;
            for way in ways {
                let mut values = Vec::new();
                collect(&record, &way.places, &mut values);
                if values.is_empty() {
                    continue;
                }
                if written == 0 {
                    wire::write_name(1, title, out);
                    out.push(b'{');
                }
                wire::write_name(written, &way.name, out);
                let mut room = LONGEST;
                match values[..] {
                    [value] if !way.many => write_cut(value, &mut room, out),
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

/// The ways to every field of a message that is no message itself.
fn ways(message: &'static Message) -> Vec<(Way, &'static Field)> {
    let mut all = Vec::new();
    for (place, field) in message.fields.iter().enumerate() {
        let name = match field.group.and_then(|group| message.groups.get(group)) {
            Some(group) => format!("{}.{}", group.name, field.name),
            None => field.name.to_owned(),
        };
        let many = field.label == Label::Repeated;
        match field.kind {
            Kind::Message(inner) => all.extend(ways(inner).into_iter().map(|(way, leaf)| {
                let places = [place].into_iter().chain(way.places).collect();
                (Way { name: format!("{name}.{}", way.name), places, many: many || way.many }, leaf)
            })),
            // A list of plain values is one value.
            _ => all.push((Way { name, places: vec![place], many: false }, field)),
        }
    }
    all
}

fn collect<'r, 'a>(value: &'r Value<'a>, places: &[usize], found: &mut Vec<&'r Value<'a>>) {
    match (value, places) {
        (value, []) => found.push(value),
        (Value::Record(record), [place, rest @ ..]) => {
            if let Some(Some(value)) = record.values.get(*place) {
                collect(value, rest, found);
            }
        }
        (Value::List(entries), places) => entries.iter().for_each(|entry| collect(entry, places, found)),
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
            wire::write_text(CUT, out);
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
            wire::write_text(&[&text[..end], CUT].concat(), out);
            *room = 0;
        }
        Value::Text(text) => {
            wire::write_text(text, out);
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
