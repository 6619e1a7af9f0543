//! Reads messages: their fields, those of flattened groups among them, as rows.

use prost_reflect::{FieldDescriptor, Kind as ProtoKind, MessageDescriptor};

use super::options::{Options, Wire};
use super::{Field, Group, Kind, Label, Message, UNKNOWN_FIELDS, refusals};

/// The messages read so far.
pub struct Messages<'a> {
    options: &'a Options,
    /// Each after those that it holds.
    pub rows: Vec<Message>,
    /// The messages being read, outermost first, to notice one that holds itself.
    open: Vec<String>,
}

impl<'a> Messages<'a> {
    pub fn new(options: &'a Options) -> Self {
        Self { options, rows: Vec::new(), open: Vec::new() }
    }

    /// Reads a message and what it holds, once.
    pub fn read(&mut self, descriptor: &MessageDescriptor) -> Result<(), String> {
        refusals::check_shape(descriptor)?;
        let name = descriptor.name().to_owned();
        if self.open.contains(&name) {
            return Err(format!("{name} holds itself"));
        }
        if self.rows.iter().any(|message| message.name == name) {
            return Ok(());
        }
        self.open.push(name.clone());
        let echo_only = self.options.echo_only(descriptor);
        let mut message = Message { name, fields: Vec::new(), groups: Vec::new(), unknown_fields: None, echo_only };
        for field in descriptor.fields() {
            let wire = self.options.wire(&field);
            if field.number() == UNKNOWN_FIELDS {
                refusals::check_unknown_fields(&field)?;
                message.unknown_fields = Some(UNKNOWN_FIELDS);
            } else if wire.flatten {
                self.group(&field, &wire, &mut message)?;
            } else {
                message.fields.push(self.field(&field, wire)?);
            }
        }
        refusals::check_names(&message)?;
        self.open.pop();
        self.rows.push(message);
        Ok(())
    }

    /// Reads a flattened group into the message that holds it.
    fn group(&mut self, field: &FieldDescriptor, wire: &Wire, message: &mut Message) -> Result<(), String> {
        let name = name_of(field);
        let inner = match field.kind() {
            ProtoKind::Message(inner) if !field.is_list() && !field.is_map() => inner,
            _ => return Err(format!("{name} is flattened but not one message")),
        };
        if *wire != (Wire { flatten: true, redacted: wire.redacted, ..Wire::default() }) {
            return Err(format!("{name} is flattened and has another option beside, which would have no effect"));
        }
        refusals::check_shape(&inner)?;
        let group = Some(message.groups.len());
        let optional = field.field_descriptor_proto().proto3_optional();
        message.groups.push(Group { name, number: field.number(), optional });
        for field in inner.fields() {
            let mut of_field = self.options.wire(&field);
            if of_field.flatten {
                return Err(format!("{} is flattened within a flattened group", name_of(&field)));
            }
            of_field.redacted |= wire.redacted;
            message.fields.push(Field { group, ..self.field(&field, of_field)? });
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, wire: Wire) -> Result<Field, String> {
        let label = match field {
            _ if field.is_map() => Label::Map,
            _ if field.is_list() => Label::Repeated,
            _ if field.supports_presence() => Label::Optional,
            _ => Label::Plain,
        };
        Ok(Field {
            name: name_of(field),
            json: field.json_name().to_owned(),
            number: field.number(),
            group: None,
            kind: self.kind(field, label, &wire)?,
            label,
            redact: wire.redacted,
            id: wire.id,
            aliases: wire.aliases,
            content_of: wire.content_of,
            seen_as: wire.seen_as,
            rules: wire.rules,
        })
    }

    fn kind(&mut self, field: &FieldDescriptor, label: Label, wire: &Wire) -> Result<Kind, String> {
        let name = name_of(field);
        let mut of = field.kind();
        if let (Label::Map, ProtoKind::Message(entry)) = (label, &of) {
            if entry.map_entry_key_field().kind() != ProtoKind::String {
                return Err(format!("{name} is a map whose keys are not texts"));
            }
            of = entry.map_entry_value_field().kind();
        }
        if wire.code_point && (of != ProtoKind::Int32 || field.is_list() || field.is_map()) {
            return Err(format!("{name} is a code_point but not one int32"));
        }
        if wire.bare && !(label == Label::Optional && is_wrapper(&of)) {
            return Err(format!("{name} is bare but not one wrapper of a list or map"));
        }
        Ok(match of {
            ProtoKind::Bool => Kind::Bool,
            ProtoKind::Int32 if wire.code_point => Kind::CodePoint,
            ProtoKind::Int32 => Kind::Int32,
            ProtoKind::Int64 => Kind::Int64,
            ProtoKind::Uint32 => Kind::Uint32,
            ProtoKind::String => Kind::String,
            ProtoKind::Message(inner) => {
                self.read(&inner)?;
                let inner = inner.name().to_owned();
                if wire.bare { Kind::Bare(inner) } else { Kind::Message(inner) }
            }
            other => return Err(format!("{name} is of the type {other:?}, which no field of a webhook has")),
        })
    }
}

/// Returns true for a message whose only field is a list or a map.
fn is_wrapper(kind: &ProtoKind) -> bool {
    let ProtoKind::Message(message) = kind else { return false };
    message.fields().len() == 1 && message.fields().all(|field| field.is_list() || field.is_map())
}

/// Returns the name of a field in the contract: `Message.field`.
pub fn name_of(field: &FieldDescriptor) -> String {
    format!("{}.{}", field.parent_message().name(), field.name())
}
