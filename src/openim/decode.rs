//! JSON as Go's encoding/json reads it into a struct, which the rows of a reply stand for.
//!
//! Grammar is serde_json's, which agrees with Go's but for one thing: Go refuses more than 10,000 levels of nesting,
//! this none. What Go does more of, and OpenIM never meets, is left out: an object that comes twice is not merged.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::contract::{Field, Kind, Label};

/// Why a reply cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undecodable {
    #[error("the reply is not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("{path} is {found}, where OpenIM takes {takes}")]
    Type { path: String, found: &'static str, takes: &'static str },
}

impl Undecodable {
    /// The same, seen from the value that holds it.
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

/// A body as text. Go replaces every byte that is no UTF-8 by U+FFFD; outside of strings that is no JSON.
pub(super) fn text(body: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(body) {
        return text.into();
    }
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text.into()
}

/// A field of a Go struct: its name there, and its type.
pub(super) type Row<'a> = (&'a str, &'a Field);

/// The values of `rows` in a reply. Without a value is what is absent or null.
pub(super) fn reply(rows: &[Row<'_>], body: &[u8]) -> Result<Vec<Option<Value>>, Undecodable> {
    // The whole body is looked at before any of it is decoded: bad grammar anywhere comes before a wrong type.
    match serde_json::from_str::<&RawValue>(&text(body))?.get() {
        "null" => Ok(vec![None; rows.len()]),
        object if object.starts_with('{') => fields(rows, object),
        other => Err(mismatch(other, "an object").within("the reply")),
    }
}

/// The members of an object, in their order, with the names as Go reads them.
pub(super) fn members(object: &str) -> Result<Vec<(String, &RawValue)>, serde_json::Error> {
    serde_json::from_str(object).map(|Members(members)| members)
}

/// A value of a field that is not null.
pub(super) fn value(field: &Field, raw: &str) -> Result<Value, Undecodable> {
    match field.label {
        Label::Plain | Label::Optional => single(field.kind, raw),
        Label::Repeated if raw.starts_with('[') => {
            let entries: Vec<&RawValue> = serde_json::from_str(raw)?;
            let entry = |(index, raw): (usize, &&RawValue)| {
                entry(field.kind, raw.get()).map_err(|error| error.within(&format!("[{index}]")))
            };
            entries.iter().enumerate().map(entry).collect()
        }
        Label::Repeated => Err(mismatch(raw, "a list")),
        Label::Map if raw.starts_with('{') => {
            let entry = |(name, raw): (String, &RawValue)| match entry(field.kind, raw.get()) {
                Ok(value) => Ok((name, value)),
                Err(error) => Err(error.within(&format!("[{name:?}]"))),
            };
            members(raw)?.into_iter().map(entry).collect::<Result<_, _>>().map(Value::Object)
        }
        Label::Map => Err(mismatch(raw, "an object")),
    }
}

/// What Go has in a value that nothing was decoded into. An object is behind a pointer in every struct of OpenIM.
pub(super) fn zero(kind: Kind) -> Value {
    match kind {
        Kind::Bool => false.into(),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::CodePoint => 0.into(),
        Kind::String => "".into(),
        Kind::Message(_) | Kind::Bare(_) => Value::Null,
    }
}

/// Names match as they are, else without regard to case. Of a name that comes twice the last counts; a null empties
/// what can be nil and leaves a plain value alone.
fn fields(rows: &[Row<'_>], object: &str) -> Result<Vec<Option<Value>>, Undecodable> {
    let mut values = vec![None; rows.len()];
    for (name, raw) in members(object)? {
        let exact = rows.iter().position(|(row, _)| *row == name);
        let place = exact.or_else(|| rows.iter().position(|(row, _)| is_same(row, &name)));
        let Some(place) = place else { continue };
        let (row, field) = rows[place];
        match (raw.get(), field.label) {
            ("null", Label::Plain) => {}
            ("null", _) => values[place] = None,
            (raw, _) => values[place] = Some(value(field, raw).map_err(|error| error.within(row))?),
        }
    }
    Ok(values)
}

/// Returns true if Go takes one name for the other where no field has the exact one.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    folded(one).eq(folded(other))
}

/// A name without its case, as far as Unicode folds other letters into ASCII: the long s and the Kelvin sign.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|letter| match letter {
        'ſ' => 's',
        '\u{212A}' => 'k',
        other => other.to_ascii_lowercase(),
    })
}

/// An entry of a list or map: null is the zero value.
fn entry(kind: Kind, raw: &str) -> Result<Value, Undecodable> {
    if raw == "null" { Ok(zero(kind)) } else { single(kind, raw) }
}

fn single(kind: Kind, raw: &str) -> Result<Value, Undecodable> {
    match kind {
        Kind::Bool => match raw {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            _ => Err(mismatch(raw, "true or false")),
        },
        // A fraction or an exponent makes no whole number, whatever its value.
        Kind::Int32 | Kind::CodePoint => {
            raw.parse::<i32>().map(Value::from).map_err(|_| mismatch(raw, "a whole number of 32 bits"))
        }
        Kind::Int64 => raw.parse::<i64>().map(Value::from).map_err(|_| mismatch(raw, "a whole number of 64 bits")),
        Kind::Uint32 => {
            raw.parse::<u32>().map(Value::from).map_err(|_| mismatch(raw, "a whole number of 32 bits, not negative"))
        }
        Kind::String if raw.starts_with('"') => Ok(serde_json::from_str(raw).map(|Text(text)| text.into())?),
        Kind::String => Err(mismatch(raw, "a string")),
        Kind::Message(message) if raw.starts_with('{') => {
            let rows: Vec<Row<'_>> = message.fields.iter().map(|field| (field.json, field)).collect();
            let values = fields(&rows, raw)?;
            let kept = |(field, value): (&Field, Option<Value>)| {
                let value = value.or_else(|| (field.label == Label::Plain).then(|| zero(field.kind)))?;
                Some((field.json.to_owned(), value))
            };
            Ok(message.fields.iter().zip(values).filter_map(kept).collect())
        }
        Kind::Message(_) => Err(mismatch(raw, "an object")),
        // The wrapper has one field and is not in the JSON.
        Kind::Bare(wrapper) => wrapper.fields.iter().map(|field| value(field, raw)).next().unwrap_or(Ok(Value::Null)),
    }
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

/// A string whose lone surrogates are U+FFFD.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Wtf8;

        impl Visitor<'_> for Wtf8 {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                let mut text = String::with_capacity(bytes.len());
                for chunk in bytes.utf8_chunks() {
                    text.push_str(chunk.valid());
                    // Of the three bytes of a surrogate each is a chunk; the first is 0xED, the others are not.
                    text.extend(
                        chunk.invalid().iter().filter(|byte| **byte == 0xED).map(|_| char::REPLACEMENT_CHARACTER),
                    );
                }
                Ok(Text(text))
            }
        }

        // As text it would refuse a lone surrogate; as bytes it hands it on, encoded like any other code point.
        json.deserialize_bytes(Wtf8)
    }
}

struct Members<'de>(Vec<(String, &'de RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), raw)) = object.next_entry()? {
                    members.push((name, raw));
                }
                Ok(Members(members))
            }
        }

        json.deserialize_map(InOrder)
    }
}
