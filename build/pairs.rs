//! Refuses requests and responses that cannot be right, each by itself and as a pair.

use std::collections::{BTreeMap, BTreeSet};

use super::{Callback, Contract, Field, Kind, Label, Message, Rules, UNKNOWN_FIELDS};

/// The fields that every reply has.
const VERDICT: [&str; 5] = ["actionCode", "errCode", "errMsg", "errDlt", "nextCode"];

/// The direction of a message; some options are for one direction only.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Request,
    Response,
}

/// Refuses a callback whose rows contradict each other.
pub fn check(contract: &Contract) -> Result<(), String> {
    let messages = Messages(contract.messages.iter().map(|message| (&*message.name, message)).collect());
    for callback in contract.callbacks.iter().chain([&contract.fallback]) {
        let (request, response) = (messages.0[&*callback.request], messages.0[&*callback.response]);
        messages.check(request, Way::Request, true)?;
        check_request(request, callback)?;
        messages.check(response, Way::Response, true)?;
        check_response(response, callback)?;
        check_beside(response, request)?;
        check_contents(request, request)?;
        check_contents(response, request)?;
        check_failure(callback, response, request)?;
    }
    Ok(())
}

/// The messages by their names.
struct Messages<'a>(BTreeMap<&'a str, &'a Message>);

impl Messages<'_> {
    /// Refuses fields and options that a message, and those that it holds, cannot have in this direction.
    fn check(&self, message: &Message, way: Way, top: bool) -> Result<(), String> {
        let name = &message.name;
        let (is_request, is_response) = (top && way == Way::Request, top && way == Way::Response);
        if message.unknown_fields.is_some() && !is_request {
            return Err(format!("{name} has unknown_fields but is not an rpc's request"));
        }
        if !message.echo_only.is_empty() && !is_response {
            return Err(format!("{name} has echo_only but is not an rpc's response"));
        }
        if let (Way::Response, Some(group)) = (way, message.groups.first()) {
            return Err(format!("{} is flattened but stands in a response", group.name));
        }
        for field in &message.fields {
            if field.id.is_some() && field.redact {
                return Err(format!("{} is an ID, which the decision log has, and redacted", field.name));
            }
            if !top && field.content_of.is_some() {
                return Err(format!("{} is content, which only a field of an rpc's own messages can be", field.name));
            }
            match way {
                Way::Request => check_request_field(field)?,
                Way::Response => check_change(field, top)?,
            }
            if let Kind::Message(inner) | Kind::Bare(inner) = &field.kind {
                self.check(self.0[&**inner], way, false)?;
            }
        }
        Ok(())
    }
}

fn check_request_field(field: &Field) -> Result<(), String> {
    let name = &field.name;
    if field.rules != Rules::default() {
        return Err(format!("{name} is checked like a change but stands in a request"));
    }
    if matches!(field.kind, Kind::Bare(_)) {
        return Err(format!("{name} is bare but stands in a request"));
    }
    if field.label == Label::Map {
        return Err(format!("{name} is a map, which no webhook's request has"));
    }
    if field.id.is_some() && field.kind != Kind::String {
        return Err(format!("{name} is an ID but no text"));
    }
    Ok(())
}

fn check_change(field: &Field, top: bool) -> Result<(), String> {
    let Field { name, kind, rules, .. } = field;
    let is_text = field.is_single() && *kind == Kind::String;
    let is_number = field.is_single() && *kind == Kind::Int32;
    // A message used in both directions has its IDs in both.
    if !field.aliases.is_empty() || *kind == Kind::CodePoint || (top && field.id.is_some()) {
        return Err(format!("{name} is read like a request's field but stands in a response"));
    }
    if rules.non_empty && !is_text && !matches!(kind, Kind::Bare(_)) {
        return Err(format!("{name} cannot be non_empty: only a text, or a wrapped list or map, can"));
    }
    if rules.json_object && !is_text {
        return Err(format!("{name} cannot be a json_object: only a text can"));
    }
    if !rules.one_of.is_empty() && !is_number {
        return Err(format!("{name} cannot be one_of: only an int32 can"));
    }
    if !top && (rules.echo || rules.only_if_sent || rules.empty_is_unset || rules.conditions().next().is_some()) {
        return Err(format!("{name} is compared with the request, which only a response's own fields can be"));
    }
    Ok(())
}

fn check_request(request: &Message, callback: &Callback) -> Result<(), String> {
    let name = &request.name;
    let is_command = |field: &Field| field.number == 1 && field.json == "callbackCommand" && field.kind == Kind::String;
    if !request.fields.first().is_some_and(is_command) {
        return Err(format!("{name} does not begin with string callback_command = 1"));
    }
    // The fallback's request has the whole body.
    if !callback.is_fallback() && request.unknown_fields.is_none() {
        return Err(format!("{name} has no unknown_fields = {UNKNOWN_FIELDS}"));
    }
    Ok(())
}

fn check_response(response: &Message, callback: &Callback) -> Result<(), String> {
    let name = &response.name;
    let denial = Kind::Message("Denial".to_owned());
    let is_denial = |field: &Field| {
        field.number == 1 && field.kind == denial && field.is_single() && field.rules == Rules::default()
    };
    let Some((_, changes)) = response.fields.split_first().filter(|(first, _)| is_denial(first)) else {
        return Err(format!("{name} does not begin with a plain Denial denial = 1"));
    };
    let offers = !changes.is_empty() || !response.echo_only.is_empty();
    if offers && !callback.before {
        return Err(format!("{name} has more than a denial, but only a Before callback takes changes"));
    }
    if let Some(field) = changes.iter().find(|field| field.label == Label::Plain) {
        return Err(format!("{} is not optional: left out and empty would be one", field.name));
    }
    // OpenIM reads names without case, and the last of two.
    let mut names: BTreeSet<String> = VERDICT.iter().map(|json| json.to_lowercase()).collect();
    for json in response.echo_only.iter().chain(changes.iter().map(|field| &field.json)) {
        if !names.insert(json.to_lowercase()) {
            return Err(format!("{name} puts a second {json} into the reply"));
        }
    }
    Ok(())
}

/// Refuses an option that needs a field which the request does not have.
fn check_beside(response: &Message, request: &Message) -> Result<(), String> {
    let of_request = |json: &str| request.fields.iter().find(|field| field.json == json);
    if let Some(json) = response.echo_only.iter().find(|json| of_request(json).is_none()) {
        return Err(format!("{} hands back {json}, which {} does not have", response.name, request.name));
    }
    for field in &response.fields {
        let Field { name, json, kind, rules, .. } = field;
        let is_twin = |other: &Field| other.kind == *kind && other.is_single() == field.is_single();
        if (rules.echo || rules.only_if_sent || rules.empty_is_unset) && !of_request(json).is_some_and(is_twin) {
            return Err(format!("{name} is compared with {json}, which {} does not have in that type", request.name));
        }
        for condition in rules.conditions() {
            check_condition(&format!("{name} is refused by"), condition, request)?;
        }
    }
    Ok(())
}

/// Refuses content that is no text, or whose kind the request does not say.
fn check_contents(message: &Message, request: &Message) -> Result<(), String> {
    for content in &message.fields {
        let Some(json) = &content.content_of else { continue };
        let is_number = |field: &Field| field.json == *json && field.kind == Kind::Int32 && field.is_single();
        let is_text = content.kind == Kind::String && content.is_single();
        if !is_text || !request.fields.iter().any(is_number) {
            let (name, request) = (&content.name, &request.name);
            return Err(format!("{name} is the content of {json:?}, which takes a text and an int32 of {request}"));
        }
    }
    Ok(())
}

/// Refuses a condition that no request can fulfil.
fn check_condition(subject: &str, (json, values): &(String, Vec<i32>), request: &Message) -> Result<(), String> {
    let is_number = |field: &Field| field.json == *json && field.kind == Kind::Int32 && field.is_single();
    if !request.fields.iter().any(is_number) {
        return Err(format!("{subject} {json:?}, which is no int32 of {}", request.name));
    }
    if values.is_empty() {
        return Err(format!("{subject} {json:?}, but at no value of it"));
    }
    Ok(())
}

/// Refuses a default failure rule that cannot apply, and damage that cannot happen or is not described.
fn check_failure(callback: &Callback, response: &Message, request: &Message) -> Result<(), String> {
    let name = callback.name();
    let Callback { before, fails_open, fail_closed_breaks, denial_breaks, .. } = callback;
    if (*fails_open || denial_breaks.is_some()) && !before {
        return Err(format!("{name} says what a denial does, which only one of a Before callback does"));
    }
    let echo = response.fields.iter().find(|field| field.rules.echo).map(|field| &field.json);
    if let (true, Some(json)) = (*fails_open, response.echo_only.first().or(echo)) {
        return Err(format!(
            "{name} is allowed on failure, but hands back {json}, which a body that is not read hides"
        ));
    }
    if *fails_open == fail_closed_breaks.is_empty() {
        return Err(format!("{name} needs both of on_failure and fail_closed_breaks, or neither"));
    }
    let Some(breaks) = denial_breaks else { return Ok(()) };
    if breaks.what.is_empty() {
        return Err(format!("{name} does not say what a denial breaks"));
    }
    breaks.when.iter().try_for_each(|when| check_condition(&format!("{name} is broken by denials at"), when, request))
}
