//! The seeds that serde drives through a webhook's JSON: objects and their keys.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field::{FieldSeed, ValueVisitor, put_bytes};
use super::request::{State, Step};
use super::{Kind, Label, Message, strict};

/// Reads a message's JSON object.
pub(super) struct ObjectSeed<'s, 'a, 'de> {
    pub(super) message: &'static Message,
    pub(super) out: &'s mut Vec<u8>,
    pub(super) state: &'s mut State<'a, 'de>,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Self { message, out, state } = self;
        let kind = Kind::Message(message);
        json.deserialize_any(ValueVisitor { kind, label: Label::Plain, number: 0, out, state }).map(|_| ())
    }
}

/// Reads the fields of an object; `out` takes those of no group.
pub(super) fn read_fields<'de, A: MapAccess<'de>>(
    message: &'static Message,
    out: &mut Vec<u8>,
    state: &mut State<'_, 'de>,
    mut object: A,
) -> Result<(), A::Error> {
    // Most of a body can be in one of its groups.
    let mut groups: Vec<_> = message.groups.iter().map(|_| Vec::with_capacity(out.capacity())).collect();
    // A bit a field; build.rs refuses messages of more than 64.
    let mut seen = 0_u64;
    let mut present = 0_u64;
    let mut near = 0;
    while let Some(key) = object.next_key_seed(Key { message, near })? {
        let place = match key {
            Name::Known(place) => place,
            Name::Older(place, alias) => {
                state.older.push(alias);
                place
            }
            Name::Unknown(name) => {
                let raw: &RawValue = object.next_value()?;
                strict::check(raw.get()).map_err(A::Error::custom)?;
                if state.unknown.insert(state.path_to(&name), raw.get()).is_some() {
                    return Err(A::Error::custom(strict::TWICE));
                }
                continue;
            }
        };
        near = place + 1;
        let field = &message.fields[place];
        state.path.push(Step::Field(field.json));
        if seen & (1 << place) != 0 {
            return Err(A::Error::custom(format_args!("{} appears twice", state.path())));
        }
        seen |= 1 << place;
        let out = match field.group {
            Some(group) => &mut groups[group],
            None => &mut *out,
        };
        if object.next_value_seed(FieldSeed { field, out, state })? {
            present |= 1 << place;
        }
        state.path.pop();
    }
    for (index, (group, bytes)) in message.groups.iter().zip(groups).enumerate() {
        let of_group = |place: usize| message.fields[place].group == Some(index) && present & (1 << place) != 0;
        if !group.optional || (0..message.fields.len()).any(of_group) {
            put_bytes(group.number, &bytes, out);
        }
    }
    Ok(())
}

/// A key of an object: the place of its field, with the name that it has there if that is an older one, or its name.
enum Name {
    Known(usize),
    Older(usize, &'static str),
    Unknown(String),
}

struct Key {
    message: &'static Message,
    near: usize,
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Name;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Name, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
        match self.message.position(name, self.near) {
            Some(place) => {
                let alias = self.message.fields[place].aliases.iter().find(|alias| **alias == name);
                Ok(alias.map_or(Name::Known(place), |alias| Name::Older(place, alias)))
            }
            None => strict::check_key(name).map(|()| Name::Unknown(name.to_owned())).map_err(E::custom),
        }
    }
}
