//! JSON as Go's encoding/json decodes it into a struct, with the fields of a reply for those of the struct.
//!
//! The grammar is serde_json's. The one difference is that Go rejects more than 10,000 levels of nesting. Go also merges an
//! object that occurs twice, which is not modelled, as no reply has one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::contract::{Kind, Label};

/// The reason that a reply cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undecodable {
    #[error("the reply is not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("{path} is {found}, where OpenIM takes {takes}")]
    Type { path: String, found: &'static str, takes: &'static str },
}

impl Undecodable {
    /// Returns the error with a step of the path put before its path.
    fn within(self, step: &str) -> Self {
        match self {
            Self::Type { path, found, takes } => {
                let joint = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                Self::Type { path: format!("{step}{joint}{path}"), found, takes }
            }
            syntax @ Self::Syntax(_) => syntax,
        }
    }
}

/// Returns a body as text. Like Go, replaces each byte that is not UTF-8 by U+FFFD, which is invalid JSON outside of strings.
pub(super) fn text(body: &[u8]) -> String {
    replaced(body, |_| true)
}

/// Decodes UTF-8. Writes U+FFFD for each invalid byte for which `counts` returns true, and drops the other invalid bytes.
fn replaced(bytes: &[u8], counts: impl Fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter(|byte| counts(**byte)).map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// A field of a Go struct: its JSON name, and its type.
pub(super) type Row<'a> = (&'a str, Label, Kind);

/// Returns the values of `rows` in a reply; none for a field that is absent or null.
pub(super) fn reply(rows: &[Row<'_>], body: &[u8]) -> Result<Vec<Option<Value>>, Undecodable> {
    // Go checks the syntax of the whole body first, so a syntax error comes before a wrong type.
    match serde_json::from_str::<&RawValue>(&text(body))?.get() {
        "null" => Ok(vec![None; rows.len()]),
        object if object.starts_with('{') => fields(rows, object),
        other => Err(mismatch(other, "an object").within("the reply")),
    }
}

/// Returns the members of an object in their order, with the names as Go decodes them.
pub(super) fn members(object: &str) -> Result<Vec<(String, &RawValue)>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(object);
    let members = json.deserialize_map(Members(Vec::new()))?;
    json.end().map(|()| members)
}

/// Decodes the value of a field. It must not be null.
pub(super) fn value(label: Label, kind: Kind, raw: &str) -> Result<Value, Undecodable> {
    match label {
        Label::Plain | Label::Optional => single(kind, raw),
        Label::Repeated if raw.starts_with('[') => {
            let entries: Vec<&RawValue> = serde_json::from_str(raw)?;
            let entry = |(index, raw)| entry(kind, raw).map_err(|error| error.within(&format!("[{index}]")));
            entries.into_iter().enumerate().map(entry).collect()
        }
        Label::Repeated => Err(mismatch(raw, "a list")),
        Label::Map if raw.starts_with('{') => {
            let entry = |(name, raw)| match entry(kind, raw) {
                Ok(value) => Ok((name, value)),
                Err(error) => Err(error.within(&format!("[{name:?}]"))),
            };
            members(raw)?.into_iter().map(entry).collect::<Result<_, _>>().map(Value::Object)
        }
        Label::Map => Err(mismatch(raw, "an object")),
    }
}

/// Returns Go's zero value. An object is a pointer in every struct of OpenIM.
pub(crate) fn zero(kind: Kind) -> Value {
    match kind {
        Kind::Bool => false.into(),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::CodePoint => 0.into(),
        Kind::String => "".into(),
        Kind::Message(_) | Kind::Bare(_) => Value::Null,
    }
}

/// Returns true if a value is empty, 0, false or null.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_i64() == Some(0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
    }
}

/// Decodes the fields of an object. A name matches exactly, otherwise case-insensitively. The last of duplicate names counts.
/// Null sets a pointer, list or map to nil, and does not change a plain value.
fn fields(rows: &[Row<'_>], object: &str) -> Result<Vec<Option<Value>>, Undecodable> {
    let mut values = vec![None; rows.len()];
    for (name, raw) in members(object)? {
        let exact = rows.iter().position(|(row, ..)| *row == name);
        let index = exact.or_else(|| rows.iter().position(|(row, ..)| is_same(row, &name)));
        let Some(index) = index else { continue };
        let (row, label, kind) = rows[index];
        match (raw.get(), label) {
            ("null", Label::Plain) => {}
            ("null", _) => values[index] = None,
            (raw, _) => values[index] = Some(value(label, kind, raw).map_err(|error| error.within(row))?),
        }
    }
    Ok(values)
}

/// Returns true if Go matches two names that are not equal.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    folded(one).eq(folded(other))
}

/// Folds the case of a name. Unicode folds two letters into ASCII: the long s and the Kelvin sign.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|letter| match letter {
        'ſ' => 's',
        '\u{212A}' => 'k',
        other => other.to_ascii_lowercase(),
    })
}

/// Decodes an entry of a list or map, in which null is the zero value.
fn entry(kind: Kind, raw: &RawValue) -> Result<Value, Undecodable> {
    if raw.get() == "null" { Ok(zero(kind)) } else { single(kind, raw.get()) }
}

fn single(kind: Kind, raw: &str) -> Result<Value, Undecodable> {
    match kind {
        Kind::Bool => parse::<bool>(raw, "true or false"),
        // Like Go, rejects whole numbers with a fraction or an exponent: 1.0, 1e3.
        Kind::Int32 | Kind::CodePoint => parse::<i32>(raw, "a whole number of 32 bits"),
        Kind::Int64 => parse::<i64>(raw, "a whole number of 64 bits"),
        Kind::Uint32 => parse::<u32>(raw, "a whole number of 32 bits, not negative"),
        Kind::String if raw.starts_with('"') => Ok(string(serde_json::from_str(raw)?).into()),
        Kind::String => Err(mismatch(raw, "a string")),
        Kind::Message(message) if raw.starts_with('{') => {
            let rows: Vec<Row<'_>> = message.fields.iter().map(|field| (field.json, field.label, field.kind)).collect();
            let values = fields(&rows, raw)?;
            let kept = |((name, label, kind), value): (Row<'_>, Option<Value>)| {
                let value = value.or_else(|| (label == Label::Plain).then(|| zero(kind)))?;
                Some((name.to_owned(), value))
            };
            Ok(rows.into_iter().zip(values).filter_map(kept).collect())
        }
        Kind::Message(_) => Err(mismatch(raw, "an object")),
        // The wrapper message has one field, whose value stands in its place in JSON.
        Kind::Bare(wrapper) => {
            wrapper.fields.first().map_or(Ok(Value::Null), |field| value(field.label, field.kind, raw))
        }
    }
}

fn parse<T: FromStr + Into<Value>>(raw: &str, takes: &'static str) -> Result<Value, Undecodable> {
    raw.parse::<T>().map(Into::into).map_err(|_| mismatch(raw, takes))
}

fn mismatch(raw: &str, takes: &'static str) -> Undecodable {
    let found = match raw.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ if takes.starts_with("a whole number") => "another number",
        _ => "a number",
    };
    Undecodable::Type { path: String::new(), found, takes }
}

/// A string as bytes: serde_json rejects a lone surrogate in a string, but decodes it into bytes like any other code point.
#[derive(Deserialize)]
#[serde(transparent)]
struct Wtf8<'a>(#[serde(borrow)] Cow<'a, [u8]>);

/// Returns a string, with U+FFFD for lone surrogates.
fn string(Wtf8(bytes): Wtf8<'_>) -> String {
    // A surrogate has three invalid bytes. Only the first is 0xED.
    replaced(&bytes, |byte| byte == 0xED)
}

/// The members of an object, duplicates included.
struct Members<'de>(Vec<(String, &'de RawValue)>);

impl<'de> Visitor<'de> for Members<'de> {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Self::Value, A::Error> {
        while let Some((name, raw)) = object.next_entry()? {
            self.0.push((string(name), raw));
        }
        Ok(self.0)
    }
}
