//! Values as OpenIM's JSON.

use super::{Record, Value};
use crate::contract::{Field, Kind, Label};

/// Writes a message as an object of the fields that are there.
pub(super) fn write_record(record: &Record<'_>, out: &mut Vec<u8>) {
    write_fields(record.present(), out);
}

/// Writes a message with all that the contract knows of it.
pub fn write_whole(record: &Record<'_>, out: &mut Vec<u8>) {
    write_record(record, out);
}

/// Writes a message without what belongs in no log.
pub fn write_redacted(record: &Record<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    let shown = record.present().filter(|(field, _)| !field.redact);
    for (index, (field, value)) in shown.enumerate() {
        write_name(index, field.json, out);
        match value {
            Value::Record(inner) if matches!(field.kind, Kind::Message(_)) => write_redacted(inner, out),
            Value::List(entries) => write_list(entries, out, |entry, out| match entry {
                Value::Record(inner) => write_redacted(inner, out),
                other => write_value(other, out),
            }),
            other => write_value(other, out),
        }
    }
    out.push(b'}');
}

/// Writes a value: a number is a number, a wrapper is the list or map that it wraps.
pub(super) fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Text(text) => write_text(text, out),
        Value::Record(record) => write_record(record, out),
        Value::List(entries) => write_list(entries, out, write_value),
        Value::Map(entries) => {
            out.push(b'{');
            for (index, (key, value)) in entries.iter().enumerate() {
                write_name(index, key, out);
                write_value(value, out);
            }
            out.push(b'}');
        }
    }
}

/// Writes a text in quotes.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing a text to memory cannot fail.
    let written = serde_json::to_writer(&mut *out, text);
    debug_assert!(written.is_ok());
}

/// Writes the name of an object's field, after the comma that it may need.
pub fn write_name(index: usize, name: &str, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
    write_text(name, out);
    out.push(b':');
}

fn write_fields<'r, 'a: 'r>(fields: impl Iterator<Item = (&'static Field, &'r Value<'a>)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (field, value)) in fields.enumerate() {
        write_name(index, field.json, out);
        write_field(field, value, out);
    }
    out.push(b'}');
}

/// Writes a field's value; a bare one as what it wraps.
pub fn write_field(field: &Field, value: &Value<'_>, out: &mut Vec<u8>) {
    match (field.kind, value) {
        (Kind::Bare(wrapper), Value::Record(record)) => match record.values.first() {
            Some(Some(inner)) => write_value(inner, out),
            _ if wrapper.fields.first().is_some_and(|field| field.label == Label::Map) => out.extend_from_slice(b"{}"),
            _ => out.extend_from_slice(b"[]"),
        },
        _ => write_value(value, out),
    }
}

fn write_list<'a>(entries: &[Value<'a>], out: &mut Vec<u8>, mut write: impl FnMut(&Value<'a>, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(entry, out);
    }
    out.push(b']');
}
