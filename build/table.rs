//! Writes the contract as static rows.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::contract::{Callback, Contract, DenialBreaks, Field, Group, Id, Kind, Label, Message, Rules};

/// Example bodies of webhooks, by command.
pub type Examples = BTreeMap<String, String>;

/// Returns the Rust source of the table that the contract includes.
pub fn table(contract: &Contract, examples: &Examples) -> Result<String, String> {
    let mut out = String::new();
    for message in &contract.messages {
        out += &format!("static {}: Message = {};\n", constant(&message.name), Row(message));
    }
    out += &format!(
        "/// The rpc that takes unknown commands.\npub(crate) static FALLBACK: Callback = {};\n",
        Row((contract.callbacks.len(), &contract.fallback, ""))
    );
    out += "/// Every callback, in the order of the contract.\n";
    out += &format!("pub(crate) static CALLBACKS: [Callback; {}] = [\n", contract.callbacks.len());
    for (place, callback) in contract.callbacks.iter().enumerate() {
        let example = examples.get(&callback.command).ok_or_else(|| format!("{} has no fixture", callback.command))?;
        out += &format!("    {},\n", Row((place, callback, example.as_str())));
    }
    out += "];\n";

    let mut commands: Vec<(&str, usize)> = Vec::new();
    for (index, callback) in contract.callbacks.iter().enumerate() {
        let names = callback.older_commands.iter().chain([&callback.command]);
        commands.extend(names.map(|command| (command.as_str(), index)));
    }
    commands.sort_unstable();
    out += "/// Every command, older ones too, with the place of its callback, sorted.\n";
    out += &format!("pub(crate) static COMMANDS: [(&str, usize); {}] = {commands:?};\n", commands.len());
    Ok(out)
}

/// A part of the contract, displayed as the Rust expression of its row.
struct Row<T>(T);

impl Display for Row<(usize, &Callback, &str)> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, callback, example) = self.0;
        let Callback {
            command,
            older_commands,
            config_key,
            older_config_keys,
            before,
            releases,
            rpc,
            request,
            response,
            ordered_by,
            counterparts,
            order_domain,
            fails_open,
            fail_closed_breaks,
            denial_breaks,
            dead_config_keys,
            attention_ids,
        } = callback;
        let timing = if *before { "Before" } else { "After" };
        let (request, response) = (constant(request), constant(response));
        let ordered_by: String = ordered_by.iter().map(|places| format!("&{places:?}, ")).collect();
        let denial_breaks = match denial_breaks {
            Some(DenialBreaks { what, when }) => {
                format!("Some(DenialBreaks {{ what: {what:?}, when: {} }})", condition(when.as_ref()))
            }
            None => "None".to_owned(),
        };
        write!(
            f,
            "Callback {{ index: {place}, command: {command:?}, older_commands: &{older_commands:?}, config_key: {config_key:?}, \
             older_config_keys: &{older_config_keys:?}, timing: Timing::{timing}, \
             releases: &{releases:?}, rpc: {rpc:?}, request: &{request}, response: &{response}, \
             ordered_by: &[{ordered_by}], counterparts: &{counterparts:?}, order_domain: {order_domain:?}, example: {example:?}, fails_open: {fails_open}, \
             fail_closed_breaks: {fail_closed_breaks:?}, denial_breaks: {denial_breaks}, \
             dead_config_keys: &{dead_config_keys:?}, attention_ids: {attention_ids:?} }}"
        )
    }
}

impl Display for Row<&Message> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { name, fields, groups, unknown_fields, echo_only } = self.0;
        write!(
            f,
            "Message {{ name: {name:?}, unknown_fields: {unknown_fields:?}, echo_only: &{echo_only:?}, groups: &["
        )?;
        for group in groups {
            let Group { name, number, optional } = group;
            write!(f, "Group {{ name: {:?}, number: {number}, optional: {optional} }}, ", field_of(name))?;
        }
        write!(f, "], fields: &[")?;
        for field in fields {
            write!(f, "{}, ", Row(field))?;
        }
        write!(f, "] }}")
    }
}

impl Display for Row<&Field> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Field { name, json, aliases, number, group, kind, label, redact, id, content_of, seen_as: _, rules } =
            self.0;
        let id = match id {
            Some(Id::User) => "Some(Id::User)",
            Some(Id::Group) => "Some(Id::Group)",
            None => "None",
        };
        let label = match label {
            Label::Plain => "Plain",
            Label::Optional => "Optional",
            Label::Repeated => "Repeated",
            Label::Map => "Map",
        };
        write!(
            f,
            "Field {{ name: {:?}, json: {json:?}, aliases: &{aliases:?}, number: {number}, group: {group:?}, kind: {}, \
             label: Label::{label}, redact: {redact}, id: {id}, content_of: {content_of:?}, rules: {} }}",
            field_of(name),
            Row(kind),
            Row(rules)
        )
    }
}

impl Display for Row<&Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Message(name) => write!(f, "Kind::Message(&{})", constant(name)),
            Kind::Bare(name) => write!(f, "Kind::Bare(&{})", constant(name)),
            scalar => write!(f, "Kind::{scalar:?}"),
        }
    }
}

impl Display for Row<&Rules> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rules { echo, only_if_sent, non_empty, json_object, one_of, refused_when, refused_unless, empty_is_unset } =
            self.0;
        write!(
            f,
            "Rules {{ echo: {echo}, only_if_sent: {only_if_sent}, non_empty: {non_empty}, json_object: {json_object}, \
             one_of: &{one_of:?}, refused_when: {}, refused_unless: {}, empty_is_unset: {empty_is_unset} }}",
            condition(refused_when.as_ref()),
            condition(refused_unless.as_ref())
        )
    }
}

/// Returns a condition on the request as the expression of an option.
fn condition(condition: Option<&(String, Vec<i32>)>) -> String {
    match condition {
        Some((field, values)) => format!("Some(RequestIs {{ field: {field:?}, values: &{values:?} }})"),
        None => "None".to_owned(),
    }
}

/// Returns the field of `Message.field`.
fn field_of(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, field)| field)
}

/// Returns the name of the static of a message: `USER_ID_LIST` for `UserIdList`.
fn constant(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}
