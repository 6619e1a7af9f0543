//! Reads the contract from its descriptors and refuses what cannot be right, naming the culprit.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind as ProtoKind, MessageDescriptor,
    MethodDescriptor,
};

/// The package that holds the contract and its options.
pub const PACKAGE: &str = "openim.policy.v1";

/// The number of the map that keeps what a webhook carried beyond the contract, the same in every request.
const UNKNOWN_FIELDS: u32 = 100;

/// What the contract says, ready to be written down as rows.
#[derive(Debug)]
pub struct Contract {
    /// The rpcs in the order of the files, the fallback apart.
    pub callbacks: Vec<Callback>,
    /// The rpc that takes unknown commands.
    pub fallback: Callback,
    /// Every message that a row needs, each after those it holds.
    pub messages: Vec<Message>,
}

/// An rpc and its webhook.
#[derive(Debug)]
pub struct Callback {
    pub command: String,
    pub older_commands: Vec<String>,
    pub config_key: String,
    pub older_config_keys: Vec<String>,
    pub before: bool,
    pub rpc: String,
    pub request: String,
    pub response: String,
}

/// A message as its JSON shows it: the fields of flattened groups stand among the others.
#[derive(Debug)]
pub struct Message {
    pub name: String,
    pub fields: Vec<Field>,
    pub groups: Vec<Group>,
    pub unknown_fields: Option<u32>,
    pub echo_only: Vec<String>,
}

/// A flattened group of a message.
#[derive(Debug)]
pub struct Group {
    pub number: u32,
    pub optional: bool,
}

/// A field of a message's JSON.
#[derive(Debug)]
pub struct Field {
    pub json: String,
    pub aliases: Vec<String>,
    pub number: u32,
    pub group: Option<usize>,
    pub kind: Kind,
    pub label: Label,
    pub redact: bool,
    pub rules: Rules,
}

/// The type of a field's values.
#[derive(Debug, PartialEq)]
pub enum Kind {
    Bool,
    Int32,
    Int64,
    Uint32,
    CodePoint,
    String,
    Message(String),
    Bare(String),
}

/// How often a field's value stands in a message.
#[derive(Debug, PartialEq, Clone, Copy)]
pub enum Label {
    Plain,
    Optional,
    Repeated,
    Map,
}

/// What must hold of a change.
#[derive(Debug, Default, PartialEq)]
pub struct Rules {
    pub echo: bool,
    pub only_if_sent: bool,
    pub non_empty: bool,
    pub json_object: bool,
    pub one_of: Vec<i32>,
    pub refused_when: Option<(String, Vec<i32>)>,
    pub refused_unless: Option<(String, Vec<i32>)>,
}

/// Which way a message travels; some options are for one way only.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Request,
    Response,
}

/// Reads all services of the package.
pub fn read(pool: &DescriptorPool) -> Result<Contract, String> {
    let mut reader = Reader { pool, messages: Vec::new(), open: Vec::new() };
    let (mut callbacks, mut fallback) = (Vec::new(), None);
    let mut commands = BTreeMap::new();
    for service in pool.services().filter(|service| service.package_name() == PACKAGE) {
        for method in service.methods() {
            let (callback, is_fallback) = reader.callback(&method)?;
            if is_fallback {
                if fallback.replace(callback).is_some() {
                    return Err(format!("{} is a second fallback", method.full_name()));
                }
                continue;
            }
            for command in callback.older_commands.iter().chain([&callback.command]) {
                if let Some(other) = commands.insert(command.clone(), method.full_name().to_owned()) {
                    return Err(format!("{other} and {} both answer {command}", method.full_name()));
                }
            }
            callbacks.push(callback);
        }
    }
    let fallback = fallback.ok_or("no rpc is the fallback")?;
    Ok(Contract { callbacks, fallback, messages: reader.messages })
}

struct Reader<'a> {
    pool: &'a DescriptorPool,
    messages: Vec<Message>,
    /// The messages being read, outermost first, to notice one that holds itself.
    open: Vec<String>,
}

impl Reader<'_> {
    fn callback(&mut self, method: &MethodDescriptor) -> Result<(Callback, bool), String> {
        let name = method.full_name();
        let webhook =
            self.option(&method.options(), "webhook")?.ok_or_else(|| format!("{name} names no webhook command"))?;
        let fallback = bool_of(&webhook, "fallback");
        let timing = webhook.get_field_by_name("timing").and_then(|value| value.as_enum_number()).unwrap_or(0);
        let callback = Callback {
            command: string_of(&webhook, "command"),
            older_commands: strings_of(&webhook, "older_commands"),
            config_key: string_of(&webhook, "config_key"),
            older_config_keys: strings_of(&webhook, "older_config_keys"),
            before: timing == 1,
            rpc: format!("/{}/{}", method.parent_service().full_name(), method.name()),
            request: method.input().name().to_owned(),
            response: method.output().name().to_owned(),
        };
        if callback.command.is_empty() != fallback {
            return Err(format!("{name} names no webhook command"));
        }
        if !fallback && callback.config_key.is_empty() {
            return Err(format!("{name} names no config key"));
        }
        if !fallback && timing == 0 {
            return Err(format!("{name} is neither a Before nor an After callback"));
        }
        if method.is_client_streaming() || method.is_server_streaming() {
            return Err(format!("{name} streams; a webhook is one request and one reply"));
        }
        self.message(&method.input(), Way::Request)?;
        self.message(&method.output(), Way::Response)?;
        self.check_request(&callback.request, fallback)?;
        self.check_response(&callback)?;
        Ok((callback, fallback))
    }

    /// Reads a message and what it holds, once.
    fn message(&mut self, descriptor: &MessageDescriptor, way: Way) -> Result<(), String> {
        let name = descriptor.name().to_owned();
        if self.open.contains(&name) {
            return Err(format!("{name} holds itself"));
        }
        if self.messages.iter().any(|message| message.name == name) {
            return Ok(());
        }
        self.open.push(name.clone());
        let mut message = Message {
            name,
            fields: Vec::new(),
            groups: Vec::new(),
            unknown_fields: None,
            echo_only: self.echo_only(descriptor)?,
        };
        self.fields(descriptor, way, &mut message)?;
        unique_names(&message)?;
        self.open.pop();
        self.messages.push(message);
        Ok(())
    }

    fn fields(&mut self, descriptor: &MessageDescriptor, way: Way, message: &mut Message) -> Result<(), String> {
        if let Some(oneof) = descriptor.oneofs().find(|oneof| !oneof.is_synthetic()) {
            return Err(format!("{} is a oneof, which no webhook has", oneof.full_name()));
        }
        for field in descriptor.fields() {
            if field.number() == UNKNOWN_FIELDS {
                message.unknown_fields = Some(unknown_fields(&field)?);
                continue;
            }
            let wire = self.wire(&field)?;
            if !bool_of(&wire, "flatten") {
                let row = self.field(&field, way, &wire)?;
                message.fields.push(row);
                continue;
            }
            let ProtoKind::Message(inner) = field.kind() else {
                return Err(format!("{} is flattened but not a message", field.full_name()));
            };
            if field.is_list() || field.is_map() || way == Way::Response {
                return Err(format!("{} cannot be flattened: only single messages of requests can", field.full_name()));
            }
            let group = Some(message.groups.len());
            message.groups.push(Group { number: field.number(), optional: is_optional(&field) });
            for field in inner.fields() {
                let wire = self.wire(&field)?;
                if bool_of(&wire, "flatten") {
                    return Err(format!("{} is flattened within a flattened group", field.full_name()));
                }
                let row = self.field(&field, way, &wire)?;
                message.fields.push(Field { group, ..row });
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, way: Way, wire: &DynamicMessage) -> Result<Field, String> {
        let name = field.full_name();
        let (kind, label) = self.kind(field, way, wire)?;
        let rules = rules(wire);
        let aliases = strings_of(wire, "aliases");
        if way == Way::Request && rules != Rules::default() {
            return Err(format!("{name} is checked like a change but stands in a request"));
        }
        if way == Way::Response && (!aliases.is_empty() || kind == Kind::CodePoint) {
            return Err(format!("{name} has options of a request field but stands in a response"));
        }
        let listlike = label == Label::Repeated || label == Label::Map;
        if rules.non_empty && (listlike || !matches!(kind, Kind::String | Kind::Bare(_))) {
            return Err(format!("{name} cannot be non_empty: only texts and wrapped lists can"));
        }
        if rules.json_object && (listlike || kind != Kind::String) {
            return Err(format!("{name} cannot be a json_object: only a text can"));
        }
        if !rules.one_of.is_empty() && (listlike || kind != Kind::Int32) {
            return Err(format!("{name} cannot be one_of: only an int32 can"));
        }
        Ok(Field {
            json: field.json_name().to_owned(),
            aliases,
            number: field.number(),
            group: None,
            kind,
            label,
            redact: field
                .options()
                .get_field_by_name("debug_redact")
                .and_then(|value| value.as_bool())
                .unwrap_or(false),
            rules,
        })
    }

    fn kind(&mut self, field: &FieldDescriptor, way: Way, wire: &DynamicMessage) -> Result<(Kind, Label), String> {
        let name = field.full_name();
        let label = match field.cardinality() {
            _ if field.is_map() => Label::Map,
            Cardinality::Repeated => Label::Repeated,
            _ if is_optional(field) || matches!(field.kind(), ProtoKind::Message(_)) => Label::Optional,
            _ => Label::Plain,
        };
        let mut of = field.kind();
        if let (Label::Map, ProtoKind::Message(entry)) = (label, &of) {
            if entry.map_entry_key_field().kind() != ProtoKind::String {
                return Err(format!("{name} is a map whose keys are not texts"));
            }
            of = entry.map_entry_value_field().kind();
        }
        let kind = match of {
            ProtoKind::Bool => Kind::Bool,
            ProtoKind::Int32 if bool_of(wire, "code_point") => Kind::CodePoint,
            ProtoKind::Int32 => Kind::Int32,
            ProtoKind::Int64 => Kind::Int64,
            ProtoKind::Uint32 => Kind::Uint32,
            ProtoKind::String => Kind::String,
            ProtoKind::Message(inner) => {
                self.message(&inner, way)?;
                if bool_of(wire, "bare") {
                    let mut fields = inner.fields();
                    let wraps = fields.next().is_some_and(|field| field.is_list() || field.is_map());
                    if label != Label::Optional || !wraps || fields.next().is_some() {
                        return Err(format!("{name} is bare but no wrapper of one list or map"));
                    }
                    Kind::Bare(inner.name().to_owned())
                } else {
                    Kind::Message(inner.name().to_owned())
                }
            }
            other => return Err(format!("{name} is a {other:?}, which no webhook has")),
        };
        if bool_of(wire, "code_point") && (kind != Kind::CodePoint || label == Label::Repeated) {
            return Err(format!("{name} is a code point but not an int32"));
        }
        if bool_of(wire, "bare") && (!matches!(kind, Kind::Bare(_)) || way == Way::Request) {
            return Err(format!("{name} cannot be bare: only a message of a response can"));
        }
        if label == Label::Map && way == Way::Request {
            return Err(format!("{name} is a map, which no webhook's request has"));
        }
        Ok((kind, label))
    }

    fn check_request(&self, request: &str, fallback: bool) -> Result<(), String> {
        let message = self.by_name(request);
        if !fallback && message.unknown_fields.is_none() {
            return Err(format!("{request} has no unknown_fields = {UNKNOWN_FIELDS}"));
        }
        if !message.fields.first().is_some_and(|field| field.number == 1 && field.json == "callbackCommand") {
            return Err(format!("{request} does not begin with callback_command = 1"));
        }
        Ok(())
    }

    fn check_response(&self, callback: &Callback) -> Result<(), String> {
        let (request, response) = (self.by_name(&callback.request), self.by_name(&callback.response));
        let name = &response.name;
        let of_request = |json: &str| request.fields.iter().find(|field| field.json == json);
        if !response
            .fields
            .first()
            .is_some_and(|field| field.number == 1 && field.kind == Kind::Message("Denial".into()))
        {
            return Err(format!("{name} does not begin with Denial denial = 1"));
        }
        for json in &response.echo_only {
            if of_request(json).is_none() || response.fields.iter().any(|field| field.json == *json) {
                return Err(format!("{name} echoes {json}, which must stand in the request and not in the response"));
            }
        }
        for field in response.fields.iter().skip(1) {
            let json = &field.json;
            if field.label == Label::Plain {
                return Err(format!("{name} has {json} without optional: left out and empty would be one"));
            }
            let twin = of_request(json);
            if (field.rules.echo || field.rules.only_if_sent) && twin.is_none_or(|twin| twin.kind != field.kind) {
                return Err(format!("{name} compares {json} with the request, which has no such field of that type"));
            }
            for (other, _) in field.rules.refused_when.iter().chain(&field.rules.refused_unless) {
                if of_request(other).is_none_or(|other| other.kind != Kind::Int32) {
                    return Err(format!("{name} checks {json} by {other}, which is no int32 of the request"));
                }
            }
        }
        Ok(())
    }

    fn by_name(&self, name: &str) -> &Message {
        self.messages.iter().find(|message| message.name == name).expect("read just before")
    }

    /// The value of one of the package's options, if it is set.
    fn option(&self, options: &DynamicMessage, name: &str) -> Result<Option<DynamicMessage>, String> {
        let extension = self
            .pool
            .get_extension_by_name(&format!("{PACKAGE}.{name}"))
            .ok_or_else(|| format!("options.proto defines no option {name}"))?;
        Ok(options.has_extension(&extension).then(|| options.get_extension(&extension).as_message().cloned()).flatten())
    }

    fn wire(&self, field: &FieldDescriptor) -> Result<DynamicMessage, String> {
        let plain = || {
            let wire = self.pool.get_message_by_name(&format!("{PACKAGE}.Wire"));
            wire.map(DynamicMessage::new).ok_or("options.proto defines no message Wire")
        };
        Ok(self.option(&field.options(), "wire")?.map_or_else(plain, Ok)?)
    }

    fn echo_only(&self, message: &MessageDescriptor) -> Result<Vec<String>, String> {
        let extension = self
            .pool
            .get_extension_by_name(&format!("{PACKAGE}.echo_only"))
            .ok_or("options.proto defines no option echo_only")?;
        let value = message.options().get_extension(&extension).into_owned();
        Ok(value.as_list().unwrap_or_default().iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }
}

/// Two fields of one JSON name would be two readings of one body.
fn unique_names(message: &Message) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for field in &message.fields {
        for json in field.aliases.iter().chain([&field.json]) {
            if !names.insert(json) {
                return Err(format!("{} has two JSON fields named {json}", message.name));
            }
        }
    }
    if names.len() > 64 {
        return Err(format!("{} has more than 64 JSON fields", message.name));
    }
    Ok(())
}

fn unknown_fields(field: &FieldDescriptor) -> Result<u32, String> {
    let texts = match field.kind() {
        ProtoKind::Message(entry) if field.is_map() => {
            entry.map_entry_key_field().kind() == ProtoKind::String
                && entry.map_entry_value_field().kind() == ProtoKind::String
        }
        _ => false,
    };
    if !texts || field.name() != "unknown_fields" {
        return Err(format!("{} takes the number of map<string, string> unknown_fields", field.full_name()));
    }
    Ok(field.number())
}

/// Whether the field says `optional`.
fn is_optional(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|oneof| oneof.is_synthetic())
}

fn rules(wire: &DynamicMessage) -> Rules {
    let condition = |name: &str| {
        let value = wire.has_field_by_name(name).then(|| wire.get_field_by_name(name)).flatten()?;
        let condition = value.as_message()?;
        Some((string_of(condition, "field"), ints_of(condition, "values")))
    };
    Rules {
        echo: bool_of(wire, "echo"),
        only_if_sent: bool_of(wire, "only_if_sent"),
        non_empty: bool_of(wire, "non_empty"),
        json_object: bool_of(wire, "json_object"),
        one_of: ints_of(wire, "one_of"),
        refused_when: condition("refused_when"),
        refused_unless: condition("refused_unless"),
    }
}

fn bool_of(message: &DynamicMessage, name: &str) -> bool {
    message.get_field_by_name(name).and_then(|value| value.as_bool()).unwrap_or(false)
}

fn string_of(message: &DynamicMessage, name: &str) -> String {
    message.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn strings_of(message: &DynamicMessage, name: &str) -> Vec<String> {
    let value = message.get_field_by_name(name);
    let list = value.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    list.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn ints_of(message: &DynamicMessage, name: &str) -> Vec<i32> {
    let value = message.get_field_by_name(name);
    let list = value.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    list.iter().filter_map(|value| value.as_i32()).collect()
}
