//! Responses of a policy that changes everything that it can.

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};

use crate::support::method;

/// In every text of a change. It is in replies, and in nothing else that hookgate says.
pub const CHANGE: &str = "markedChange";

/// The response of an rpc with all its changes, or with one of them: where others are refused, it is not.
pub fn response(rpc: &str, only: Option<usize>) -> Vec<u8> {
    let mut response = DynamicMessage::new(method(rpc).output());
    let changes: Vec<_> = response.descriptor().fields().filter(|field| field.name() != "denial").collect();
    for (place, field) in changes.iter().enumerate() {
        if only.is_none_or(|only| only % changes.len() == place) {
            response.set_field(field, value(field));
        }
    }
    response.encode_to_vec()
}

fn value(field: &FieldDescriptor) -> Value {
    if field.is_map() {
        return Value::Map([(MapKey::String(CHANGE.to_owned()), Value::Bool(true))].into());
    }
    let one = match field.kind() {
        // Content must be an object.
        Kind::String if field.name() == "content" => Value::String(format!("{{\"content\":\"{CHANGE}\"}}")),
        Kind::String => Value::String(CHANGE.to_owned()),
        Kind::Message(inner) => {
            let mut message = DynamicMessage::new(inner.clone());
            for field in inner.fields() {
                message.set_field(&field, value(&field));
            }
            Value::Message(message)
        }
        Kind::Bool => Value::Bool(true),
        Kind::Int64 => Value::I64(20),
        // No role, type or setting of OpenIM is 2 and refused.
        _ if field.name() == "role_level" => Value::I32(20),
        _ => Value::I32(2),
    };
    if field.is_list() { Value::List(vec![one]) } else { one }
}
