//! Writes messages and values as OpenIM's JSON.

use super::{DecodedMessage, Value};
use crate::contract::{Field, Kind, Label};

/// Writes a message as an object of the fields that are present, redacted ones too.
pub fn write_whole(record: &DecodedMessage<'_>, out: &mut Vec<u8>) {
    write_record(record, Redacted::Shown, out);
}

/// Writes a message without its redacted fields, which belong in no log.
pub fn write_redacted(record: &DecodedMessage<'_>, out: &mut Vec<u8>) {
    write_record(record, Redacted::LeftOut, out);
}

/// The treatment of fields that hold personal content or secrets (`(wire).redacted`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Redacted {
    Shown,
    LeftOut,
}

fn write_record(record: &DecodedMessage<'_>, redacted: Redacted, out: &mut Vec<u8>) {
    out.push(b'{');
    let shown = record.present().filter(|(field, _)| redacted == Redacted::Shown || !field.redact);
    for (index, (field, value)) in shown.enumerate() {
        write_name(index, field.json, out);
        write_field(field, value, redacted, out);
    }
    out.push(b'}');
}

/// Writes a field's value; the wrapper of a list or map as that list or map.
pub(super) fn write_field(field: &Field, value: &Value<'_>, redacted: Redacted, out: &mut Vec<u8>) {
    match (field.kind, value) {
        (Kind::Bare(wrapper), Value::Message(record)) => match record.values.first() {
            Some(Some(inner)) => write_value(inner, redacted, out),
            _ if wrapper.fields.first().is_some_and(|field| field.label == Label::Map) => out.extend_from_slice(b"{}"),
            _ => out.extend_from_slice(b"[]"),
        },
        _ => write_value(value, redacted, out),
    }
}

fn write_value(value: &Value<'_>, redacted: Redacted, out: &mut Vec<u8>) {
    match value {
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Text(text) => write_text(text, out),
        Value::Message(record) => write_record(record, redacted, out),
        Value::List(entries) => {
            out.push(b'[');
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(entry, redacted, out);
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            out.push(b'{');
            for (index, (key, value)) in entries.iter().enumerate() {
                write_name(index, key, out);
                write_value(value, redacted, out);
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

/// Writes the name of an object's member, with a comma before all but the first.
pub fn write_name(index: usize, name: &str, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
    write_text(name, out);
    out.push(b':');
}
