//! The JSON Schema of `hookgate.yaml`, from the declarations of the settings.

use hookgate::config::{Setting, all_settings, callback_settings, policy_settings};
use hookgate::contract::{Callback, Timing};
use serde_json::{Map, Value, json};

/// Returns the schema.
pub fn schema() -> String {
    let mut root = object(all_settings(), "");
    let all = object(callback_settings(), "");
    let without = |keys: &[&str]| {
        let mut some = all.clone();
        let properties = some["properties"].as_object_mut().expect("an object has properties");
        properties.retain(|key, _| !keys.contains(&&**key));
        some
    };
    let mut callbacks = Map::new();
    for callback in Callback::all() {
        let name = match (callback.timing, callback.ordered_by) {
            (Timing::Before, _) => "before_callback",
            (Timing::After, []) => "unordered_callback",
            (Timing::After, _) => "after_callback",
        };
        for key in callback.older_config_keys.iter().chain([&callback.config_key]).filter(|key| !key.is_empty()) {
            callbacks.insert((*key).to_owned(), json!({ "$ref": format!("#/$defs/{name}") }));
        }
    }
    callbacks.sort_keys();
    root["properties"]["callbacks"] = json!({
        "description": "Settings of single callbacks, by their key in OpenIM's webhooks.yml",
        "type": ["object", "null"], "properties": callbacks, "additionalProperties": false,
    });
    let mut policy = object(policy_settings(), "");
    policy["required"] = json!(["url"]);
    let share = policy["properties"]["share"].as_object_mut().expect("a setting");
    share.remove("minimum");
    share.insert("exclusiveMinimum".to_owned(), json!(0));
    policy["properties"]["metadata"] = json!({
        "description": "Metadata of each call: names, each with the file of its value",
        "type": "object", "additionalProperties": { "type": "string" },
    });
    root["properties"]["policies"] = json!({
        "description": "Named policies, in place of policy; routes say which of them is asked",
        "type": "object", "minProperties": 1, "additionalProperties": false,
        "patternProperties": { "^[a-z0-9_-]{1,32}$": { "$ref": "#/$defs/policy" } },
    });
    root["properties"]["routes"] = json!({
        "description": "Routes: a webhook takes the first one that matches",
        "type": "array", "items": { "$ref": "#/$defs/route" }, "minItems": 1,
    });
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("hookgate.yaml");
    let one_or_more = |of: Value| any_of(of.clone(), json!({ "type": "array", "items": of, "minItems": 1 }));
    let text = || json!({ "type": "string" });
    let value = || json!({ "type": ["string", "number", "boolean"] });
    let tests = json!({
        "type": "object", "minProperties": 1, "additionalProperties": false,
        "properties": {
            "in": one_or_more(value()), "prefix": one_or_more(value()), "file": one_or_more(text()),
            "present": { "type": "boolean" }, "all": { "type": "boolean" },
        },
    });
    root["$defs"] = json!({
        "policy": policy,
        "route": {
            "type": "object", "additionalProperties": false,
            "properties": {
                "name": value(),
                "callbacks": one_or_more(text()),
                "timing": { "enum": ["before", "after"] },
                "when": { "$ref": "#/$defs/conditions" },
                "percent": { "type": "number", "exclusiveMinimum": 0, "maximum": 100 },
                "by": text(),
                "cohort": text(),
                "policies": one_or_more(text()),
                "ask": { "enum": ["all", "chain", "none"] },
                "shadow": any_of(text(), json!({
                    "type": "object", "additionalProperties": false, "required": ["policy"],
                    "properties": { "policy": text(), "events": { "type": "boolean" } },
                })),
                "guard": {
                    "type": "object", "additionalProperties": false,
                    "properties": {
                        "differences": text(), "failures": text(), "p99": text(),
                        "least": { "type": "integer", "minimum": 1 },
                    },
                },
            },
        },
        "conditions": {
            "description": "Conditions by the name of a field in the contract, all of which must hold",
            "type": "object", "minProperties": 1,
            "properties": {
                "not": { "$ref": "#/$defs/conditions" },
                "notification": { "type": "boolean" },
                "any": { "type": "array", "items": { "$ref": "#/$defs/conditions" }, "minItems": 1 },
            },
            "additionalProperties": any_of(one_or_more(value()), tests),
        },
        "before_callback": without(&["order"]),
        "after_callback": without(&["on_failure"]),
        "unordered_callback": without(&["order", "on_failure"]),
    });
    format!("{root:#}\n")
}

/// Returns the schema of a group.
fn object<B: 'static>(all: &[Setting<B>], group: &str) -> Value {
    let mut properties = Map::new();
    for setting in all {
        let rest = match group {
            "" => Some(&*setting.path),
            group => setting.path.strip_prefix(group).and_then(|rest| rest.strip_prefix('.')),
        };
        let Some(key) = rest.and_then(|rest| rest.split('.').next()) else { continue };
        let path = if group.is_empty() { key.to_owned() } else { format!("{group}.{key}") };
        let its = || all.iter().find(|setting| setting.path == path);
        let is_group = all.iter().any(|setting| setting.path.starts_with(&format!("{path}.")));
        let schema = match (its(), is_group) {
            (Some(setting), false) => value(setting),
            (Some(setting), true) => any_of(value(setting), object(all, &path)),
            (None, _) if matches!(&*path, "access" | "tls") => any_of(json!({ "const": "none" }), object(all, &path)),
            (None, _) => object(all, &path),
        };
        properties.insert(key.to_owned(), schema);
    }
    // A group of access or TLS that has lost its value is a mistake.
    let types = match group {
        "access" | "tls" | "policy_tls" => json!("object"),
        _ => json!(["object", "null"]),
    };
    json!({ "type": types, "properties": properties, "additionalProperties": false })
}

fn any_of(one: Value, other: Value) -> Value {
    json!({ "anyOf": [one, other] })
}

/// Returns the schema of a setting's value.
fn value<B: 'static>(setting: &Setting<B>) -> Value {
    let mut schema = match setting.kind {
        "boolean" => json!({ "type": "boolean" }),
        "count" => json!({ "type": "integer", "minimum": 1 }),
        "error code" => json!({ "type": "integer", "minimum": 100 }),
        "fraction" => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        words @ ("deny or allow" | "key or none" | "refuse or drop_dead" | "text or json") => {
            json!({ "enum": words.split(" or ").collect::<Vec<_>>() })
        }
        // In YAML 1.1 off is false.
        "each, off or time" => json!({ "type": ["string", "boolean"] }),
        _ => json!({ "type": "string" }),
    };
    if setting.is_list {
        schema = any_of(json!({ "type": "string" }), json!({ "type": "array", "items": schema, "minItems": 1 }));
    }
    let default = setting.default.as_ref().map(|default| format!(" (default {})", default.trim_matches('"')));
    schema["description"] = json!(format!("{}{}", setting.help, default.unwrap_or_default()));
    schema
}
