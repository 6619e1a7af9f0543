//! Random messages of the contract, made from their descriptors.

use std::collections::HashMap;

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use prost_reflect::{DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use crate::support::CONTRACT;

/// The number of the map of unknown fields.
pub const UNKNOWN_FIELDS: u32 = 100;

/// A field's wire options, as the contract says them.
pub struct Wire(DynamicMessage);

impl Wire {
    pub fn of(field: &FieldDescriptor) -> Self {
        let wire = option("wire");
        Self(field.options().get_extension(&wire).as_message().expect("a message").clone())
    }

    pub fn is(&self, option: &str) -> bool {
        self.0.get_field_by_name(option).and_then(|value| value.as_bool()).expect("an option that is set or not")
    }

    pub fn list(&self, option: &str) -> Vec<Value> {
        self.0.get_field_by_name(option).and_then(|value| value.as_list().map(<[_]>::to_vec)).expect("a list")
    }

    /// A text that is set, empty or not.
    pub fn text(&self, option: &str) -> Option<String> {
        let is_set = self.0.has_field_by_name(option);
        is_set.then(|| self.0.get_field_by_name(option)?.as_str().map(str::to_owned)).flatten()
    }

    /// A condition on the request: a field's JSON name, and values.
    pub fn condition(&self, option: &str) -> Option<(String, Vec<i32>)> {
        let condition = self.0.has_field_by_name(option).then(|| self.0.get_field_by_name(option))??;
        let condition = condition.as_message()?;
        let values = condition.get_field_by_name("values")?.as_list()?.iter().filter_map(Value::as_i32).collect();
        Some((condition.get_field_by_name("field")?.as_str()?.to_owned(), values))
    }
}

/// One of the contract's options.
pub fn option(name: &str) -> ExtensionDescriptor {
    CONTRACT.get_extension_by_name(&format!("openim.policy.v1.{name}")).expect("options.proto")
}

/// Any message, but for its unknown fields, and sometimes one with nothing in it. A group that always stands in the
/// JSON always stands in the message.
pub fn message(descriptor: &MessageDescriptor) -> BoxedStrategy<DynamicMessage> {
    let fields: Vec<_> = descriptor.fields().filter(|field| field.number() != UNKNOWN_FIELDS).collect();
    let values: Vec<_> = fields.iter().map(presence).collect();
    let descriptor = descriptor.clone();
    (prop::bool::weighted(0.9), values)
        .prop_map(move |(full, values)| {
            let mut message = DynamicMessage::new(descriptor.clone());
            for (field, value) in fields.iter().zip(values) {
                let Some(value) = value else { continue };
                if is_always_there(field) {
                    let empty = Value::default_value_for_field(field);
                    message.set_field(field, if full { value } else { empty });
                } else if full && (field.supports_presence() || !value.is_default_for_field(field)) {
                    message.set_field(field, value);
                }
            }
            message
        })
        .boxed()
}

/// Whether a field is a flattened group that is not optional.
fn is_always_there(field: &FieldDescriptor) -> bool {
    Wire::of(field).is("flatten") && !field.field_descriptor_proto().proto3_optional()
}

/// The fields of a request's JSON, those of flattened groups among them.
pub fn json_fields(request: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let flat = |field: FieldDescriptor| match field.kind() {
        Kind::Message(group) if Wire::of(&field).is("flatten") => group.fields().collect(),
        _ => vec![field],
    };
    request.fields().filter(|field| field.number() != UNKNOWN_FIELDS).flat_map(flat).collect()
}

/// The names that OpenIM's servers use for a field.
pub fn json_names(field: &FieldDescriptor) -> Vec<String> {
    let aliases = Wire::of(field).list("aliases");
    let aliases = aliases.iter().filter_map(Value::as_str);
    [field.json_name()].into_iter().chain(aliases).map(str::to_owned).collect()
}

fn presence(field: &FieldDescriptor) -> BoxedStrategy<Option<Value>> {
    let value = value(field);
    match field.kind() {
        // A denial beats all changes: it is rare, so that there are changes to look at.
        Kind::Message(message) if message.name() == "Denial" => proptest::option::weighted(0.2, value).boxed(),
        _ if is_always_there(field) => value.prop_map(Some).boxed(),
        _ if field.supports_presence() => proptest::option::of(value).boxed(),
        _ => value.prop_map(Some).boxed(),
    }
}

fn value(field: &FieldDescriptor) -> BoxedStrategy<Value> {
    let kind = field.kind();
    if let (true, Kind::Message(entry)) = (field.is_map(), &kind) {
        let value = single(&entry.map_entry_value_field().kind());
        return hash_map(text().prop_map(MapKey::String), value, 0..4).prop_map(Value::Map).boxed();
    }
    if field.is_list() {
        return vec(single(&kind), 0..4).prop_map(Value::List).boxed();
    }
    if Wire::of(field).is("code_point") {
        return prop_oneof![any::<char>().prop_map(|letter| Value::I32(letter as i32)), single(&kind)].boxed();
    }
    single(&kind)
}

fn single(kind: &Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Int32 => prop_oneof![known_number(), any::<i32>()].prop_map(Value::I32).boxed(),
        Kind::Int64 => prop_oneof![Just(0), Just(i64::MIN), Just(i64::MAX), any::<i64>()].prop_map(Value::I64).boxed(),
        Kind::Uint32 => prop_oneof![Just(0), Just(u32::MAX), any::<u32>()].prop_map(Value::U32).boxed(),
        Kind::String => text().prop_map(Value::String).boxed(),
        Kind::Message(inner) => message(inner).prop_map(Value::Message).boxed(),
        other => panic!("no field of the contract is a {other:?}"),
    }
}

/// A number that some rule looks at.
fn known_number() -> impl Strategy<Value = i32> {
    prop::sample::select(vec![0, 1, 2, 3, 20, 60, 99, 100, 1504, 1508, 1511, -1, i32::MIN, i32::MAX])
}

/// A text: empty, plain, one JSON object, two readings of one, or anything that Unicode has.
pub fn text() -> impl Strategy<Value = String> {
    let known = ["", "u1001", "{}", r#"{"content":"hi"}"#, r#"{"a":1,"a":2}"#, "[]", "null"];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        vec(any::<char>(), 0..6).prop_map(String::from_iter),
    ]
}

/// The message with this map of unknown fields.
pub fn with_unknown(
    mut message: DynamicMessage,
    unknown: impl IntoIterator<Item = (String, String)>,
) -> DynamicMessage {
    let entries = unknown.into_iter().map(|(path, raw)| (MapKey::String(path), Value::String(raw)));
    let entries: HashMap<_, _> = entries.collect();
    if !entries.is_empty() {
        message.set_field_by_number(UNKNOWN_FIELDS, Value::Map(entries));
    }
    message
}
