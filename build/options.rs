//! Reads the options of options.proto on rpcs, fields and messages.

use std::borrow::Cow;

use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor,
    ReflectMessage, Value,
};

use super::{DenialBreaks, Id, PACKAGE, Rules};

/// The releases of OpenIM that the contract tells apart, oldest first.
pub const RELEASES: [&str; 5] = ["3.5", "3.7", "3.8", "3.8.3", "3.8.4"];

/// `TIMING_BEFORE`.
pub const BEFORE: i32 = 1;

/// `TIMING_AFTER`.
pub const AFTER: i32 = 2;

/// `FAILURE_RULE_ALLOW`.
const ALLOW: i32 = 1;

/// The options of an rpc: its webhook.
#[derive(Debug, Default, PartialEq)]
pub struct Webhook {
    pub command: String,
    pub older_commands: Vec<String>,
    pub config_key: String,
    pub older_config_keys: Vec<String>,
    pub timing: i32,
    pub releases: String,
    pub fallback: bool,
    pub ordered_by: Vec<String>,
    pub order_domain: Option<String>,
    pub fails_open: bool,
    pub fail_closed_breaks: String,
    pub denial_breaks: Option<DenialBreaks>,
    pub dead_config_keys: Vec<String>,
    pub attention_ids: String,
}

/// The options of a field: its JSON form, and the changes that it takes.
#[derive(Debug, Default, PartialEq)]
pub struct Wire {
    pub flatten: bool,
    pub aliases: Vec<String>,
    pub code_point: bool,
    pub bare: bool,
    pub id: Option<Id>,
    pub redacted: bool,
    pub content_of: Option<String>,
    pub seen_as: Option<String>,
    pub rules: Rules,
}

/// The options themselves.
#[derive(Debug)]
pub struct Options {
    webhook: ExtensionDescriptor,
    wire: ExtensionDescriptor,
    echo_only: ExtensionDescriptor,
}

impl Options {
    /// Looks the options up in the descriptors.
    pub fn of(pool: &DescriptorPool) -> Result<Self, String> {
        let option = |name: &str| {
            pool.get_extension_by_name(&format!("{PACKAGE}.{name}"))
                .ok_or_else(|| format!("options.proto defines no option {name}"))
        };
        Ok(Self { webhook: option("webhook")?, wire: option("wire")?, echo_only: option("echo_only")? })
    }

    /// Returns an rpc's webhook; empty if it names none.
    pub fn webhook(&self, method: &MethodDescriptor) -> Webhook {
        let webhook = message(&method.options().get_extension(&self.webhook));
        Webhook {
            command: text(&webhook, "command"),
            older_commands: texts(&webhook, "older_commands"),
            config_key: text(&webhook, "config_key"),
            older_config_keys: texts(&webhook, "older_config_keys"),
            timing: get(&webhook, "timing").as_enum_number().unwrap_or_default(),
            releases: text(&webhook, "releases"),
            fallback: flag(&webhook, "fallback"),
            ordered_by: texts(&webhook, "ordered_by"),
            order_domain: webhook.has_field_by_name("order_domain").then(|| text(&webhook, "order_domain")),
            fails_open: get(&webhook, "on_failure").as_enum_number() == Some(ALLOW),
            fail_closed_breaks: text(&webhook, "fail_closed_breaks"),
            denial_breaks: denial_breaks(&webhook),
            dead_config_keys: texts(&webhook, "dead_config_keys"),
            attention_ids: text(&webhook, "attention_ids"),
        }
    }

    /// Returns a field's wire options; the defaults if it names none.
    pub fn wire(&self, field: &FieldDescriptor) -> Wire {
        let wire = message(&field.options().get_extension(&self.wire));
        Wire {
            flatten: flag(&wire, "flatten"),
            aliases: texts(&wire, "aliases"),
            code_point: flag(&wire, "code_point"),
            bare: flag(&wire, "bare"),
            id: match get(&wire, "id").as_enum_number() {
                Some(1) => Some(Id::User),
                Some(2) => Some(Id::Group),
                _ => None,
            },
            redacted: flag(&wire, "redacted"),
            content_of: Some(text(&wire, "content_of")).filter(|json| !json.is_empty()),
            seen_as: wire.has_field_by_name("seen_as").then(|| text(&wire, "seen_as")),
            rules: Rules {
                echo: flag(&wire, "echo"),
                only_if_sent: flag(&wire, "only_if_sent"),
                non_empty: flag(&wire, "non_empty"),
                json_object: flag(&wire, "json_object"),
                one_of: numbers(&wire, "one_of"),
                refused_when: condition(&wire, "refused_when"),
                refused_unless: condition(&wire, "refused_unless"),
                empty_is_unset: flag(&wire, "empty_is_unset"),
            },
        }
    }

    /// Returns the request fields that every allow repeats in its reply.
    pub fn echo_only(&self, message: &MessageDescriptor) -> Vec<String> {
        text_list(&message.options().get_extension(&self.echo_only))
    }
}

/// Returns true if a field has protobuf's own debug_redact, with any value.
pub fn has_debug_redact(field: &FieldDescriptor) -> bool {
    field.options().has_field_by_name("debug_redact")
}

/// Returns a field of an option, or its default.
fn get<'m>(message: &'m DynamicMessage, name: &str) -> Cow<'m, Value> {
    message.get_field_by_name(name).unwrap_or_else(|| panic!("{} has no {name}", message.descriptor().full_name()))
}

fn message(value: &Value) -> DynamicMessage {
    value.as_message().cloned().unwrap_or_else(|| panic!("options.proto has another type where a message should be"))
}

fn flag(message: &DynamicMessage, name: &str) -> bool {
    get(message, name).as_bool().unwrap_or_default()
}

fn text(message: &DynamicMessage, name: &str) -> String {
    get(message, name).as_str().unwrap_or_default().to_owned()
}

fn texts(message: &DynamicMessage, name: &str) -> Vec<String> {
    text_list(&get(message, name))
}

fn text_list(value: &Value) -> Vec<String> {
    value.as_list().unwrap_or_default().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn numbers(message: &DynamicMessage, name: &str) -> Vec<i32> {
    get(message, name).as_list().unwrap_or_default().iter().filter_map(Value::as_i32).collect()
}

/// Returns the denials that damage OpenIM's data, if an rpc names any.
fn denial_breaks(webhook: &DynamicMessage) -> Option<DenialBreaks> {
    let set = webhook.has_field_by_name("denial_breaks").then(|| message(&get(webhook, "denial_breaks")))?;
    Some(DenialBreaks { what: text(&set, "what"), when: condition(&set, "when") })
}

/// Reads a condition on the request: a field's JSON name, and values.
fn condition(wire: &DynamicMessage, name: &str) -> Option<(String, Vec<i32>)> {
    let set = wire.has_field_by_name(name).then(|| message(&get(wire, name)))?;
    Some((text(&set, "field"), numbers(&set, "values")))
}
