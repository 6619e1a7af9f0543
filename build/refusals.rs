//! Refuses invalid rpcs and messages, in a sentence that names them.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind as ProtoKind, MessageDescriptor, MethodDescriptor, Syntax};

use super::messages::name_of;
use super::options::{AFTER, BEFORE, RELEASES, Webhook, has_debug_redact};
use super::{Callback, Message, PACKAGE, releases};

/// Refuses an rpc that is no webhook.
pub fn check_rpc(method: &MethodDescriptor, webhook: &Webhook) -> Result<(), String> {
    let name = format!("{}/{}", method.parent_service().name(), method.name());
    if method.is_client_streaming() || method.is_server_streaming() {
        return Err(format!("{name} streams; a webhook is one request and one reply"));
    }
    if webhook.fallback {
        let alone = Webhook { fallback: true, ..Webhook::default() };
        return if *webhook == alone {
            Ok(())
        } else {
            Err(format!("{name} is the fallback, so it can say nothing else"))
        };
    }
    if webhook.command.is_empty() {
        return Err(format!("{name} names no webhook command"));
    }
    let mut commands = webhook.older_commands.iter().chain([&webhook.command]);
    let plain = |command: &String| !command.is_empty() && command.chars().all(|letter| letter.is_ascii_alphanumeric());
    if let Some(command) = commands.find(|command| !plain(command)) {
        return Err(format!("{name} names the command {command:?}, which must be ASCII letters and digits"));
    }
    if webhook.config_key.is_empty() {
        return Err(format!("{name} names no config key"));
    }
    if webhook.timing != BEFORE && webhook.timing != AFTER {
        return Err(format!("{name} is neither a Before nor an After callback"));
    }
    if !webhook.attention_ids.is_empty() && webhook.timing != AFTER {
        return Err(format!("{name} says what attentionIds does, which OpenIM reads for After callbacks only"));
    }
    let known = RELEASES.join(" ");
    let releases = releases(webhook);
    if webhook.releases != "none" && (releases.is_empty() || releases.join(" ") != webhook.releases) {
        return Err(format!("{name} names the releases {:?}; it is some of {known:?}, or \"none\"", webhook.releases));
    }
    Ok(())
}

/// Returns the one fallback; refuses none and several.
pub fn only(fallbacks: Vec<Callback>) -> Result<Callback, String> {
    let mut fallbacks = fallbacks.into_iter();
    let fallback = fallbacks.next().ok_or_else(|| format!("no rpc of {PACKAGE} is the fallback"))?;
    match fallbacks.next() {
        Some(second) => Err(format!("{} is a second fallback beside {}", second.name(), fallback.name())),
        None => Ok(fallback),
    }
}

/// Refuses two rpcs for one command, and a config key that is dead and in use.
pub fn check_commands(callbacks: &[Callback]) -> Result<(), String> {
    let keys = || callbacks.iter().flat_map(|callback| callback.older_config_keys.iter().chain([&callback.config_key]));
    for callback in callbacks {
        if let Some(key) =
            callback.dead_config_keys.iter().find(|dead| keys().any(|key| key.eq_ignore_ascii_case(dead)))
        {
            return Err(format!("{} calls the config key {key} dead, which is in use", callback.name()));
        }
    }
    let mut commands = BTreeMap::new();
    for callback in callbacks {
        for command in callback.older_commands.iter().chain([&callback.command]) {
            let name = callback.name();
            match commands.insert(command, name) {
                Some(other) if other == name => return Err(format!("{name} names the command {command} twice")),
                Some(other) => return Err(format!("{other} and {name} both answer {command}")),
                None => {}
            }
        }
    }
    Ok(())
}

/// Refuses protobuf's own debug_redact, in any message of the package.
pub fn check_redaction(pool: &DescriptorPool) -> Result<(), String> {
    let messages = pool.all_messages().filter(|message| message.package_name() == PACKAGE);
    for message in messages {
        if let Some(field) = message.fields().find(has_debug_redact) {
            return Err(format!(
                "{} has debug_redact, which protoc 3.21 of Debian 12 and Ubuntu 24.04 does not know, so that nobody could \
                 compile the contract there; (wire).redacted is in its place",
                name_of(&field)
            ));
        }
    }
    Ok(())
}

/// Refuses a message that rows cannot describe.
pub fn check_shape(message: &MessageDescriptor) -> Result<(), String> {
    let name = message.full_name();
    if message.package_name() != PACKAGE || message.parent_message().is_some() {
        return Err(format!("{name} is no top-level message of {PACKAGE}"));
    }
    if message.parent_file().syntax() != Syntax::Proto3 {
        return Err(format!("{name} is not written in proto3"));
    }
    if let Some(oneof) = message.oneofs().find(|oneof| !oneof.is_synthetic()) {
        return Err(format!("{}.{} is a oneof, which no webhook has", message.name(), oneof.name()));
    }
    Ok(())
}

/// Refuses anything else under the number of the map of unknown fields.
pub fn check_unknown_fields(field: &FieldDescriptor) -> Result<(), String> {
    let is_text = |field: FieldDescriptor| field.kind() == ProtoKind::String;
    let texts = matches!(field.kind(), ProtoKind::Message(entry) if field.is_map()
        && is_text(entry.map_entry_key_field()) && is_text(entry.map_entry_value_field()));
    if !texts || field.name() != "unknown_fields" {
        return Err(format!("{} takes the number of map<string, string> unknown_fields", name_of(field)));
    }
    Ok(())
}

/// Refuses two fields of one JSON name, which would be two readings of one body. Names that differ only in case are one
/// to Go, and what is beyond ASCII would need more of Unicode's case folding than the program knows.
pub fn check_names(message: &Message) -> Result<(), String> {
    let name = &message.name;
    let mut names = BTreeSet::new();
    let mut folded: BTreeMap<String, usize> = BTreeMap::new();
    for (place, field) in message.fields.iter().enumerate() {
        for json in field.aliases.iter().chain([&field.json]) {
            if !names.insert(json) {
                return Err(format!("{name} has two JSON fields named {json}"));
            }
            if !json.is_ascii() {
                return Err(format!("{} has the JSON name {json}, which is not ASCII", field.name));
            }
            if *folded.entry(json.to_ascii_lowercase()).or_insert(place) != place {
                return Err(format!("{name} has two JSON fields named {json}, which Go reads without regard to case"));
            }
        }
    }
    // The decoder keeps one bit for each field.
    if message.fields.len() > 64 {
        return Err(format!("{name} has more than 64 JSON fields"));
    }
    Ok(())
}
