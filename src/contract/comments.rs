//! The comments of the contract, for people: read from its descriptors on request.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::proto::DESCRIPTORS;
use super::{Callback, Field, Message};

/// The comments on rpcs and fields.
pub(crate) struct Comments {
    /// By the name of an rpc, `Service/Rpc`, or of a field, `Message.field`.
    texts: HashMap<String, String>,
    /// The messages that are the types of fields, by the field's name, `Message.field`.
    types: HashMap<String, String>,
}

impl Comments {
    /// Reads all comments.
    pub(crate) fn read() -> Self {
        let set = FileDescriptorSet::decode(DESCRIPTORS).expect("the build has encoded them");
        let (mut texts, mut types) = (HashMap::new(), HashMap::new());
        for file in set.file {
            for message in &file.message_type {
                for field in &message.field {
                    let name = field.type_name().rsplit('.').next().unwrap_or_default();
                    types.insert(format!("{}.{}", message.name(), field.name()), name.to_owned());
                }
            }
            for location in file.source_code_info.iter().flat_map(|info| &info.location) {
                // Paths of fields in descriptor.proto: message_type is 4, field 2, service 6, method 2.
                let at = |index: i32| usize::try_from(index).unwrap_or_default();
                let name = match *location.path {
                    [4, message, 2, field] => file.message_type.get(at(message)).and_then(|message| {
                        Some(format!("{}.{}", message.name(), message.field.get(at(field))?.name()))
                    }),
                    [6, service, 2, method] => file.service.get(at(service)).and_then(|service| {
                        Some(format!("{}/{}", service.name(), service.method.get(at(method))?.name()))
                    }),
                    _ => None,
                };
                texts.extend(name.map(|name| (name, location.leading_comments().to_owned())));
            }
        }
        Self { texts, types }
    }

    /// Returns the comment on a callback's rpc.
    pub(crate) fn of_callback(&self, callback: &Callback) -> &str {
        self.text(callback.service_and_method())
    }

    /// Returns the first sentence of the comment on a field, which stands in this message or in a flattened group of it.
    pub(crate) fn of_field(&self, message: &Message, field: &Field) -> &str {
        let group = field.group.and_then(|group| message.groups.get(group));
        let holder = group.map_or(Some(message.name), |group| {
            self.types.get(&format!("{}.{}", message.name, group.name)).map(String::as_str)
        });
        let text = self.text(&format!("{}.{}", holder.unwrap_or_default(), field.name));
        let end = [". ", ".\n"].iter().filter_map(|end| text.find(end)).min().map_or(text.len(), |end| end + 1);
        text[..end].trim()
    }

    fn text(&self, name: &str) -> &str {
        self.texts.get(name).map(|text| text.trim()).unwrap_or_default()
    }
}
