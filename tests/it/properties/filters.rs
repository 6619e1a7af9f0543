//! Filters: what they say of a request is what another implementation finds in it.

use hookgate::contract::{Condition, Filter, Place, PlaceKind, Texts, Wanted, field_paths};
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use super::for_every_callback;
use super::messages::message;
use crate::support::method;

/// The values of a field: of a list each, of an absent message none.
fn values(message: &DynamicMessage, path: &[&str], found: &mut Vec<Value>) {
    let [name, rest @ ..] = path else { return };
    let field = message.descriptor().get_field_by_name(name).expect("a field of the contract");
    if field.supports_presence() && !message.has_field(&field) {
        return;
    }
    let value = message.get_field(&field).into_owned();
    let items = if let Value::List(items) = value { items } else { vec![value] };
    for item in items {
        match (item, rest) {
            (value, []) => found.push(value),
            (Value::Message(inner), rest) => values(&inner, rest, found),
            (other, _) => panic!("{name} is no message: {other:?}"),
        }
    }
}

fn wanted(value: &Value) -> Wanted {
    let number = |number: i64| Wanted::Numbers(vec![number..=number]);
    match value {
        Value::Bool(value) => number((*value).into()),
        Value::I32(value) => number((*value).into()),
        Value::I64(value) => number(*value),
        Value::U32(value) => number((*value).into()),
        Value::String(text) => Wanted::Texts(Texts { equal: [text.as_str().into()].into(), ..Texts::default() }),
        other => panic!("no request has {other:?}"),
    }
}

fn is_zero(value: &Value) -> bool {
    matches!(value, Value::Bool(false) | Value::I32(0) | Value::I64(0) | Value::U32(0))
        || value.as_str().is_some_and(str::is_empty)
}

#[test]
fn a_filter_finds_what_another_implementation_finds() {
    for_every_callback(
        40,
        |callback| message(&method(callback.rpc).input()),
        |callback, message| {
            let bytes = message.encode_to_vec();
            for (path, field) in field_paths(callback.request) {
                let path: Vec<_> = path.name.split('.').collect();
                let name = path.join(".");
                let place = Place::find(callback.request, &name).unwrap_or_else(|| panic!("{name} is not found"));
                let mut found = Vec::new();
                values(&message, &path, &mut found);
                let says = |wanted: Wanted| {
                    let condition = Condition::Field(place.clone(), wanted);
                    let is = Filter(vec![condition.clone()]).matches(&bytes);
                    let other = Filter(vec![Condition::Not(Filter(vec![condition.clone()]))]).matches(&bytes);
                    let any =
                        Condition::Any(vec![Filter(vec![Condition::Not(Filter::default())]), Filter(vec![condition])]);
                    assert_eq!(is, Filter(vec![any]).matches(&bytes), "{name}");
                    assert_eq!(is, other.map(|other| !other), "{name}");
                    is.expect("an encoded message can be read")
                };
                for value in &found {
                    assert!(says(wanted(value)), "{name} is {value:?} in {message:?}");
                    let all = Filter(vec![Condition::All(place.clone(), wanted(value))]).matches(&bytes);
                    assert_eq!(
                        all,
                        Some(found.iter().all(|other| other == value)),
                        "{name} is {value:?} in {message:?}"
                    );
                }
                let absent = match place.kind {
                    PlaceKind::Text => Wanted::Texts(Texts {
                        equal: ["not sent".into()].into(),
                        sets: vec![std::sync::Arc::new(["nor this".into()].into())],
                        prefixes: vec!["never".into()],
                    }),
                    _ => Wanted::Numbers(vec![-77_777..=-77_777]),
                };
                assert!(!says(absent), "{name} in {message:?}");
                let is_plain = field.label == hookgate::contract::Label::Plain;
                let is_present = found.iter().any(|value| !is_plain || !is_zero(value));
                assert!(
                    says(Wanted::Present(is_present)) && !says(Wanted::Present(!is_present)),
                    "{name} in {message:?}"
                );
            }
        },
    );
}

proptest! {
    #[test]
    fn any_bytes_are_matched_or_unreadable(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for callback in hookgate::contract::Callback::all() {
            for (path, _) in field_paths(callback.request) {
                let place = Place::find(callback.request, &path.name).expect("a field");
                let filter = Filter(vec![Condition::Field(place, Wanted::Present(true))]);
                let _ = filter.matches(&bytes);
            }
        }
    }
}
