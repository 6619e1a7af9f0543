//! Changes of single fields of a webhook's JSON. Everything else stays byte for byte.

use std::str::FromStr;

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::config::nearest;
use crate::contract::{Field, Kind, Label, Message};

/// A field and its new value: `message.content=hello`.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    path: String,
    value: String,
}

type Raw = Box<RawValue>;

impl FromStr for Set {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((path, value)) if !path.is_empty() => Ok(Self::new(path, value)),
            _ => Err(format!("{text:?} is not of the form field=value")),
        }
    }
}

impl Set {
    /// Makes the change of a field to a value.
    pub(crate) fn new(path: &str, value: &str) -> Self {
        Self { path: path.to_owned(), value: value.to_owned() }
    }

    /// Returns the body with this field changed. The path is of names of the contract or of OpenIM's JSON.
    ///
    /// # Errors
    ///
    /// If the contract has no such field, or the field does not take the value.
    pub(crate) fn apply(&self, message: &'static Message, body: &[u8]) -> Result<Bytes, String> {
        let body = str::from_utf8(body).map_err(|_| "the body is not UTF-8")?;
        let path: Vec<&str> = self.path.split('.').collect();
        Ok(self.in_object(message, body, &path)?.get().to_owned().into())
    }

    fn in_object(&self, message: &'static Message, json: &str, path: &[&str]) -> Result<Raw, String> {
        let (field, rest) = find(message, path).ok_or_else(|| self.unknown(message))?;
        let mut object: IndexMap<String, Raw> = serde_json::from_str(json).map_err(unreadable)?;
        let names = [&field.json].into_iter().chain(field.aliases);
        let name = names.copied().find(|name| object.contains_key(*name)).unwrap_or(field.json);
        let value = self.changed(message, (field.label, field.kind), object.get(name), rest)?;
        object.insert(name.to_owned(), value);
        to_raw_value(&object).map_err(unreadable)
    }

    /// Returns the new JSON of a field, or of an entry of its list. `message` has the field.
    fn changed(
        &self,
        message: &'static Message,
        kind: (Label, Kind),
        before: Option<&Raw>,
        path: &[&str],
    ) -> Result<Raw, String> {
        let before = before.map(|raw| raw.get()).filter(|json| *json != "null");
        match (path, kind) {
            ([], (Label::Repeated, _)) => self.json("a JSON list", '['),
            ([], (Label::Map, _)) => self.json("a JSON object", '{'),
            ([], (_, kind)) => self.value(kind),
            ([index, rest @ ..], (Label::Repeated, kind)) => {
                let mut list: Vec<Raw> = serde_json::from_str(before.unwrap_or("[]")).map_err(unreadable)?;
                let index = index.parse().ok().filter(|index| *index <= list.len());
                let index: usize = index
                    .ok_or_else(|| format!("{}: the list has {} entries, numbered from 0", self.path, list.len()))?;
                let entry = self.changed(message, (Label::Plain, kind), list.get(index), rest)?;
                list.splice(index..list.len().min(index + 1), [entry]);
                to_raw_value(&list).map_err(unreadable)
            }
            (path, (Label::Plain | Label::Optional, Kind::Message(inner))) => {
                self.in_object(inner, before.unwrap_or("{}"), path)
            }
            _ => Err(self.unknown(message)),
        }
    }

    /// Returns the value as JSON of a kind.
    fn value(&self, kind: Kind) -> Result<Raw, String> {
        let value = &*self.value;
        let (json, expected) = match kind {
            Kind::String => (Some(value.into()), "a text"),
            Kind::Message(_) | Kind::Bare(_) => return self.json("a JSON object", '{'),
            _ if value == "null" => (Some(Value::Null), "null"),
            Kind::Bool => (parse::<bool>(value), "true or false"),
            Kind::Int32 => (parse::<i32>(value), "a whole number of 32 bits"),
            Kind::Uint32 => (parse::<u32>(value), "a whole number of 32 bits that is not negative"),
            Kind::Int64 => (parse::<i64>(value), "a whole number"),
            Kind::CodePoint => {
                let letter = value.parse().ok().and_then(char::from_u32);
                (letter.map(|letter| letter.to_string().into()), "the number of a code point")
            }
        };
        let json = json.ok_or_else(|| self.unfit(expected))?;
        to_raw_value(&json).map_err(unreadable)
    }

    /// Returns the value as it is, which is null or begins with `first`.
    fn json(&self, expected: &str, first: char) -> Result<Raw, String> {
        let raw = RawValue::from_string(self.value.clone()).ok();
        let raw = raw.filter(|raw| raw.get().starts_with(first) || raw.get() == "null");
        raw.ok_or_else(|| self.unfit(expected))
    }

    fn unfit(&self, expected: &str) -> String {
        format!("{} takes {expected}, not {:?}", self.path, self.value)
    }

    fn unknown(&self, message: &'static Message) -> String {
        let path = &*self.path;
        if message.groups.iter().any(|group| group.name == path) {
            return format!("{path} is set field by field, as in {path}.name=value");
        }
        let last = path.rsplit('.').next().unwrap_or_default();
        let known = message.fields.iter().flat_map(|field| [field.json, field.name]);
        let nearest = nearest(last, known).map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        format!("{} has no field {path:?}{nearest}", message.name)
    }
}

fn parse<T: FromStr + Into<Value>>(text: &str) -> Option<Value> {
    text.parse::<T>().ok().map(Into::into)
}

fn unreadable(error: serde_json::Error) -> String {
    format!("the body cannot be changed: {error}")
}

/// Returns the field at the beginning of a path, and the rest of the path. A flattened group may be named, as in the
/// contract, or left out, as in the JSON.
fn find<'p>(message: &'static Message, path: &'p [&'p str]) -> Option<(&'static Field, &'p [&'p str])> {
    let (first, rest) = path.split_first()?;
    let field = |fits: &dyn Fn(&Field) -> bool| message.fields.iter().find(|field| fits(field));
    let group = message.groups.iter().position(|group| group.name == *first);
    if let (Some(group), Some((second, rest))) = (group, rest.split_first())
        && let Some(field) = field(&|field| field.group == Some(group) && [field.name, field.json].contains(second))
    {
        return Some((field, rest));
    }
    let found = field(&|field| field.group.is_none() && field.name == *first)
        .or_else(|| field(&|field| field.json == *first || field.aliases.contains(first)))
        .or_else(|| field(&|field| field.name == *first));
    found.map(|field| (field, rest))
}
