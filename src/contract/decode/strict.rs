//! JSON that no row describes: kept as it came, but never in two readings.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use super::{Malformed, malformed, reason};

/// What is said of a field that appears twice; its name is not ours to repeat.
pub(in crate::contract) const DUPLICATE_FIELD: &str = "a field that the contract does not know appears twice";

/// Refuses raw JSON that two parsers could read differently: a key twice, a NUL in a key, numbers or nesting past what
/// parsers agree on. The text has been parsed once, without a look at such things.
pub(in crate::contract) fn check(raw: &str) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_str(raw);
    // The position is one within this value; whoever asks knows where that stands.
    Strict.deserialize(&mut json).map(drop).map_err(|error| match reason(&error) {
        deep if deep.starts_with("recursion") => {
            "a field that the contract does not know is nested too deep".to_owned()
        }
        other => other,
    })
}

/// Refuses a key that ends early for a parser written in C.
pub(in crate::contract) fn check_key(name: &str) -> Result<(), &'static str> {
    if name.contains('\0') { Err("a field's name contains NUL") } else { Ok(()) }
}

/// Takes one JSON object and nothing after it.
pub fn check_object(body: &[u8]) -> Result<&str, Malformed> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let is_object = Strict.deserialize(&mut json).and_then(|is_object| json.end().map(|()| is_object));
    if !is_object.map_err(|error| malformed(&error))? {
        return Err(Malformed::new("the body must be an object"));
    }
    std::str::from_utf8(body).map_err(|_| Malformed::new("the body is not UTF-8"))
}

/// Returns true if a body, which [`check_object`] has taken, names this command as its own.
pub(crate) fn names_command(body: &str, command: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Named<'b> {
        #[serde(rename = "callbackCommand", borrow)]
        command: std::borrow::Cow<'b, str>,
    }
    serde_json::from_str::<Named<'_>>(body).is_ok_and(|named| named.command == command)
}

/// Reads any value; says whether it was an object.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element_seed(Self)?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = object.next_key_seed(Key)? {
            check_key(&key).map_err(A::Error::custom)?;
            if !seen.insert(key) {
                return Err(A::Error::custom(DUPLICATE_FIELD));
            }
            object.next_value_seed(Self)?;
        }
        Ok(true)
    }
}

/// Reads a key, which is borrowed unless it has an escape.
pub(in crate::contract) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Cow<'de, str>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(key.into())
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(key.to_owned().into())
    }
}
