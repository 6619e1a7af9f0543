//! Decodes the members of a JSON object, in any order, to protobuf fields. The fields of a flattened group are collected and
//! written as one submessage.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::de::{Error as _, MapAccess};
use serde_json::value::RawValue;

use super::field::{ValueReader, put_bytes};
use super::names::{Key, Match};
use super::{Segment, State, path, strict};
use crate::contract::{Field, Message};

/// Decodes the fields of an object. Fields outside groups are appended to `out` at once, groups at the end. Returns a bit mask
/// of the fields that occurred, null included.
pub(super) fn read_fields<'de, A: MapAccess<'de>>(
    message: &'static Message,
    out: &mut Vec<u8>,
    state: &mut State<'_>,
    mut object: A,
) -> Result<u64, A::Error> {
    // A group can hold most of the body, so its buffer is as large as `out`.
    let mut groups: Vec<_> = message.groups.iter().map(|_| Vec::with_capacity(out.capacity())).collect();
    // One bit per field; build.rs refuses messages with more than 64.
    let mut seen = 0_u64;
    // The fields among them that are not null.
    let mut present = 0_u64;
    // The index expected next: OpenIM writes fields in order.
    let mut expected = 0;
    // Aliases and names in another case, with the index of their field, for the error message.
    let mut other_names: Vec<(usize, Cow<'de, str>)> = Vec::new();
    // The names of the members that the contract does not know.
    let mut unknown: Option<HashSet<Cow<'de, str>>> = None;
    while let Some(Key(name)) = object.next_key()? {
        let Some(Match { index, alias, folded }) = message.find(&name, expected) else {
            strict::check_key(&name).map_err(A::Error::custom)?;
            let raw: &RawValue = object.next_value()?;
            strict::check(raw.get()).map_err(A::Error::custom)?;
            state.put_unknown(&name, raw.get());
            if !unknown.get_or_insert_default().insert(name) {
                return Err(A::Error::custom(strict::DUPLICATE_FIELD));
            }
            continue;
        };
        state.drift.aliases.extend(alias);
        if folded || alias.is_some() {
            other_names.push((index, name));
        }
        expected = index + 1;
        let field = &message.fields[index];
        state.path.push(Segment::Field(field.json));
        if seen & (1 << index) != 0 {
            return Err(duplicate(&path(&state.path), field, index, &other_names));
        }
        seen |= 1 << index;
        let out = match field.group {
            Some(group) => &mut groups[group],
            None => &mut *out,
        };
        let Field { kind, label, number, .. } = *field;
        if object.next_value_seed(ValueReader { kind, label, number, out, state })? {
            present |= 1 << index;
        }
        state.path.pop();
    }
    // A plain group is always written, an optional one only if one of its fields is there and not null.
    for (index, (group, bytes)) in message.groups.iter().zip(groups).enumerate() {
        let of_group = |field: usize| message.fields[field].group == Some(index) && present & (1 << field) != 0;
        if !group.optional || (0..message.fields.len()).any(of_group) {
            put_bytes(group.number, &bytes, out);
        }
    }
    Ok(seen)
}

/// Returns the error for a field that occurs twice. It has both names if they differ.
fn duplicate<E: serde::de::Error>(path: &str, field: &Field, index: usize, other_names: &[(usize, Cow<'_, str>)]) -> E {
    let mut names = other_names.iter().filter(|(other, _)| *other == index).map(|(_, name)| &**name);
    match (names.next(), names.next()) {
        (Some(first), Some(second)) if first != second => {
            E::custom(format_args!("{path} appears twice, as {first} and as {second}"))
        }
        (Some(other), None) => E::custom(format_args!("{path} appears twice, as {} and as {other}", field.json)),
        _ => E::custom(format_args!("{path} appears twice")),
    }
}
