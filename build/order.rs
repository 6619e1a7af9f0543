//! The order of an After rpc's events: its key, and the domain that shares it.

use std::collections::BTreeMap;

use prost_reflect::MethodDescriptor;

use super::options::{AFTER, Webhook};
use super::{Callback, Kind, Message};

/// Returns the indexes of the fields that an rpc names as its ordering key, in its request. Refuses fields that are not text.
pub fn places(method: &MethodDescriptor, webhook: &Webhook, messages: &[Message]) -> Result<Vec<Vec<usize>>, String> {
    let rpc = format!("{}/{}", method.parent_service().name(), method.name());
    if !webhook.ordered_by.is_empty() && webhook.timing != AFTER {
        return Err(format!("{rpc} says what it is ordered_by, which only an After callback can"));
    }
    let request = messages.iter().find(|message| message.name == method.input().name());
    let request = request.ok_or_else(|| format!("{rpc} has no request"))?;
    let place = |name: &str| {
        let is_it = |field: &super::Field| field.name.rsplit_once('.').is_some_and(|(_, short)| short == name);
        let mut found = (0..).zip(&request.fields).filter(|(_, field)| is_it(field));
        let (Some((place, field)), None) = (found.next(), found.next()) else {
            return Err(format!("{rpc} is ordered_by {name:?}, which is not one field of {}", request.name));
        };
        if field.kind != Kind::String || !field.is_single() {
            return Err(format!("{rpc} is ordered_by {}, which is not one text", field.name));
        }
        if field.redact {
            return Err(format!("{rpc} is ordered_by {}, which is redacted, and its key would be shown", field.name));
        }
        Ok(place)
    };
    webhook.ordered_by.iter().map(|entry| entry.split('+').map(place).collect()).collect()
}

/// Refuses a domain without an order, and one that is not named as domains are.
pub fn check_domain(method: &MethodDescriptor, webhook: &Webhook) -> Result<(), String> {
    let Some(domain) = &webhook.order_domain else { return Ok(()) };
    let rpc = format!("{}/{}", method.parent_service().name(), method.name());
    if webhook.timing != AFTER {
        return Err(format!("{rpc} names an order_domain, which only an After callback can"));
    }
    if webhook.ordered_by.is_empty() {
        return Err(format!("{rpc} names the order_domain {domain:?}, but not what it is ordered_by"));
    }
    if domain.is_empty() || !domain.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_') {
        return Err(format!("{rpc} names the order_domain {domain:?}, which must be of the letters a to z and _"));
    }
    Ok(())
}

/// Refuses a domain of one callback, which shares its order with none.
pub fn check_domains(callbacks: &[Callback]) -> Result<(), String> {
    let mut domains: BTreeMap<&str, Vec<&Callback>> = BTreeMap::new();
    for callback in callbacks {
        domains.entry(&callback.order_domain).or_default().push(callback);
    }
    for (domain, its) in domains {
        if let [only] = *its
            && only.order_domain != only.rpc
        {
            let name = only.name();
            return Err(format!("{name} is alone in the order_domain {domain:?}, which takes two callbacks at least"));
        }
    }
    Ok(())
}
