//! Paths to the fields of messages, as the decision log and its settings name them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::{Callback, Field, Kind, Label, Message};

/// The path from a message to a field that holds no message itself.
#[derive(Debug)]
pub struct FieldPath {
    /// The contract's names, joined by dots: `message.send_id`.
    pub name: String,
    /// The index of the field in each message on the path.
    pub indices: Vec<usize>,
    /// True if there is a list of messages on the path.
    pub repeated: bool,
}

/// Returns the paths to all fields of a message that hold no message themselves. A list of plain values is one value.
pub fn field_paths(message: &'static Message) -> Vec<(FieldPath, &'static Field)> {
    let mut all = Vec::new();
    for (index, field) in message.fields.iter().enumerate() {
        let name = match field.group.and_then(|group| message.groups.get(group)) {
            Some(group) => format!("{}.{}", group.name, field.name),
            None => field.name.to_owned(),
        };
        let repeated = field.label == Label::Repeated;
        match field.kind {
            Kind::Message(inner) => all.extend(field_paths(inner).into_iter().map(|(path, leaf)| {
                let indices = [index].into_iter().chain(path.indices).collect();
                (
                    FieldPath { name: format!("{name}.{}", path.name), indices, repeated: repeated || path.repeated },
                    leaf,
                )
            })),
            _ => all.push((FieldPath { name, indices: vec![index], repeated: false }, field)),
        }
    }
    all
}

/// Returns the names of all fields that requests can have, as in `message.content`.
pub fn request_field_names() -> &'static BTreeSet<String> {
    static NAMES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let requests = Callback::all().iter().chain([Callback::fallback()]).map(|callback| callback.request);
        requests.flat_map(field_paths).map(|(path, _)| path.name).collect()
    });
    &NAMES
}
