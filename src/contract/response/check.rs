//! Checks the changes of a response by the contract's rules, some of which look at the request.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{DecodedMessage, Value};
use crate::contract::decode::names::{Key, Match};
use crate::contract::decode::strict;
use crate::contract::{Field, Label, Message, RequestIs};

/// The error of a change that OpenIM would misread, or that would harm it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RuleViolation(String);

/// The top-level fields of a request's JSON, raw, and the names that the sender uses for them.
#[derive(Debug)]
pub struct RequestFields<'a> {
    message: &'static Message,
    /// By the index of the field. Empty if the body could not be read.
    sent: Vec<Option<Sent<'a>>>,
    /// True if any field came under an alias.
    has_alias: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sent<'a> {
    alias: Option<&'static str>,
    raw: &'a RawValue,
}

impl<'a> RequestFields<'a> {
    /// Reads a body that has been transcoded before. A body that cannot be read has no fields.
    pub fn read(message: &'static Message, body: &'a [u8]) -> Self {
        let none = || Self { message, sent: Vec::new(), has_alias: false };
        serde_json::Deserializer::from_slice(body).deserialize_map(none()).unwrap_or_else(|_| none())
    }

    /// The raw JSON of a field, unless it is missing or null.
    pub fn raw(&self, json: &str) -> Option<&'a str> {
        let raw = self.sent_field(self.index_of(json)?)?.raw.get();
        (raw != "null").then_some(raw)
    }

    /// The name under which the sender reads a field in the reply: the one that the request uses. If the request does not
    /// have the field, it is the field's first alias if the request uses an alias for another field.
    pub fn name_in_reply(&self, json: &'static str) -> &'static str {
        let Some(index) = self.index_of(json) else { return json };
        match self.sent_field(index) {
            Some(sent) => sent.alias.unwrap_or(json),
            None if self.has_alias => self.message.fields[index].aliases.first().copied().unwrap_or(json),
            None => json,
        }
    }

    fn index_of(&self, json: &str) -> Option<usize> {
        self.message.fields.iter().position(|field| field.json == json)
    }

    fn sent_field(&self, index: usize) -> Option<Sent<'a>> {
        self.sent.get(index).copied().flatten()
    }

    /// Returns true if the condition holds. A field that is missing counts as zero.
    pub(crate) fn is(&self, condition: &RequestIs) -> bool {
        let value = self.raw(condition.field).map_or(Some(0), |raw| raw.parse().ok());
        value.is_some_and(|value: i32| condition.values.contains(&value))
    }
}

impl<'de> Visitor<'de> for RequestFields<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Self, A::Error> {
        self.sent.resize(self.message.fields.len(), None);
        let mut near = 0;
        while let Some(Key(name)) = object.next_key()? {
            match self.message.find(&name, near) {
                Some(Match { index, alias, .. }) => {
                    near = index + 1;
                    self.has_alias |= alias.is_some();
                    self.sent[index] = Some(Sent { alias, raw: object.next_value()? });
                }
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(self)
    }
}

impl DecodedMessage<'_> {
    /// Checks every field that is present, and that required ones are.
    pub fn check(&self, request: &RequestFields<'_>) -> Result<(), RuleViolation> {
        for (field, value) in self.message.fields.iter().zip(&self.values) {
            let is_required = field.rules.non_empty && field.label == Label::Plain;
            match value {
                Some(value) => check_field(field, value, request)?,
                None if is_required => return Err(violation(field, "must be given")),
                None => {}
            }
        }
        Ok(())
    }
}

fn check_field(field: &'static Field, value: &Value<'_>, request: &RequestFields<'_>) -> Result<(), RuleViolation> {
    let rules = &field.rules;
    if rules.non_empty && is_empty(value) {
        return Err(violation(field, "must not be empty"));
    }
    if rules.only_if_sent && request.raw(field.json).is_none() {
        return Err(violation(field, "may be given only where the request has it"));
    }
    match value {
        Value::Text(text) if rules.json_object && strict::check_object(text.as_bytes()).is_err() => {
            return Err(violation(field, "must be one JSON object"));
        }
        Value::Int(number)
            if !rules.one_of.is_empty() && !rules.one_of.iter().any(|one| i64::from(*one) == *number) =>
        {
            return Err(violation(field, format!("must be one of {:?}", rules.one_of)));
        }
        _ => {}
    }
    for (condition, refused_if, word) in
        [(&rules.refused_when, true, "where"), (&rules.refused_unless, false, "unless")]
    {
        if let Some(RequestIs { field: other, values }) = condition.as_ref().filter(|is| request.is(is) == refused_if) {
            return Err(violation(field, format!("is refused {word} {other} is one of {values:?}")));
        }
    }
    match value {
        Value::Message(record) => record.check(request),
        Value::List(entries) => entries.iter().try_for_each(|entry| match entry {
            Value::Message(record) => record.check(request),
            _ => Ok(()),
        }),
        _ => Ok(()),
    }
}

fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => text.is_empty(),
        Value::List(entries) => entries.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Message(wrapper) if matches!(wrapper.values.first(), Some(Some(_))) => {
            wrapper.values.iter().flatten().all(is_empty)
        }
        Value::Message(_) => true,
        Value::Bool(_) | Value::Int(_) => false,
    }
}

fn violation(field: &Field, rule: impl fmt::Display) -> RuleViolation {
    RuleViolation(format!("{} {rule}", field.json))
}
