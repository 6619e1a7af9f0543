//! What nobody should send: bytes at random, and the right ones with something done to them.

use hookgate::contract::Callback;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;
use prost_reflect::{FieldDescriptor, Kind};
use serde_json::Value as Json;

use super::messages::{Wire, message};
use super::webhooks::{Webhook, webhook};
use crate::support::method;

/// Any bytes, texts that look like JSON, and webhooks with something done to them.
pub fn body(callback: &'static Callback) -> impl Strategy<Value = Vec<u8>> {
    let mutated = (webhook(callback), mutation()).prop_map(|(webhook, mutate)| mutate.apply(webhook));
    prop_oneof![
        1 => vec(any::<u8>(), 0..40),
        1 => "[\\[\\]{}\":,0-9a-z\\\\. ]{0,20}".prop_map(String::into_bytes),
        4 => mutated,
    ]
}

/// Something done to a webhook. Places count from the start and wrap around.
#[derive(Debug, Clone)]
enum Mutation {
    Nothing,
    Truncate(usize),
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Repeat(usize),
    Replace(usize, &'static str),
    Nest(usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = any::<usize>;
    prop_oneof![
        Just(Mutation::Nothing),
        place().prop_map(Mutation::Truncate),
        (place(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (place(), vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        place().prop_map(Mutation::Repeat),
        (place(), select(vec!["null", "{}", "[]", "[null]", "\"\"", "-1", "1e400", "true"]))
            .prop_map(|(at, raw)| Mutation::Replace(at, raw)),
        (place(), select(vec![1, 2, 20, 200])).prop_map(|(at, depth)| Mutation::Nest(at, depth)),
    ]
}

impl Mutation {
    fn apply(&self, mut webhook: Webhook) -> Vec<u8> {
        let count = webhook.fields.len();
        match *self {
            _ if count == 0 => {}
            Self::Repeat(at) => webhook.fields.push(webhook.fields[at % count].clone()),
            Self::Replace(at, raw) => webhook.fields[at % count].1 = raw.to_owned(),
            Self::Nest(at, depth) => {
                let raw = &mut webhook.fields[at % count].1;
                *raw = format!("{}{raw}{}", "[{\"a\":".repeat(depth), "}]".repeat(depth));
            }
            _ => {}
        }
        let mut body = webhook.body().into_bytes();
        let length = body.len();
        match self {
            Self::Truncate(at) => body.truncate(at % length),
            Self::Flip(at, bit) => body[at % length] ^= 1 << bit,
            Self::Insert(at, bytes) => drop(body.splice(at % length..at % length, bytes.iter().copied())),
            _ => {}
        }
        body
    }
}

/// Any bytes, and a response with a byte cut off, put in or changed.
pub fn response(callback: &'static Callback) -> impl Strategy<Value = Vec<u8>> {
    let mutated = (message(&method(callback.rpc).output()), any::<usize>(), any::<u8>());
    let mutated = mutated.prop_map(|(response, at, byte)| {
        let mut bytes = response.encode_to_vec();
        let at = at % (bytes.len() + 1);
        match byte {
            0..64 => bytes.truncate(at),
            64..128 => bytes.insert(at, byte),
            _ => bytes[at..].iter_mut().take(1).for_each(|old| *old ^= 1 << (byte % 8)),
        }
        bytes
    });
    prop_oneof![1 => vec(any::<u8>(), 0..16), 3 => mutated]
}

/// Values of every type, and some of none.
pub const VALUES: [&str; 20] = [
    "null",
    "true",
    "0",
    "-1",
    "1.0",
    "1e3",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    r#""""#,
    r#""\u0002""#,
    r#""ab""#,
    "[]",
    r#"["a"]"#,
    "[1]",
    "[null]",
    "{}",
];

/// Whether a field of a request takes a value.
pub fn takes(field: &FieldDescriptor, raw: &str) -> bool {
    let json: Json = serde_json::from_str(raw).expect("JSON");
    let letter = Wire::of(field).is("code_point") && json.as_str().is_some_and(|text| text.chars().count() == 1);
    let single = |json: &Json| match field.kind() {
        Kind::Bool => json.is_boolean(),
        Kind::Int32 => letter || json.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Kind::Int64 => json.is_i64(),
        Kind::Uint32 => json.as_u64().is_some_and(|number| u32::try_from(number).is_ok()),
        Kind::String => json.is_string(),
        _ => json.is_object(),
    };
    match &json {
        Json::Null => true,
        Json::Array(entries) => field.is_list() && entries.iter().all(single),
        json => !field.is_list() && single(json),
    }
}
