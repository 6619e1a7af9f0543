//! Decodes a protobuf message by its rows in the table: a policy's response, or a request.

use std::collections::BTreeMap;

use prost::encoding::{WireType, decode_key, decode_varint};

use crate::contract::{Field, Kind, Label, Message};

/// Maximum number of entries of a list. Empty ones take two bytes each on the wire and a hundred here.
const MAX_ENTRIES: usize = 100_000;

/// The error of bytes that are not the message they should be. Its text names the message, the field and the problem.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl DecodeError {
    fn field(message: &Message, field: &Field, problem: &str) -> Self {
        Self(format!("{}.{} {problem}", message.name, field.json))
    }

    fn wrong_type(message: &Message, field: &Field) -> Self {
        Self::field(message, field, "is of another type")
    }
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self(format!("not a protobuf message: {error}"))
    }
}

/// The fields of a message.
#[derive(Debug, Clone)]
pub struct DecodedMessage<'a> {
    /// The type of the message.
    pub message: &'static Message,
    /// The values by the index of their field; `None` for a field that is absent.
    pub values: Vec<Option<Value<'a>>>,
}

/// The value of a field.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of any type of the contract.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// An object, or the wrapper of a list or map.
    Message(DecodedMessage<'a>),
    /// A list.
    List(Vec<Value<'a>>),
    /// A map.
    Map(BTreeMap<&'a str, Value<'a>>),
}

impl<'a> DecodedMessage<'a> {
    /// Decodes a message. Fields that come twice are merged as protobuf says.
    pub fn decode(message: &'static Message, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut record = Self::empty(message);
        record.merge(bytes, None)?;
        Ok(record)
    }

    /// A message without any field.
    pub fn empty(message: &'static Message) -> Self {
        Self { message, values: vec![None; message.fields.len()] }
    }

    /// The fields that are present.
    pub fn present(&self) -> impl Iterator<Item = (&'static Field, &Value<'a>)> {
        self.message.fields.iter().zip(&self.values).filter_map(|(field, value)| Some((field, value.as_ref()?)))
    }

    /// Reads `bytes` into the fields of a flattened group, or into those of no group.
    fn merge(&mut self, mut bytes: &'a [u8], group: Option<usize>) -> Result<(), DecodeError> {
        let message = self.message;
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(&mut bytes)?;
            let index = message.fields.iter().position(|field| field.number == number && field.group == group);
            if let Some(index) = index {
                self.merge_field(index, wire_type, &mut bytes)?;
                continue;
            }
            let flattened = message.groups.iter().position(|group| group.number == number);
            let is_known = flattened.is_some() || message.unknown_fields == Some(number);
            if group.is_some() || !is_known || wire_type != WireType::LengthDelimited {
                // It could be a change, so it cannot be ignored.
                return Err(DecodeError(format!("{} has no field {number}; a newer contract may", message.name)));
            }
            let inner = split(message, &mut bytes)?;
            // Unknown fields are skipped: they belong in no log, and only logs read requests here.
            if flattened.is_some() {
                self.merge(inner, flattened)?;
            }
        }
        Ok(())
    }

    fn merge_field(&mut self, index: usize, wire_type: WireType, bytes: &mut &'a [u8]) -> Result<(), DecodeError> {
        let (message, field) = (self.message, &self.message.fields[index]);
        let slot = &mut self.values[index];
        match field.label {
            Label::Plain | Label::Optional => match (slot, wire_type) {
                (Some(Value::Message(record)), WireType::LengthDelimited) => {
                    record.merge(split(message, bytes)?, None)?
                }
                (slot, _) => *slot = Some(single(message, field, wire_type, bytes)?),
            },
            Label::Repeated => {
                let Value::List(list) = slot.get_or_insert_with(|| Value::List(Vec::new())) else { return Ok(()) };
                if list.len() >= MAX_ENTRIES {
                    return Err(DecodeError::field(message, field, "has more than 100000 entries"));
                }
                let number = !matches!(field.kind, Kind::String | Kind::Message(_) | Kind::Bare(_));
                if number && wire_type == WireType::LengthDelimited {
                    let mut packed = split(message, bytes)?;
                    while !packed.is_empty() {
                        list.push(single(message, field, WireType::Varint, &mut packed)?);
                    }
                } else {
                    list.push(single(message, field, wire_type, bytes)?);
                }
            }
            Label::Map => {
                if wire_type != WireType::LengthDelimited {
                    return Err(DecodeError::wrong_type(message, field));
                }
                let (key, value) = map_entry(split(message, bytes)?, message, field)?;
                let Value::Map(map) = slot.get_or_insert_with(|| Value::Map(BTreeMap::new())) else { return Ok(()) };
                map.insert(key, value);
            }
        }
        Ok(())
    }
}

/// Reads one value: of a field, of an entry of a list, or of a map.
fn single<'a>(
    message: &'static Message,
    field: &'static Field,
    wire_type: WireType,
    bytes: &mut &'a [u8],
) -> Result<Value<'a>, DecodeError> {
    match (field.kind, wire_type) {
        (Kind::Bool, WireType::Varint) => Ok(Value::Bool(decode_varint(bytes)? != 0)),
        // Protobuf says that numbers which are too large are truncated.
        (Kind::Int32 | Kind::CodePoint, WireType::Varint) => Ok(Value::Int((decode_varint(bytes)? as i32).into())),
        (Kind::Int64, WireType::Varint) => Ok(Value::Int(decode_varint(bytes)? as i64)),
        (Kind::Uint32, WireType::Varint) => Ok(Value::Int((decode_varint(bytes)? as u32).into())),
        (Kind::String, WireType::LengthDelimited) => text(bytes, message, field).map(Value::Text),
        (Kind::Message(inner) | Kind::Bare(inner), WireType::LengthDelimited) => {
            DecodedMessage::decode(inner, split(message, bytes)?).map(Value::Message)
        }
        _ => Err(DecodeError::wrong_type(message, field)),
    }
}

fn zero(kind: Kind) -> Value<'static> {
    match kind {
        Kind::Bool => Value::Bool(false),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::CodePoint => Value::Int(0),
        Kind::String => Value::Text(""),
        Kind::Message(message) | Kind::Bare(message) => Value::Message(DecodedMessage::empty(message)),
    }
}

fn text<'a>(bytes: &mut &'a [u8], message: &Message, field: &Field) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(split(message, bytes)?).map_err(|_| DecodeError::field(message, field, "is not UTF-8"))
}

fn map_entry<'a>(
    mut entry: &'a [u8],
    message: &'static Message,
    field: &'static Field,
) -> Result<(&'a str, Value<'a>), DecodeError> {
    let (mut key, mut value) = ("", zero(field.kind));
    while !entry.is_empty() {
        match decode_key(&mut entry)? {
            (1, WireType::LengthDelimited) => key = text(&mut entry, message, field)?,
            (2, wire_type) => value = single(message, field, wire_type, &mut entry)?,
            _ => return Err(DecodeError::wrong_type(message, field)),
        }
    }
    Ok((key, value))
}

/// Takes a length and that many bytes.
fn split<'a>(message: &Message, bytes: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    take_bytes(bytes).ok_or_else(|| DecodeError(format!("{} ends within a field", message.name)))
}

/// Takes a length and that many bytes; `None` if there are fewer.
pub(in crate::contract) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    bytes.split_off(..length)
}
