//! Whether a change may leave: its own rules, and those that look at the request it belongs to.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{Field, Label, Message, Record, RequestIs, Value, strict};

/// A change that OpenIM would misread, or that would harm it.
#[derive(Debug, thiserror::Error)]
#[error("{field} {rule}")]
pub struct Broken {
    field: &'static str,
    rule: String,
}

/// The fields at the top of a request's JSON, raw.
#[derive(Debug)]
pub struct RequestFields<'a> {
    message: &'static Message,
    raw: HashMap<String, &'a RawValue>,
}

impl<'a> RequestFields<'a> {
    /// Reads a body that has been transcoded before. What cannot be read has no fields.
    pub fn read(message: &'static Message, body: &'a [u8]) -> Self {
        Self { message, raw: serde_json::from_slice(body).unwrap_or_default() }
    }

    /// The raw JSON of a field, unless it is missing or null.
    pub fn raw(&self, json: &str) -> Option<&'a str> {
        let field = self.message.fields.iter().find(|field| field.json == json)?;
        let mut names = field.aliases.iter().chain([&field.json]);
        let raw = names.find_map(|name| self.raw.get(*name))?.get();
        (raw != "null").then_some(raw)
    }

    /// Whether the request looks like this. A field that is missing counts as zero.
    pub(crate) fn is(&self, condition: &RequestIs) -> bool {
        let value = self.raw(condition.field).map_or(Some(0), |raw| raw.parse().ok());
        value.is_some_and(|value: i32| condition.values.contains(&value))
    }
}

impl Record<'_> {
    /// Checks every field that is there, and those that must be.
    pub fn check(&self, request: &RequestFields<'_>) -> Result<(), Broken> {
        for (field, value) in self.message.fields.iter().zip(&self.values) {
            let must_be = field.rules.non_empty && field.label == Label::Plain;
            match value {
                Some(value) => check_field(field, value, request)?,
                None if must_be => return Err(broken(field, "must be given")),
                None => {}
            }
        }
        Ok(())
    }
}

fn check_field(field: &'static Field, value: &Value<'_>, request: &RequestFields<'_>) -> Result<(), Broken> {
    let rules = &field.rules;
    if rules.non_empty && is_empty(value) {
        return Err(broken(field, "must not be empty"));
    }
    if rules.only_if_sent && request.raw(field.json).is_none() {
        return Err(broken(field, "may be given only where the request has it"));
    }
    match value {
        Value::Text(text) if rules.json_object && !is_object(text) => {
            return Err(broken(field, "must be one JSON object"));
        }
        Value::Int(number)
            if !rules.one_of.is_empty() && !rules.one_of.iter().any(|one| i64::from(*one) == *number) =>
        {
            return Err(broken(field, format!("must be one of {:?}", rules.one_of)));
        }
        _ => {}
    }
    if let Some(condition) = &rules.refused_when
        && request.is(condition)
    {
        return Err(broken(field, format!("is refused where {} is one of {:?}", condition.field, condition.values)));
    }
    if let Some(condition) = &rules.refused_unless
        && !request.is(condition)
    {
        return Err(broken(field, format!("is refused unless {} is one of {:?}", condition.field, condition.values)));
    }
    match value {
        Value::Record(record) => record.check(request),
        Value::List(entries) => entries.iter().try_for_each(|entry| match entry {
            Value::Record(record) => record.check(request),
            _ => Ok(()),
        }),
        _ => Ok(()),
    }
}

/// Whether every parser reads the text as the same object.
fn is_object(text: &str) -> bool {
    strict::check_object(text.as_bytes()).is_ok()
}

fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => text.is_empty(),
        Value::List(entries) => entries.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Record(wrapper) if matches!(wrapper.values.first(), Some(Some(_))) => {
            wrapper.values.iter().flatten().all(is_empty)
        }
        Value::Record(_) => true,
        Value::Bool(_) | Value::Int(_) => false,
    }
}

fn broken(field: &Field, rule: impl Into<String>) -> Broken {
    Broken { field: field.json, rule: rule.into() }
}

/// Whether a reply of this message has to look at its request even when the policy changes nothing.
pub fn echoes(response: &Message) -> bool {
    !response.echo_only.is_empty() || response.fields.iter().any(|field| field.rules.echo)
}
