//! Checks JSON that the contract does not describe: it is kept as it came, so every parser must read it alike.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use super::names::Key;
use super::{Malformed, malformed, reason};

/// The error of a field that appears twice. It repeats no name, as the sender chooses that.
pub(in crate::contract) const DUPLICATE_FIELD: &str = "a field that the contract does not know appears twice";

/// Refuses raw JSON that two parsers could read differently: a key twice, a NUL in a key, numbers or nesting past what
/// parsers agree on. The text is JSON already; reading it as such does not check these.
pub(in crate::contract) fn check(raw: &str) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_str(raw);
    // Without the position, which counts from the beginning of this value.
    Strict.deserialize(&mut json).map(drop).map_err(|error| match reason(&error) {
        deep if deep.starts_with("recursion") => {
            "a field that the contract does not know is nested too deep".to_owned()
        }
        other => other,
    })
}

/// Refuses a key that contains NUL, where parsers in C end it.
pub(in crate::contract) fn check_key(name: &str) -> Result<(), &'static str> {
    if name.contains('\0') { Err("a field's name contains NUL") } else { Ok(()) }
}

/// Checks that a body is one JSON object, which every parser reads alike, and nothing after it; returns its text.
pub fn check_object(body: &[u8]) -> Result<&str, Malformed> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let is_object = Strict.deserialize(&mut json).and_then(|is_object| json.end().map(|()| is_object));
    if !is_object.map_err(|error| malformed(&error))? {
        return Err(Malformed("the body must be an object".to_owned()));
    }
    std::str::from_utf8(body).map_err(|_| Malformed("the body is not UTF-8".to_owned()))
}

/// Returns true if `command` is the `callbackCommand` of a body that [`check_object`] has returned.
pub(crate) fn names_command(body: &str, command: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Body<'b> {
        #[serde(rename = "callbackCommand", borrow)]
        command: Key<'b>,
    }
    serde_json::from_str::<Body<'_>>(body).is_ok_and(|body| body.command.0 == command)
}

/// Reads any value; returns true if it is an object.
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
        while let Some(Key(key)) = object.next_key()? {
            check_key(&key).map_err(A::Error::custom)?;
            if !seen.insert(key) {
                return Err(A::Error::custom(DUPLICATE_FIELD));
            }
            object.next_value_seed(Self)?;
        }
        Ok(true)
    }
}
