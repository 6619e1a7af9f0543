//! Random webhooks: OpenIM's JSON for a message of the contract, written without a look at hookgate's rows.

use std::collections::BTreeMap;

use hookgate::contract::Callback;
use proptest::collection::vec;
use proptest::prelude::*;
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage, Value};

use super::messages::{UNKNOWN_FIELDS, Wire, json_names, message, text, with_unknown};
use crate::support::method;

/// A webhook, and the message that it says.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The fields at the top of the body, as they stand in it: names and values in raw JSON.
    pub fields: Vec<(String, String)>,
    pub message: DynamicMessage,
}

impl Webhook {
    pub fn body(&self) -> String {
        object(&self.fields, "")
    }
}

/// Any webhook of a callback.
pub fn webhook(callback: &'static Callback) -> impl Strategy<Value = Webhook> {
    let parts = (message(&method(callback.rpc).input()), any::<bool>(), vec(unknown_field(), 0..4), choices());
    parts.prop_map(|(mut message, right, unknown, choices)| {
        if right {
            message.set_field_by_name("callback_command", Value::String(callback.command.to_owned()));
        }
        let mut writer = Writer { choices, unwritten: unknown, unknown: BTreeMap::new() };
        let mut fields = writer.fields(&message, "", false);
        while let Some(field) = writer.unknown_field("") {
            fields.push(field);
        }
        writer.shuffle(&mut fields);
        Webhook { fields, message: with_unknown(message, writer.unknown) }
    })
}

/// What is left to chance in how a message is written. Shrinks to the plainest.
fn choices() -> impl Strategy<Value = Choices> {
    prop_oneof![1 => Just(vec![0]), 8 => vec(any::<u8>(), 1..64)].prop_map(|bytes| Choices { bytes, at: 0 })
}

#[derive(Debug, Clone)]
struct Choices {
    bytes: Vec<u8>,
    at: usize,
}

impl Choices {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.at += 1;
        usize::from(self.bytes[self.at % self.bytes.len()]) % end
    }
}

/// The name and raw JSON of a field that no contract knows.
fn unknown_field() -> impl Strategy<Value = (String, String)> {
    let raw = [
        "7",
        "-0.50",
        "123456789012345678901234567890",
        "null",
        "true",
        r#""x\u0000\ud83d\ude00""#,
        "[]",
        r#"{ "a" : [1, {"b":null}] }"#,
    ];
    let name = prop_oneof![Just(String::new()), text().prop_filter("no NUL in a name", |text| !text.contains('\0'))];
    (name.prop_map(|name| format!("zz{name}")), prop::sample::select(raw.to_vec()).prop_map(str::to_owned))
}

struct Writer {
    choices: Choices,
    /// Unknown fields that wait for a place.
    unwritten: Vec<(String, String)>,
    /// Those that have one: path to raw JSON.
    unknown: BTreeMap<String, String>,
}

impl Writer {
    /// A message's fields and those of its flattened groups. `must` says that one of them has to be there.
    fn fields(&mut self, message: &DynamicMessage, path: &str, must: bool) -> Vec<(String, String)> {
        let mut out = Vec::new();
        let fields: Vec<_> = message.descriptor().fields().filter(|field| field.number() != UNKNOWN_FIELDS).collect();
        let must = must.then(|| self.choices.below(fields.len()));
        for (at, field) in fields.iter().enumerate() {
            let wire = Wire::of(field);
            let value = message.get_field(field);
            match value.as_ref() {
                Value::Message(group) if wire.is("flatten") => {
                    let optional = field.field_descriptor_proto().proto3_optional();
                    if message.has_field(field) {
                        out.extend(self.fields(group, path, optional));
                    } else {
                        out.extend(self.nulls(group));
                    }
                }
                value => {
                    let there = message.has_field(field) || must == Some(at);
                    if let Some(raw) = self.field(field, &wire, there.then_some(value), path) {
                        out.push((self.name(field), raw));
                    }
                }
            }
        }
        out
    }

    /// The fields of a group that is not there: left out, or null.
    fn nulls(&mut self, group: &DynamicMessage) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for field in group.descriptor().fields() {
            if self.choices.below(2) == 1 {
                out.push((self.name(&field), "null".to_owned()));
            }
        }
        out
    }

    /// A field's value, if it is to stand in the JSON. What is not there can be null, or zero where that is the same.
    fn field(&mut self, field: &FieldDescriptor, wire: &Wire, value: Option<&Value>, path: &str) -> Option<String> {
        if let Some(value) = value {
            return Some(self.value(wire, value, &within(path, field.json_name())));
        }
        match self.choices.below(3) {
            1 => Some("null".to_owned()),
            2 if !field.supports_presence() => Some(self.value(wire, &Value::default_value_for_field(field), path)),
            _ => None,
        }
    }

    fn value(&mut self, wire: &Wire, value: &Value, path: &str) -> String {
        match value {
            Value::Bool(value) => value.to_string(),
            Value::I32(value) if wire.is("code_point") && self.choices.below(3) > 0 => {
                let letter = u32::try_from(*value).ok().and_then(char::from_u32);
                letter.map_or_else(|| value.to_string(), |letter| self.text(&letter.to_string()))
            }
            Value::I32(value) => value.to_string(),
            Value::U32(value) => value.to_string(),
            Value::I64(value) => value.to_string(),
            Value::String(value) => self.text(value),
            Value::Message(value) => {
                let mut fields = self.fields(value, path, false);
                if self.choices.below(2) == 1 {
                    fields.extend(self.unknown_field(path));
                }
                self.shuffle(&mut fields);
                object(&fields, self.space())
            }
            Value::List(entries) => {
                let entries = entries.iter().enumerate();
                let entries = entries.map(|(index, entry)| self.value(wire, entry, &format!("{path}[{index}]")));
                format!("[{}]", entries.collect::<Vec<_>>().join(","))
            }
            other => panic!("no request has a {other:?}"),
        }
    }

    fn name(&mut self, field: &FieldDescriptor) -> String {
        let names = json_names(field);
        let name = self.choices.below(names.len());
        self.text(&names[name])
    }

    /// A text in quotes, sometimes with every character escaped.
    fn text(&mut self, text: &str) -> String {
        if self.choices.below(4) < 3 {
            return serde_json::to_string(text).expect("JSON");
        }
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{escaped}\"")
    }

    fn space(&mut self) -> &'static str {
        ["", " ", "\r\n\t"][self.choices.below(3)]
    }

    /// Takes one of the waiting unknown fields as a field of the object at `path`.
    fn unknown_field(&mut self, path: &str) -> Option<(String, String)> {
        let (name, raw) = self.unwritten.pop()?;
        // The place among the rest makes it the only one of its name.
        let name = format!("{name}{}", self.unwritten.len());
        self.unknown.insert(within(path, &name), raw.clone());
        Some((self.text(&name), raw))
    }

    fn shuffle(&mut self, fields: &mut [(String, String)]) {
        for at in (1..fields.len()).rev() {
            let other = at - self.choices.below(at + 1);
            fields.swap(at, other);
        }
    }
}

/// The path of a field within the object at `path`: `users[0].zz1`, or `users[0]["z z"]` where the name is no plain one.
fn within(path: &str, name: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "_-$".contains(letter);
    match path {
        "" if name.chars().all(plain) => name.to_owned(),
        path if name.chars().all(plain) => format!("{path}.{name}"),
        path => format!("{path}[{}]", serde_json::to_string(name).expect("JSON")),
    }
}

fn object(fields: &[(String, String)], space: &str) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, raw)| format!("{space}{name}{space}:{space}{raw}{space}")).collect();
    format!("{{{}}}", fields.join(","))
}
