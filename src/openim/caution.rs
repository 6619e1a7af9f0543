//! Changes that OpenIM takes, and that a policy has hardly meant.

use std::collections::HashMap;

use serde_json::Value;

use super::changes::{self, Operation, message_of, replaces};
use super::content::{self, ContentType};
use super::decode::{self, Row, is_zero};
use crate::contract::{Callback, Field, Label, Message};

/// A change that is hardly meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caution {
    /// The kind.
    pub kind: CautionKind,
    /// The contract's JSON name of the changed field.
    pub field: &'static str,
    /// A sentence with the names of fields, and no values.
    pub what: String,
}

/// The kinds of cautions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub(crate) enum CautionKind {
    /// The names in a message's content are not those of its content type.
    #[strum(serialize = "content of another type")]
    Content,
    /// A value is overwritten with an empty one.
    #[strum(serialize = "a change to an empty value")]
    Emptied,
    /// A list or an object lacks values that the request has.
    #[strum(serialize = "a change that drops values")]
    Dropped,
}

/// Returns the cautions about a reply that allows.
pub(crate) fn cautions(callback: &Callback, request: &[u8], reply: &[u8]) -> Vec<Caution> {
    let changes = changes::of(callback);
    let request = decode::text(request);
    let operation = Operation::read(callback, &request);
    let rows: Vec<Row<'_>> =
        changes.iter().map(|field| (operation.name(field.json), field.label, field.kind)).collect();
    let Ok(values) = decode::reply(&rows, reply) else { return Vec::new() };
    let reply = Changed { operation, fields: changes.into_iter().zip(values).collect() };
    let mut cautions = Vec::new();
    for (field, value) in &reply.fields {
        let changed = value.as_ref().filter(|value| replaces(field, value));
        let content = reply.content(field).map(|what| (CautionKind::Content, what));
        let emptied = changed.and_then(|value| reply.emptied(field, value)).map(|what| (CautionKind::Emptied, what));
        let dropped = changed.and_then(|value| reply.dropped(field, value)).map(|what| (CautionKind::Dropped, what));
        let found = [content, emptied, dropped].into_iter().flatten();
        cautions.extend(found.map(|(kind, what)| Caution { kind, field: field.json, what }));
    }
    cautions
}

/// An operation, and the values of a reply to it.
struct Changed<'a> {
    operation: Operation<'a>,
    fields: Vec<(&'static Field, Option<Value>)>,
}

impl Changed<'_> {
    /// Compares a message's content with its content type, if the reply changes either.
    fn content(&self, field: &Field) -> Option<String> {
        let value = |json: &str| self.fields.iter().find(|(other, _)| other.json == json)?.1.as_ref();
        let own = |json: &str| self.operation.own_by_name(json);
        let kind_field = field.content_of?;
        let (new, new_kind) = (value(field.json), value(kind_field));
        let kind = new_kind.cloned().or_else(|| own(kind_field))?;
        let before = own(field.json).and_then(|own| content::names(own.as_str()?));
        let names = match new {
            Some(new) => content::names(new.as_str()?)?,
            None => before.clone().filter(|_| new_kind.is_some())?,
        };
        // The sender's own content can be odd already.
        if new_kind.is_none() && before.as_ref() == Some(&names) {
            return None;
        }
        let what = ContentType::by_number(kind.as_i64()?)?.check(&names).err()?;
        Some(format!("{} {what}", field.json))
    }

    /// Finds an empty value in the place of one that the request has, does not show, or may mean as "not changed".
    fn emptied(&self, field: &'static Field, value: &Value) -> Option<String> {
        let json = field.json;
        // False is a value like any other.
        if value.is_boolean() || !is_zero(value) {
            return None;
        }
        match self.operation.own_by_name(json) {
            Some(own) if is_zero(&own) => {
                let what = format!("{json} is set to {value}, where the request may mean \"not changed\"");
                field.rules.empty_is_unset.then_some(what)
            }
            // So is 0.
            Some(_) => (!value.is_number()).then(|| format!("{json} becomes empty, though the request has a value")),
            // A list that may be empty means that.
            None if value.is_array() => None,
            None => {
                let empty = if value.is_number() { "0" } else { "empty" };
                let before = if self.operation.row(json).is_some() {
                    "where the request leaves it as it is"
                } else {
                    "whatever OpenIM has"
                };
                Some(format!("{json} becomes {empty}, {before}"))
            }
        }
    }

    /// Finds the first entry of a list, or the object, that leaves out values which the request has.
    fn dropped(&self, field: &'static Field, value: &Value) -> Option<String> {
        let (message, is_list) = message_of(field)?;
        let own = self.operation.own_by_name(field.json);
        if !is_list {
            let own = |json: &str| self.operation.own_by_name(json);
            return lost(message, value, own).map(|names| format!("{} loses {names}", field.json));
        }
        // The entries have a required text in common: an ID.
        let id = message.fields.iter().find(|inner| inner.label == Label::Plain && inner.rules.non_empty)?;
        let before = own.as_ref().and_then(Value::as_array)?.iter();
        let before: HashMap<_, _> = before.filter_map(|own| Some((own.get(id.json)?.as_str()?, own))).collect();
        let entries = value.as_array()?.iter().enumerate();
        let mut lost = entries.filter_map(|(index, entry)| {
            let own = before.get(entry.get(id.json)?.as_str()?)?;
            let names = lost(message, entry, |json: &str| own.get(json).cloned())?;
            Some(format!("{}[{index}] loses {names}", field.json))
        });
        lost.next()
    }
}

/// Returns the names of the plain fields that an object leaves empty, though they had a value.
fn lost(message: &Message, object: &Value, own: impl Fn(&str) -> Option<Value>) -> Option<String> {
    let has = |value: Option<&Value>| value.is_some_and(|value| !is_zero(value));
    let is_lost =
        |inner: &&Field| inner.label == Label::Plain && !has(object.get(inner.json)) && has(own(inner.json).as_ref());
    let names: Vec<_> = message.fields.iter().filter(is_lost).map(|inner| inner.json).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
