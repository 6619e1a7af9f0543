//! Rows of messages and fields, which `build.rs` generates from the `.proto` files.

/// A message of the contract in its JSON form: the fields of flattened groups stand among the others.
#[derive(Debug)]
pub struct Message {
    /// The message's name in the contract, without the package.
    pub name: &'static str,
    /// The fields, in the order in which OpenIM writes them.
    pub fields: &'static [Field],
    /// The flattened groups.
    pub groups: &'static [Group],
    /// The field number of the map that keeps JSON members beyond `fields`. Requests have it.
    pub unknown_fields: Option<u32>,
    /// JSON names of request fields that every allow returns unchanged. Responses may have them.
    pub echo_only: &'static [&'static str],
}

/// A flattened message: its fields stand among those of the message that holds it.
#[derive(Debug)]
pub struct Group {
    /// The field's name in the contract.
    pub name: &'static str,
    /// Its field number in the message that holds it.
    pub number: u32,
    /// True if the group is left out when none of its fields is present.
    pub optional: bool,
}

/// A field of a message's JSON.
#[derive(Debug)]
pub struct Field {
    /// The name in the contract.
    pub name: &'static str,
    /// The name that OpenIM uses.
    pub json: &'static str,
    /// Other names that OpenIM servers use for it.
    pub aliases: &'static [&'static str],
    /// The field number, within its group if it has one.
    pub number: u32,
    /// The flattened group that holds it: an index in [`Message::groups`].
    pub group: Option<usize>,
    /// The type of its values.
    pub kind: Kind,
    /// Number of values: protobuf's field label.
    pub label: Label,
    /// True if it holds personal content or a secret, which belongs in no log (`(wire).redacted`).
    pub redact: bool,
    /// The kind of ID that it holds, if it holds one.
    pub id: Option<Id>,
    /// The JSON name of the number that says the kind of message whose content it is, if it is content.
    pub content_of: Option<&'static str>,
    /// Rules that a change must keep.
    pub rules: Rules,
}

/// The type of a field's values.
#[derive(Debug, Clone, Copy, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits, a number in the JSON too.
    Int64,
    /// A whole number of 32 bits, not negative.
    Uint32,
    /// A whole number of 32 bits that OpenIM writes as a string of the one code point with that number.
    #[strum(serialize = "character")]
    CodePoint,
    /// A text.
    String,
    /// An object.
    Message(&'static Message),
    /// A wrapper of one list or map, which in the JSON is that list or map itself.
    Bare(&'static Message),
}

/// The number of values of a field: protobuf's field label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// One value; absent means zero or empty.
    Plain,
    /// One value or none: absent and zero are told apart.
    Optional,
    /// A list of values.
    Repeated,
    /// A map whose keys are texts.
    Map,
}

/// The kind of an ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    /// A user ID.
    User,
    /// A group ID.
    Group,
}

/// Rules that a change must keep, beyond its type. `options.proto` explains each.
#[derive(Debug)]
#[allow(missing_docs, reason = "one home: options.proto")]
pub struct Rules {
    pub echo: bool,
    pub only_if_sent: bool,
    pub non_empty: bool,
    pub json_object: bool,
    pub one_of: &'static [i32],
    pub refused_when: Option<RequestIs>,
    pub refused_unless: Option<RequestIs>,
    pub empty_is_unset: bool,
}

/// A condition on the request to which a response belongs.
#[derive(Debug)]
pub struct RequestIs {
    /// The JSON name of a whole number at the top level of the request.
    pub field: &'static str,
    /// The condition holds when the field has one of these values.
    pub values: &'static [i32],
}
