//! The effect of an allow on the operation: the fields that OpenIM replaces, and the values that harm it.

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Effect, Release, decode};
use crate::contract::{Callback, Field, Kind, Label, Message, RequestIs};

/// Returns the fields of a reply that OpenIM uses: those that a policy can change, and those that hookgate echoes.
pub(super) fn of(callback: &Callback) -> Vec<&'static Field> {
    let (request, response) = (callback.request, callback.response);
    let echoed = response.echo_only.iter().filter_map(|json| request.fields.iter().find(|field| field.json == *json));
    // The first field of a response message is the denial.
    echoed.chain(response.fields.iter().skip(1)).collect()
}

/// The operation that a request is about.
pub(super) struct Operation<'a> {
    callback: &'a Callback,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Operation<'a> {
    /// Reads the request, which has no fields if it is not an object.
    pub(super) fn read(callback: &'a Callback, request: &'a str) -> Self {
        Self { callback, members: decode::members(request).unwrap_or_default() }
    }

    /// Applies a field of the reply. Returns the effect, if there is one; the error is the damage that the change does.
    pub(super) fn take(
        &self,
        field: &'static Field,
        value: Option<Value>,
        release: Release,
    ) -> Result<Option<Effect>, String> {
        let value = value.filter(|value| replaces(field, value));
        if let Some(value) = &value {
            self.survives(field, value, release)?;
        }
        // Some releases keep the request's value of an absent field; one that loses it counts for all.
        let always = field.rules.echo || self.callback.response.echo_only.contains(&field.json);
        let now = match &value {
            Some(value) => Some(value.clone()),
            None if always => self.row(field.json).and_then(nothing),
            None => return Ok(None),
        };
        let own = self.own(field);
        let overwrites = field.rules.empty_is_unset && value.as_ref().is_some_and(decode::is_zero);
        let changes = overwrites || now != own;
        let instead_of = own.filter(|own| !decode::is_zero(own));
        Ok(changes.then_some(Effect { field: field.json, value, instead_of }))
    }

    /// Checks that OpenIM can work with a value.
    fn survives(&self, field: &Field, value: &Value, release: Release) -> Result<(), String> {
        let rules = &field.rules;
        entries_survive(field, value)?;
        if rules.only_if_sent && self.raw(field.json).is_none() {
            return Err(
                "OpenIM writes it through a pointer that is nil, because the request has no such field".to_owned()
            );
        }
        if let Some(condition) = rules.refused_when.as_ref().filter(|condition| self.is(condition)) {
            return Err(format!(
                "OpenIM breaks its own work where {} is one of {:?}",
                condition.field, condition.values
            ));
        }
        if let Some(condition) = rules.refused_unless.as_ref().filter(|condition| !self.is(condition)) {
            return Err(format!("OpenIM breaks where {} is not one of {:?}", condition.field, condition.values));
        }
        let object = |text: &str| {
            let json = serde_json::from_str::<&RawValue>(text).map(RawValue::get);
            json.is_ok_and(|json| json.starts_with('{') || json == "null")
        };
        if rules.json_object && release == Release::V3_8_4 && !value.as_str().is_some_and(object) {
            return Err("OpenIM fails with its error 1001 over a text that is no JSON object".to_owned());
        }
        Ok(())
    }

    /// Returns the field's value in the request, decoded as the reply's field. `None` is null, or not in any request.
    fn own(&self, field: &Field) -> Option<Value> {
        let sent = self.raw(field.json).and_then(|raw| decode::value(field.label, field.kind, raw).ok());
        sent.or_else(|| self.row(field.json).and_then(nothing))
    }

    /// Returns the value of a field of the request, as Go decodes it. `None` is null, or not in any request.
    pub(super) fn own_by_name(&self, json: &str) -> Option<Value> {
        self.own(self.row(json)?)
    }

    /// Returns true if the request meets a condition. OpenIM sends the field always, so an absent one is 0.
    fn is(&self, condition: &RequestIs) -> bool {
        let number = self.raw(condition.field).map_or(Some(0), |raw| raw.parse().ok());
        number.is_some_and(|number| condition.values.contains(&number))
    }

    /// Returns the name that the sender of the request expects for a field of the reply: the same as in the request. A field
    /// that is not in the request has its alias if another field came under an alias, since a server has one style.
    pub(super) fn name(&self, json: &'static str) -> &'static str {
        let Some(row) = self.row(json) else { return json };
        let sent = |name: &str| self.members.iter().any(|(other, _)| decode::is_same(name, other));
        let is_alias = |row: &Field| !sent(row.json) && row.aliases.iter().any(|alias| sent(alias));
        match row.aliases.iter().find(|alias| sent(alias)) {
            _ if sent(json) => json,
            Some(alias) => alias,
            None if self.callback.request.fields.iter().any(is_alias) => row.aliases.first().unwrap_or(&json),
            None => json,
        }
    }

    /// Returns the JSON of a field of the request, unless it is absent or null.
    fn raw(&self, json: &str) -> Option<&'a str> {
        let row = self.row(json)?;
        let named = |name: &str| [&row.json].into_iter().chain(row.aliases).any(|own| decode::is_same(own, name));
        let (_, raw) = self.members.iter().find(|(name, _)| named(name))?;
        Some(raw.get()).filter(|raw| *raw != "null")
    }

    /// Returns the row of a field of the request, if requests have it.
    pub(super) fn row(&self, json: &str) -> Option<&'static Field> {
        self.callback.request.fields.iter().find(|row| row.json == json)
    }
}

/// Returns the value in Go of a request's field into which nothing is decoded.
fn nothing(row: &Field) -> Option<Value> {
    match row.label {
        Label::Plain => Some(decode::zero(row.kind)),
        Label::Repeated => Some(Value::Array(Vec::new())),
        Label::Optional | Label::Map => None,
    }
}

/// Returns true if a value replaces that of OpenIM. An empty list counts as absent, unless the contract allows an empty one:
/// that is a pointer in Go.
pub(super) fn replaces(field: &Field, value: &Value) -> bool {
    let empty = value.as_array().is_some_and(Vec::is_empty);
    let pointer = matches!(field.kind, Kind::Bare(_)) && !field.rules.non_empty;
    !empty || pointer
}

/// Checks the entries of a list, which OpenIM uses without a nil check. The contract marks the required fields of an entry;
/// without one OpenIM crashes or stores an empty value, depending on the list.
fn entries_survive(field: &Field, value: &Value) -> Result<(), String> {
    let Some((message, true)) = message_of(field) else { return Ok(()) };
    for (index, entry) in value.as_array().into_iter().flatten().enumerate() {
        let Value::Object(entry) = entry else {
            return Err(format!("OpenIM crashes over entry {index}, which is null"));
        };
        let required = message.fields.iter().filter(|row| row.label == Label::Plain && row.rules.non_empty);
        for row in required {
            if entry.get(row.json).and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(format!("OpenIM breaks over entry {index}, which has no {}", row.json));
            }
        }
    }
    Ok(())
}

/// Returns the message of a field that is an object, or a list of objects (true).
pub(super) fn message_of(field: &Field) -> Option<(&'static Message, bool)> {
    match (field.kind, field.label) {
        (Kind::Bare(wrapper), _) => wrapper.fields.first().and_then(message_of),
        (Kind::Message(message), label) => Some((message, label == Label::Repeated)),
        _ => None,
    }
}
