//! What becomes of an operation when its reply allows: which fields OpenIM replaces, and what harms it.

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Effect, Release, decode};
use crate::contract::Callback;
use crate::contract::{Field, Kind, Label, Message, RequestIs};

/// The fields of a reply that OpenIM takes over: those that the contract offers, and those that it only hands back.
pub(super) fn of(callback: &Callback) -> Vec<&'static Field> {
    let (request, response) = (callback.request, callback.response);
    let echoed = response.echo_only.iter().filter_map(|json| request.fields.iter().find(|field| field.json == *json));
    // The first field of a response is its denial.
    echoed.chain(response.fields.iter().skip(1)).collect()
}

/// Why OpenIM would not survive a change, or what it would not do because of it.
pub(super) struct Harm(pub(super) String);

/// The operation that OpenIM has asked about.
pub(super) struct Operation<'a> {
    callback: &'a Callback,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Operation<'a> {
    /// Reads the request. What is no object has no fields.
    pub(super) fn read(callback: &'a Callback, request: &'a str) -> Self {
        Self { callback, members: decode::members(request).unwrap_or_default() }
    }

    /// What OpenIM does with a field of the reply.
    pub(super) fn take(
        &self,
        field: &'static Field,
        value: Option<Value>,
        release: Release,
    ) -> Result<Option<Effect>, Harm> {
        let value = value.filter(|value| replaces(field, value));
        if let Some(value) = &value {
            self.survives(field, value, release)?;
        }
        // Some releases keep some of these; what is lost on one counts as lost on all.
        let always = field.rules.echo || self.callback.response.echo_only.contains(&field.json);
        let now = match &value {
            Some(value) => Some(value.clone()),
            None if always => self.nothing(field),
            None => return Ok(None),
        };
        Ok((now != self.own(field)).then_some(Effect { field: field.json, value }))
    }

    /// Whether OpenIM gets on with a value that it takes.
    fn survives(&self, field: &Field, value: &Value, release: Release) -> Result<(), Harm> {
        let rules = &field.rules;
        entries_survive(field, value)?;
        if rules.only_if_sent && self.raw(field.json).is_none() {
            return harm("OpenIM writes it through a pointer that is nil, because the request has no such field");
        }
        if let Some(condition) = rules.refused_when.as_ref().filter(|condition| self.is(condition)) {
            return harm(format!(
                "OpenIM breaks its own work where {} is one of {:?}",
                condition.field, condition.values
            ));
        }
        if let Some(condition) = rules.refused_unless.as_ref().filter(|condition| !self.is(condition)) {
            return harm(format!("OpenIM breaks where {} is not one of {:?}", condition.field, condition.values));
        }
        let object = |text: &str| {
            let json = serde_json::from_str::<&RawValue>(text).map(RawValue::get);
            json.is_ok_and(|json| json.starts_with('{') || json == "null")
        };
        if rules.json_object && release == Release::V3_8_4 && !value.as_str().is_some_and(object) {
            return harm("OpenIM fails with its error 1001 over a text that is no JSON object");
        }
        Ok(())
    }

    /// What the field is before the reply, read as the reply's field. `None` is null, and what no request shows.
    fn own(&self, field: &Field) -> Option<Value> {
        let sent = self.raw(field.json).and_then(|raw| decode::value(field, raw).ok());
        sent.or_else(|| self.nothing(field))
    }

    /// What the field is when nothing is decoded into it.
    fn nothing(&self, field: &Field) -> Option<Value> {
        match self.row(field.json)?.label {
            Label::Plain => Some(decode::zero(field.kind)),
            Label::Repeated => Some(Value::Array(Vec::new())),
            Label::Optional | Label::Map => None,
        }
    }

    /// Whether the request looks like this. OpenIM always sends what a condition asks about, so absent is 0.
    fn is(&self, condition: &RequestIs) -> bool {
        let number = self.raw(condition.field).map_or(Some(0), |raw| raw.parse().ok());
        number.is_some_and(|number| condition.values.contains(&number))
    }

    /// The name of a field of the reply on the server that has sent the request: its name in the request. A field
    /// that is not in the request has its alias if some other has one, because a server keeps to one style.
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

    /// The raw JSON of a field of the request, unless it is absent or null.
    fn raw(&self, json: &str) -> Option<&'a str> {
        let row = self.row(json)?;
        let named = |name: &str| [&row.json].into_iter().chain(row.aliases).any(|own| decode::is_same(own, name));
        let (_, raw) = self.members.iter().find(|(name, _)| named(name))?;
        Some(raw.get()).filter(|raw| *raw != "null")
    }

    fn row(&self, json: &str) -> Option<&'static Field> {
        self.callback.request.fields.iter().find(|row| row.json == json)
    }
}

/// Whether a value that is there takes the place of what OpenIM has. A list without entries counts as absent, except
/// one whose emptiness the contract allows: that one is behind a pointer.
fn replaces(field: &Field, value: &Value) -> bool {
    let empty = value.as_array().is_some_and(Vec::is_empty);
    let pointer = matches!(field.kind, Kind::Bare(_)) && !field.rules.non_empty;
    !empty || pointer
}

/// OpenIM looks into the entries of a list without asking whether they are there. The contract marks what an entry must
/// have; whether OpenIM crashes without it or stores the emptiness depends on the list.
fn entries_survive(field: &Field, value: &Value) -> Result<(), Harm> {
    let Some(message) = entries_of(field) else { return Ok(()) };
    for (index, entry) in value.as_array().into_iter().flatten().enumerate() {
        let Value::Object(entry) = entry else {
            return harm(format!("OpenIM crashes over entry {index}, which is null"));
        };
        let required = message.fields.iter().filter(|row| row.label == Label::Plain && row.rules.non_empty);
        for row in required {
            if entry.get(row.json).and_then(Value::as_str).is_none_or(str::is_empty) {
                return harm(format!("OpenIM breaks over entry {index}, which has no {}", row.json));
            }
        }
    }
    Ok(())
}

/// What the entries of a list are, if they are objects.
fn entries_of(field: &Field) -> Option<&'static Message> {
    match (field.kind, field.label) {
        (Kind::Bare(wrapper), _) => wrapper.fields.first().and_then(entries_of),
        (Kind::Message(message), Label::Repeated) => Some(message),
        _ => None,
    }
}

fn harm<T>(why: impl Into<String>) -> Result<T, Harm> {
    Err(Harm(why.into()))
}
