//! Changes of a webhook's JSON, field by field. Values that are not changed stay as they were, byte for byte.

use std::str::FromStr;

use indexmap::IndexMap;
use serde_json::value::{RawValue, to_raw_value};

use crate::config::nearest;
use crate::contract::{Field, Kind, Label, Message};

/// A field and its new value: `message.content=hello`.
#[derive(Debug, Clone)]
pub struct Set {
    path: String,
    value: String,
}

/// Why a body cannot be changed so.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is not `field=value`.
    #[error("{0:?} is not of the form field=value")]
    Form(String),
    /// No such field.
    #[error("{message} has no field {path:?}{}", did_you_mean(.nearest))]
    Unknown {
        /// The message of the contract.
        message: &'static str,
        /// The field that was named.
        path: String,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// It is several fields.
    #[error("{0} is set field by field, as in {0}.name=value")]
    Group(&'static str),
    /// The value is of another type.
    #[error("{path} takes {expected}, not {value:?}")]
    Value {
        /// The field.
        path: String,
        /// What it takes.
        expected: &'static str,
        /// The value that was given.
        value: String,
    },
    /// The list has no such entry, nor is it the next one.
    #[error("{path}: the list has {entries} entries, numbered from 0")]
    Entry {
        /// The field.
        path: String,
        /// How many there are.
        entries: usize,
    },
    /// What is to be changed is not what the contract says.
    #[error("the body cannot be changed: {0}")]
    Body(#[from] serde_json::Error),
}

type Raw = Box<RawValue>;

impl FromStr for Set {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        match text.split_once('=') {
            Some((path, value)) if !path.is_empty() => Ok(Self { path: path.to_owned(), value: value.to_owned() }),
            _ => Err(Unfit::Form(text.to_owned())),
        }
    }
}

impl Set {
    /// A field and its new value.
    pub fn of(path: &str, value: &str) -> Self {
        Self { path: path.to_owned(), value: value.to_owned() }
    }

    /// The body with this field changed. The field goes by the names of the contract or by those of OpenIM's JSON.
    pub fn apply(&self, message: &'static Message, body: &str) -> Result<String, Unfit> {
        let path: Vec<&str> = self.path.split('.').collect();
        self.in_object(message, body, &path).map(|raw| raw.get().to_owned())
    }

    fn in_object(&self, message: &'static Message, json: &str, path: &[&str]) -> Result<Raw, Unfit> {
        let (field, rest) = find(message, path).ok_or_else(|| self.unknown(message))?;
        let mut object: IndexMap<String, Raw> = serde_json::from_str(json)?;
        let names = [&field.json].into_iter().chain(field.aliases);
        let name = names.copied().find(|name| object.contains_key(*name)).unwrap_or(field.json);
        // What is null has nothing in it.
        let before = object.get(name).map(|raw| raw.get()).filter(|json| *json != "null");
        let after = match (rest, field.label, field.kind) {
            ([], ..) => self.value(field)?,
            (_, Label::Repeated, _) => self.in_list(field, before.unwrap_or("[]"), rest)?,
            (_, Label::Plain | Label::Optional, Kind::Message(inner)) => {
                self.in_object(inner, before.unwrap_or("{}"), rest)?
            }
            _ => return Err(self.unknown(message)),
        };
        object.insert(name.to_owned(), after);
        Ok(to_raw_value(&object)?)
    }

    fn in_list(&self, field: &'static Field, json: &str, path: &[&str]) -> Result<Raw, Unfit> {
        let mut list: Vec<Raw> = serde_json::from_str(json)?;
        let (index, rest) = (path[0].parse::<usize>().ok(), &path[1..]);
        let index = index.filter(|index| *index <= list.len());
        let index = index.ok_or_else(|| Unfit::Entry { path: self.path.clone(), entries: list.len() })?;
        let entry = match (rest, field.kind) {
            ([], Kind::Message(_)) => self.json("a JSON object")?,
            ([], kind) => self.scalar(kind)?,
            (_, Kind::Message(inner)) => {
                let before = list.get(index).map(|entry| entry.get()).filter(|json| *json != "null");
                self.in_object(inner, before.unwrap_or("{}"), rest)?
            }
            _ => return Err(Unfit::Entry { path: self.path.clone(), entries: list.len() }),
        };
        match list.get_mut(index) {
            Some(place) => *place = entry,
            None => list.push(entry),
        }
        Ok(to_raw_value(&list)?)
    }

    /// The whole value of a field.
    fn value(&self, field: &Field) -> Result<Raw, Unfit> {
        match (field.label, field.kind) {
            (Label::Repeated, _) => self.json("a JSON list"),
            (Label::Map, _) | (_, Kind::Message(_) | Kind::Bare(_)) => self.json("a JSON object"),
            (Label::Plain | Label::Optional, kind) => self.scalar(kind),
        }
    }

    fn scalar(&self, kind: Kind) -> Result<Raw, Unfit> {
        let value = &*self.value;
        if value == "null" && !matches!(kind, Kind::String) {
            return Ok(to_raw_value(&())?);
        }
        let fit = |expected| move || Unfit::Value { path: self.path.clone(), expected, value: self.value.clone() };
        let raw = match kind {
            Kind::String => to_raw_value(value),
            Kind::Bool => to_raw_value(&value.parse::<bool>().map_err(|_| fit("true or false")())?),
            Kind::Int32 => to_raw_value(&value.parse::<i32>().map_err(|_| fit("a whole number of 32 bits")())?),
            Kind::Uint32 => to_raw_value(
                &value.parse::<u32>().map_err(|_| fit("a whole number of 32 bits that is not negative")())?,
            ),
            Kind::Int64 => to_raw_value(&value.parse::<i64>().map_err(|_| fit("a whole number")())?),
            Kind::CodePoint => {
                let letter = value.parse().ok().and_then(char::from_u32);
                to_raw_value(&letter.ok_or_else(fit("the number of a code point"))?)
            }
            Kind::Message(_) | Kind::Bare(_) => return self.json("a JSON object"),
        };
        Ok(raw?)
    }

    /// The value as JSON that begins as `expected` does.
    fn json(&self, expected: &'static str) -> Result<Raw, Unfit> {
        let begins = if expected.ends_with("list") { '[' } else { '{' };
        let raw = RawValue::from_string(self.value.clone()).ok();
        let raw = raw.filter(|raw| raw.get().starts_with(begins) || raw.get() == "null");
        raw.ok_or_else(|| Unfit::Value { path: self.path.clone(), expected, value: self.value.clone() })
    }

    fn unknown(&self, message: &'static Message) -> Unfit {
        let path = self.path.clone();
        if let Some(group) = message.groups.iter().find(|group| group.name == path) {
            return Unfit::Group(group.name);
        }
        let last = path.rsplit('.').next().unwrap_or_default();
        let known = message.fields.iter().flat_map(|field| [field.json, field.name]);
        let nearest = nearest(last, known).map(str::to_owned);
        Unfit::Unknown { message: message.name, path, nearest }
    }
}

/// The field at the beginning of a path, and the rest of it. A flattened group may be named, as the contract has it, or
/// be left out, as the JSON does.
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

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default()
}
