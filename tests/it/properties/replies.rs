//! What a reply must say: the verdict as OpenIM reads it, and the changes as the contract's own options judge them.

use std::collections::BTreeMap;

use hookgate::contract::Callback;
use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, ReflectMessage, Value};
use serde_json::{Map, Value as Json};

use super::messages::{Wire, json_fields, json_names, option};
use crate::support::method;

/// A reply as OpenIM reads it.
#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    action_code: i32,
    err_code: i32,
    err_msg: String,
    err_dlt: String,
    next_code: i32,
    #[serde(flatten)]
    pub changes: BTreeMap<String, Json>,
}

impl Reply {
    /// Reads any reply; it must be an allow or a deny such as every OpenIM understands.
    pub fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let reply: Self = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(reply.action_code, 0, "{text}");
        let texts = [&reply.err_msg, &reply.err_dlt];
        match reply.next_code {
            0 => assert!(reply.err_code == 0 && texts.iter().all(|text| text.is_empty()), "{text}"),
            1 => {
                assert!(reply.err_code >= 100 && texts.iter().all(|text| !text.is_empty()), "{text}");
                assert!(reply.changes.is_empty(), "{text}");
            }
            other => panic!("nextCode {other}: {text}"),
        }
        reply
    }

    pub fn allows(&self) -> bool {
        self.next_code == 0
    }

    /// What the client gets of a denial: code, message, detail.
    pub fn denial(self) -> (i32, String, String) {
        assert!(!self.allows());
        (self.err_code, self.err_msg, self.err_dlt)
    }
}

/// What the client is to get of a response's denial: code, message, detail.
pub fn denial(response: &DynamicMessage) -> (i32, String, String) {
    let denial = response.get_field_by_name("denial").expect("every response has one").into_owned();
    let denial = denial.as_message().expect("a message");
    let get = |name| denial.get_field_by_name(name).expect("a field of a denial").into_owned();
    let or = |text: &Value, default: &str| match text.as_str() {
        Some("") | None => default.to_owned(),
        Some(text) => text.to_owned(),
    };
    let code = get("code").as_i32().filter(|code| *code >= 100).unwrap_or(5000);
    let message = or(&get("message"), "denied by policy");
    let detail = or(&get("detail"), &message);
    (code, message, detail)
}

/// Whether the contract has every field that stands in a message.
pub fn has_no_unknown_field(message: &DynamicMessage) -> bool {
    fn known(value: &Value) -> bool {
        match value {
            Value::Message(inner) => has_no_unknown_field(inner),
            Value::List(entries) => entries.iter().all(known),
            _ => true,
        }
    }
    message.unknown_fields().next().is_none() && message.fields().all(|(_, value)| known(value))
}

/// The request as JSON, looked at by the names of the contract.
pub struct Request {
    fields: Map<String, Json>,
    callback: &'static Callback,
}

impl Request {
    pub fn read(callback: &'static Callback, body: &str) -> Self {
        Self { fields: serde_json::from_str(body).expect("an object"), callback }
    }

    /// The value of a field, under any of its names; null is none.
    fn get(&self, json: &str) -> Option<&Json> {
        let fields = json_fields(&method(self.callback.rpc).input());
        let names = json_names(fields.iter().find(|field| field.json_name() == json)?);
        names.iter().find_map(|name| self.fields.get(name)).filter(|value| !value.is_null())
    }

    /// The name of a field in the reply: the request's own, or that of its style.
    fn name_in_reply(&self, json: &str) -> String {
        let fields = json_fields(&method(self.callback.rpc).input());
        let alias = |names: &[String]| names[1..].iter().find(|name| self.fields.contains_key(*name)).cloned();
        let names = fields.iter().find(|field| field.json_name() == json).map(json_names);
        let Some(names) = names.filter(|names| !self.fields.contains_key(&names[0])) else { return json.to_owned() };
        let has_alias = || fields.iter().any(|field| alias(&json_names(field)).is_some());
        let of_style = || names.get(1).filter(|_| has_alias()).unwrap_or(&names[0]).clone();
        alias(&names).unwrap_or_else(of_style)
    }

    fn is(&self, (json, values): &(String, Vec<i32>)) -> bool {
        let value = self.get(json).map_or(Some(0), Json::as_i64);
        values.iter().any(|allowed| Some(i64::from(*allowed)) == value)
    }
}

/// What an allow says beyond the verdict; `None` if a change breaks a rule.
pub fn changes(response: &DynamicMessage, request: &Request) -> Option<BTreeMap<String, Json>> {
    let mut out = BTreeMap::new();
    let echo_only = response.descriptor().options().get_extension(&option("echo_only")).into_owned();
    let echo_only = echo_only.as_list().expect("a list").iter().filter_map(Value::as_str);
    out.extend(echo_only.filter_map(|json| Some((request.name_in_reply(json), request.get(json)?.clone()))));
    for field in response.descriptor().fields() {
        let (wire, json) = (Wire::of(&field), field.json_name());
        let name = request.name_in_reply(json);
        if response.has_field(&field) {
            out.insert(name, change(&field, &wire, &response.get_field(&field), request)?);
        } else if let (true, Some(value)) = (wire.is("echo"), request.get(json)) {
            out.insert(name, value.clone());
        }
    }
    Some(out)
}

/// Changes without the zeros in their objects.
pub fn without_zeros(changes: BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    fn tidy(json: Json) -> Json {
        let zeros = [Json::from(""), Json::from(0), Json::from(false)];
        match json {
            Json::Array(entries) => entries.into_iter().map(tidy).collect(),
            Json::Object(entries) => {
                let there = entries.into_iter().filter(|(_, value)| !zeros.contains(value));
                there.map(|(name, value)| (name, tidy(value))).collect()
            }
            other => other,
        }
    }
    changes.into_iter().map(|(name, value)| (name, tidy(value))).collect()
}

/// A change as JSON; `None` if it breaks a rule.
fn change(field: &FieldDescriptor, wire: &Wire, value: &Value, request: &Request) -> Option<Json> {
    let json = plain(wire, value, request)?;
    let empty = match &json {
        Json::String(text) => text.is_empty(),
        Json::Array(entries) => entries.is_empty(),
        Json::Object(entries) => entries.is_empty(),
        _ => false,
    };
    let one_of = wire.list("one_of");
    let broken = wire.is("non_empty") && empty
        || wire.is("only_if_sent") && request.get(field.json_name()).is_none()
        || wire.is("json_object") && !json.as_str().is_some_and(is_one_object)
        || !one_of.is_empty() && !one_of.contains(value)
        || wire.condition("refused_when").is_some_and(|condition| request.is(&condition))
        || wire.condition("refused_unless").is_some_and(|condition| !request.is(&condition));
    (!broken).then_some(json)
}

/// Whether a text reads as one JSON object and as nothing else: two keys of one name would not come back.
fn is_one_object(text: &str) -> bool {
    serde_json::from_str::<Map<String, Json>>(text)
        .is_ok_and(|object| serde_json::to_string(&object).is_ok_and(|again| again == text))
}

/// A value as JSON: numbers as numbers, a bare wrapper as what it wraps, of a message the fields that it has.
fn plain(wire: &Wire, value: &Value, request: &Request) -> Option<Json> {
    Some(match value {
        Value::Bool(value) => (*value).into(),
        Value::I32(value) => (*value).into(),
        Value::U32(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::String(value) => value.as_str().into(),
        Value::Message(wrapper) if wire.is("bare") => {
            let field = wrapper.descriptor().fields().next().expect("the one field of a wrapper");
            change(&field, &Wire::of(&field), &wrapper.get_field(&field), request)?
        }
        Value::Message(message) => {
            let fields: Vec<_> = message.descriptor().fields().collect();
            // Of fields without presence the empty ones are judged too, though they are not written.
            let judged = fields.iter().filter(|field| message.has_field(field) || !field.supports_presence());
            let mut out = Map::new();
            for field in judged {
                let json = change(field, &Wire::of(field), &message.get_field(field), request)?;
                if message.has_field(field) {
                    out.insert(field.json_name().to_owned(), json);
                }
            }
            out.into()
        }
        Value::List(entries) => {
            entries.iter().map(|entry| plain(wire, entry, request)).collect::<Option<Vec<_>>>()?.into()
        }
        Value::Map(entries) => {
            let entry = |(key, value): (&MapKey, &Value)| {
                Some((key.as_str().expect("a text").to_owned(), plain(wire, value, request)?))
            };
            entries.iter().map(entry).collect::<Option<Map<_, _>>>()?.into()
        }
        other => panic!("no response has a {other:?}"),
    })
}
