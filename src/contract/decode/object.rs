//! The seeds that serde drives through a webhook's JSON: objects and their keys.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::field::{FieldSeed, ValueVisitor, put_bytes};
use super::names::Match;
use super::unknown::UnknownMembers;
use super::{Segment, State, path, strict};
use crate::contract::{Field, Kind, Label, Message};

/// Reads a message's JSON object.
pub(super) struct ObjectSeed<'s, 'a> {
    pub(super) message: &'static Message,
    pub(super) out: &'s mut Vec<u8>,
    pub(super) state: &'s mut State<'a>,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Self { message, out, state } = self;
        let kind = Kind::Message(message);
        json.deserialize_any(ValueVisitor { kind, label: Label::Plain, number: 0, out, state }).map(|_| ())
    }
}

/// Reads the fields of an object; `out` takes those of no group. Returns a bit for each field that came, null or not.
pub(super) fn read_fields<'de, A: MapAccess<'de>>(
    message: &'static Message,
    out: &mut Vec<u8>,
    state: &mut State<'_>,
    mut object: A,
) -> Result<u64, A::Error> {
    // Most of a body can be in one of its groups.
    let mut groups: Vec<_> = message.groups.iter().map(|_| Vec::with_capacity(out.capacity())).collect();
    // A bit a field; build.rs refuses messages of more than 64.
    let mut seen = 0_u64;
    let mut present = 0_u64;
    let mut near = 0;
    // The names of fields that are not the contract's own, by place, and the members that are no fields.
    let mut other_names: Vec<(usize, Cow<'static, str>)> = Vec::new();
    let mut unknown: Option<UnknownMembers<'de>> = None;
    while let Some(key) = object.next_key_seed(Key { message, near })? {
        let index = match key {
            Name::Own(index) => index,
            Name::Alias(index, alias) => {
                state.aliases.push(alias);
                other_names.push((index, alias.into()));
                index
            }
            Name::Folded(index, alias, name) => {
                state.aliases.extend(alias);
                other_names.push((index, name.into()));
                index
            }
            Name::Unknown(name) => {
                let raw: &RawValue = object.next_value()?;
                let (path, to) = (|| path(&state.path), &mut state.unknown);
                let taken = unknown.get_or_insert_default().take(name, raw.get(), path, to);
                taken.map_err(A::Error::custom)?;
                continue;
            }
        };
        near = index + 1;
        let field = &message.fields[index];
        state.path.push(Segment::Field(field.json));
        if seen & (1 << index) != 0 {
            return Err(twice(&path(&state.path), field, index, &other_names));
        }
        seen |= 1 << index;
        let out = match field.group {
            Some(group) => &mut groups[group],
            None => &mut *out,
        };
        if object.next_value_seed(FieldSeed { field, out, state })? {
            present |= 1 << index;
        }
        state.path.pop();
    }
    for (index, (group, bytes)) in message.groups.iter().zip(groups).enumerate() {
        let of_group = |field: usize| message.fields[field].group == Some(index) && present & (1 << field) != 0;
        if !group.optional || (0..message.fields.len()).any(of_group) {
            put_bytes(group.number, &bytes, out);
        }
    }
    Ok(seen)
}

/// Refuses a second value of a field, with both of its names where they differ.
fn twice<E: serde::de::Error>(path: &str, field: &Field, index: usize, other_names: &[(usize, Cow<'_, str>)]) -> E {
    let mut names = other_names.iter().filter(|(other, _)| *other == index).map(|(_, name)| &**name);
    match (names.next(), names.next()) {
        (Some(first), Some(second)) if first != second => {
            E::custom(format_args!("{path} appears twice, as {first} and as {second}"))
        }
        (Some(other), None) => E::custom(format_args!("{path} appears twice, as {} and as {other}", field.json)),
        _ => E::custom(format_args!("{path} appears twice")),
    }
}

/// A name in an object.
enum Name<'de> {
    /// The contract's own name of the field at this place.
    Own(usize),
    /// An alias of it.
    Alias(usize, &'static str),
    /// Its name, or an alias, in other case.
    Folded(usize, Option<&'static str>, String),
    /// The name of no field.
    Unknown(Cow<'de, str>),
}

struct Key {
    message: &'static Message,
    near: usize,
}

impl Key {
    fn name<'de, E: serde::de::Error>(self, name: Cow<'de, str>) -> Result<Name<'de>, E> {
        Ok(match self.message.find(&name, self.near) {
            Some(Match { index, alias, folded: true }) => Name::Folded(index, alias, name.into_owned()),
            Some(Match { index, alias: Some(alias), .. }) => Name::Alias(index, alias),
            Some(Match { index, .. }) => Name::Own(index),
            None => {
                strict::check_key(&name).map_err(E::custom)?;
                Name::Unknown(name)
            }
        })
    }
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Name<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Name<'de>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'de str) -> Result<Name<'de>, E> {
        self.name(name.into())
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name<'de>, E> {
        self.name(name.to_owned().into())
    }
}
