//! The seeds that serde drives through a webhook's JSON: the values of fields and of entries of lists.

use std::fmt;

use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::object::read_fields;
use super::{Segment, State};
use crate::contract::{Field, Kind, Label};

/// Reads a field's value; says whether it was there, which null is not.
pub(super) struct FieldSeed<'s, 'a> {
    pub(super) field: &'static Field,
    pub(super) out: &'s mut Vec<u8>,
    pub(super) state: &'s mut State<'a>,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_, '_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        let Self { field, out, state } = self;
        let Field { kind, label, number, .. } = *field;
        json.deserialize_any(ValueVisitor { kind, label, number, out, state })
    }
}

/// Writes one JSON value as the field `number`; 0 is the body itself, which has no number.
pub(super) struct ValueVisitor<'s, 'a> {
    pub(super) kind: Kind,
    pub(super) label: Label,
    pub(super) number: u32,
    pub(super) out: &'s mut Vec<u8>,
    pub(super) state: &'s mut State<'a>,
}

impl ValueVisitor<'_, '_> {
    fn expected(&self) -> &'static str {
        match (self.label, self.kind) {
            (Label::Repeated, _) => "a list",
            (_, Kind::Bool) => "true or false",
            (_, Kind::Int32) => "a whole number of 32 bits",
            (_, Kind::Int64) => "a whole number of 64 bits",
            (_, Kind::Uint32) => "a whole number of 32 bits, not negative",
            (_, Kind::CodePoint) => "a string of one character or a whole number",
            (_, Kind::String) => "a string",
            (_, Kind::Message(_) | Kind::Bare(_)) => "an object",
        }
    }

    fn mismatch<E: serde::de::Error>(&self, found: &str) -> E {
        self.state.mismatch(self.expected(), found)
    }

    fn number<E: serde::de::Error>(self, value: i128) -> Result<bool, E> {
        let fits = match (self.label, self.kind) {
            (Label::Repeated, _) => return Err(self.mismatch("a number")),
            (_, Kind::Int32 | Kind::CodePoint) => i32::try_from(value).is_ok(),
            (_, Kind::Int64) => i64::try_from(value).is_ok(),
            (_, Kind::Uint32) => u32::try_from(value).is_ok(),
            _ => return Err(self.mismatch("a number")),
        };
        if !fits {
            return Err(self.mismatch("a number outside of that"));
        }
        // Negative 32-bit numbers are sign-extended on the wire, hence through i64.
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

impl<'de> Visitor<'de> for ValueVisitor<'_, '_> {
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
        match (self.label, self.kind) {
            (Label::Repeated, _) => Err(self.mismatch("true or false")),
            (_, Kind::Bool) => {
                self.varint(value.into());
                Ok(true)
            }
            _ => Err(self.mismatch("true or false")),
        }
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
        match (self.label, self.kind) {
            (Label::Repeated, _) => Err(self.mismatch("a string")),
            (label, Kind::String) => {
                if self.state.path.len() == 1 && matches!(self.state.path[0], Segment::Field("callbackCommand")) {
                    self.state.other_command = value != self.state.command;
                }
                if label != Label::Plain || !value.is_empty() {
                    put_bytes(self.number, value.as_bytes(), self.out);
                }
                Ok(true)
            }
            (_, Kind::CodePoint) => {
                let mut characters = value.chars();
                match (characters.next(), characters.next()) {
                    (Some(character), None) => {
                        self.varint(u32::from(character).into());
                        Ok(true)
                    }
                    _ => Err(self.mismatch("a string of another length")),
                }
            }
            _ => Err(self.mismatch("a string")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        if self.label != Label::Repeated {
            return Err(self.mismatch("a list"));
        }
        let Self { kind, number, out, state, .. } = self;
        for index in 0.. {
            state.path.push(Segment::Index(index));
            let entry = list.next_element_seed(EntrySeed { kind, number, out, state })?;
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
                self.state.unrecognized = seen & !1 == 0;
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

/// Reads an entry of a list.
struct EntrySeed<'s, 'a> {
    kind: Kind,
    number: u32,
    out: &'s mut Vec<u8>,
    state: &'s mut State<'a>,
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Self { kind, number, out, state } = self;
        // An entry is written even when it is zero. Numbers are not packed; every protobuf parser reads both forms.
        json.deserialize_any(ValueVisitor { kind, label: Label::Optional, number, out, state }).map(|_| ())
    }
}

/// Writes a text, or an encoded message, as the field `number`.
pub(super) fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
