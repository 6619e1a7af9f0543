//! The counterparts of changes: the fields of the request in which the next policy of a chain sees them.

use super::{Field, Kind, Message};

/// Returns for each field of a response the index of its counterpart in the request, if it has one. Refuses a counterpart of
/// another type, and one that is named and is not there.
pub fn of(response: &str, request: &str, messages: &[Message]) -> Result<Vec<Option<usize>>, String> {
    let find = |name: &str| messages.iter().find(|message| message.name == name);
    let (Some(response), Some(request)) = (find(response), find(request)) else { return Ok(Vec::new()) };
    response.fields.iter().map(|field| counterpart(field, request, messages)).collect()
}

fn counterpart(change: &Field, request: &Message, messages: &[Message]) -> Result<Option<usize>, String> {
    let name = change.seen_as.as_ref().unwrap_or(&change.json);
    let found = request.fields.iter().position(|field| field.json == *name);
    let Some(index) = found else {
        return match &change.seen_as {
            Some(named) if !named.is_empty() => {
                Err(format!("{} is seen_as {named:?}, which is no field of {}", change.name, request.name))
            }
            _ => Ok(None),
        };
    };
    let field = &request.fields[index];
    if !is_of_one_type(change, field, messages) {
        return Err(format!(
            "{} has another type than {}: seen_as names the field that shows its change, or none by an empty text",
            change.name, field.name
        ));
    }
    Ok(Some(index))
}

/// Returns true if the values of a change can stand in the field: a wrapper's list in a list.
fn is_of_one_type(change: &Field, field: &Field, messages: &[Message]) -> bool {
    match &change.kind {
        Kind::Bare(wrapper) => {
            let inner =
                messages.iter().find(|message| message.name == *wrapper).and_then(|wrapper| wrapper.fields.first());
            inner.is_some_and(|inner| inner.kind == field.kind && inner.label == field.label)
        }
        kind => *kind == field.kind && (change.label == field.label || change.is_single() && field.is_single()),
    }
}
