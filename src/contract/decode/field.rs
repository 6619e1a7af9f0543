//! Writes the JSON values of a webhook as protobuf fields.

use std::fmt;

use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::object::read_fields;
use super::{Segment, State};
use crate::contract::{Kind, Label};

/// Reads one JSON value, of any type, and writes it as the field `number`; 0 is the body itself, which has no number.
/// Returns true if there was a value, which null is not.
pub(super) struct ValueReader<'s, 'a> {
    pub(super) kind: Kind,
    pub(super) label: Label,
    pub(super) number: u32,
    pub(super) out: &'s mut Vec<u8>,
    pub(super) state: &'s mut State<'a>,
}

impl ValueReader<'_, '_> {
    /// The type of the value; `None` if a list is expected.
    fn single(&self) -> Option<Kind> {
        (self.label != Label::Repeated).then_some(self.kind)
    }

    fn expected(&self) -> &'static str {
        match self.single() {
            None => "a list",
            Some(Kind::Bool) => "true or false",
            Some(Kind::Int32) => "a whole number of 32 bits",
            Some(Kind::Int64) => "a whole number of 64 bits",
            Some(Kind::Uint32) => "a whole number of 32 bits, not negative",
            Some(Kind::CodePoint) => "a string of one character or a whole number",
            Some(Kind::String) => "a string",
            Some(Kind::Message(_) | Kind::Bare(_)) => "an object",
        }
    }

    fn mismatch<E: serde::de::Error>(&self, found: &str) -> E {
        self.state.mismatch(self.expected(), found)
    }

    fn number<E: serde::de::Error>(self, value: i128) -> Result<bool, E> {
        let fits = match self.single() {
            Some(Kind::Int32 | Kind::CodePoint) => i32::try_from(value).is_ok(),
            Some(Kind::Int64) => i64::try_from(value).is_ok(),
            Some(Kind::Uint32) => u32::try_from(value).is_ok(),
            _ => return Err(self.mismatch("a number")),
        };
        if !fits {
            return Err(self.mismatch("a number outside of that"));
        }
        // Protobuf sign-extends negative 32-bit numbers, hence through i64.
        self.varint(value as i64 as u64);
        Ok(true)
    }

    fn varint(self, value: u64) {
        if value != 0 || self.label != Label::Plain {
            encode_key(self.number, WireType::Varint, self.out);
            encode_varint(value, self.out);
        }
    }
}

impl<'de> DeserializeSeed<'de> for ValueReader<'_, '_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueReader<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<bool, E> {
        // Go writes null for a nil list, map or pointer. A body or an entry of a list is never one.
        match self.state.path.last() {
            None | Some(Segment::Index(_)) => Err(self.mismatch("null")),
            Some(Segment::Field(_)) => Ok(false),
        }
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<bool, E> {
        let Some(Kind::Bool) = self.single() else { return Err(self.mismatch("true or false")) };
        self.varint(value.into());
        Ok(true)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<bool, E> {
        self.number(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<bool, E> {
        self.number(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<bool, E> {
        Err(self.mismatch("a number with a fraction, an exponent or too many digits"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<bool, E> {
        match self.single() {
            Some(Kind::String) => {
                if let [Segment::Field("callbackCommand")] = self.state.path.as_slice() {
                    self.state.drift.other_command = value != self.state.command;
                }
                if self.label != Label::Plain || !value.is_empty() {
                    put_bytes(self.number, value.as_bytes(), self.out);
                }
            }
            Some(Kind::CodePoint) => {
                let mut characters = value.chars();
                let (Some(character), None) = (characters.next(), characters.next()) else {
                    return Err(self.mismatch("a string of another length"));
                };
                self.varint(u32::from(character).into());
            }
            _ => return Err(self.mismatch("a string")),
        }
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        if self.label != Label::Repeated {
            return Err(self.mismatch("a list"));
        }
        let Self { kind, number, out, state, .. } = self;
        for index in 0.. {
            state.path.push(Segment::Index(index));
            // An entry is written even if it is zero. Numbers are not packed; every protobuf parser reads both forms.
            let entry = list.next_element_seed(ValueReader { kind, label: Label::Optional, number, out, state })?;
            state.path.pop();
            if entry.is_none() {
                break;
            }
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<bool, A::Error> {
        match (self.label, self.kind) {
            (Label::Plain | Label::Optional, Kind::Message(message)) if self.number == 0 => {
                let seen = read_fields(message, self.out, self.state, object)?;
                // The command is a request's first field; build.rs sees to it.
                self.state.drift.unrecognized = seen & !1 == 0;
            }
            (Label::Plain | Label::Optional, Kind::Message(message)) => {
                let mut bytes = Vec::new();
                read_fields(message, &mut bytes, self.state, object)?;
                put_bytes(self.number, &bytes, self.out);
            }
            _ => return Err(self.mismatch("an object")),
        }
        Ok(true)
    }
}

/// Writes a text, or an encoded message, as the field `number`.
pub(super) fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
