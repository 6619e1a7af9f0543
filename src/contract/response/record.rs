//! A protobuf message read by its rows: what a policy said, or what it was asked.

use std::collections::BTreeMap;

use bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::contract::{Field, Kind, Label, Message};

/// The most entries of a list. Empty ones take two bytes each on the wire and a hundred here.
const MAX_ENTRIES: usize = 100_000;

/// Bytes that are not the message they should be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf.
    #[error("not a protobuf message: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// A field that the contract does not have. It could be a change, so it cannot be passed over.
    #[error("{message} has no field {number}; a newer contract may")]
    UnknownField {
        /// The message.
        message: &'static str,
        /// The number of the field.
        number: u32,
    },
    /// A field of another type than the contract's.
    #[error("{message}.{field} is of another type")]
    WrongType {
        /// The message.
        message: &'static str,
        /// The JSON name of the field.
        field: &'static str,
    },
    /// A text that is not UTF-8.
    #[error("{message}.{field} is not UTF-8")]
    NotUtf8 {
        /// The message.
        message: &'static str,
        /// The JSON name of the field.
        field: &'static str,
    },
    /// A list of more entries than anybody means.
    #[error("{message}.{field} has more than {MAX_ENTRIES} entries")]
    TooMany {
        /// The message.
        message: &'static str,
        /// The JSON name of the field.
        field: &'static str,
    },
    /// The bytes end in the middle of a field.
    #[error("{message} ends within a field")]
    CutShort {
        /// The message.
        message: &'static str,
    },
}

/// The fields of a message.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// What the fields are.
    pub message: &'static Message,
    /// A value for each of the message's fields, if it is there.
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
    Record(Record<'a>),
    /// A list.
    List(Vec<Value<'a>>),
    /// A map.
    Map(BTreeMap<&'a str, Value<'a>>),
}

impl<'a> Record<'a> {
    /// Reads a message. Fields that come twice are merged as protobuf says.
    pub fn decode(message: &'static Message, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut record = Self::empty(message);
        record.merge(bytes, None)?;
        Ok(record)
    }

    /// A message without any field.
    pub fn empty(message: &'static Message) -> Self {
        Self { message, values: vec![None; message.fields.len()] }
    }

    /// The fields that are there.
    pub fn present(&self) -> impl Iterator<Item = (&'static Field, &Value<'a>)> {
        self.message.fields.iter().zip(&self.values).filter_map(|(field, value)| Some((field, value.as_ref()?)))
    }

    /// Reads `bytes` into the fields of one flattened group, or into those of none.
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
            let cut_short = || DecodeError::CutShort { message: message.name };
            if let (None, Some(index), WireType::LengthDelimited) = (group, flattened, wire_type) {
                let inner = split(&mut bytes).ok_or_else(cut_short)?;
                self.merge(inner, Some(index))?;
            } else if let (None, true, WireType::LengthDelimited) =
                (group, message.unknown_fields == Some(number), wire_type)
            {
                // What the contract does not know belongs in no log, and nothing else reads a request here.
                split(&mut bytes).ok_or_else(cut_short)?;
            } else {
                return Err(DecodeError::UnknownField { message: message.name, number });
            }
        }
        Ok(())
    }

    fn merge_field(&mut self, index: usize, wire_type: WireType, bytes: &mut &'a [u8]) -> Result<(), DecodeError> {
        let (message, field) = (self.message, &self.message.fields[index]);
        let slot = &mut self.values[index];
        match field.label {
            Label::Plain | Label::Optional => match (field.kind, slot, wire_type) {
                (Kind::Message(_) | Kind::Bare(_), Some(Value::Record(record)), WireType::LengthDelimited) => {
                    let inner = split(bytes).ok_or(DecodeError::CutShort { message: message.name })?;
                    record.merge(inner, None)?;
                }
                (_, slot, _) => *slot = Some(single(message, field, wire_type, bytes)?),
            },
            Label::Repeated => {
                let Value::List(list) = slot.get_or_insert_with(|| Value::List(Vec::new())) else { return Ok(()) };
                if list.len() >= MAX_ENTRIES {
                    return Err(DecodeError::TooMany { message: message.name, field: field.json });
                }
                let number = !matches!(field.kind, Kind::String | Kind::Message(_) | Kind::Bare(_));
                if number && wire_type == WireType::LengthDelimited {
                    let mut packed = split(bytes).ok_or(DecodeError::CutShort { message: message.name })?;
                    while !packed.is_empty() {
                        list.push(single(message, field, WireType::Varint, &mut packed)?);
                    }
                } else {
                    list.push(single(message, field, wire_type, bytes)?);
                }
            }
            Label::Map => {
                if wire_type != WireType::LengthDelimited {
                    return Err(DecodeError::WrongType { message: message.name, field: field.json });
                }
                let entry = split(bytes).ok_or(DecodeError::CutShort { message: message.name })?;
                let (key, value) = map_entry(entry, message, field.json)?;
                let value = match value {
                    Some((wire_type, mut rest)) => single(message, field, wire_type, &mut rest)?,
                    None => zero(field.kind),
                };
                let Value::Map(map) = slot.get_or_insert_with(|| Value::Map(BTreeMap::new())) else { return Ok(()) };
                map.insert(key, value);
            }
        }
        Ok(())
    }
}

/// Reads one value, of a list or map too.
fn single<'a>(
    message: &'static Message,
    field: &'static Field,
    wire_type: WireType,
    bytes: &mut &'a [u8],
) -> Result<Value<'a>, DecodeError> {
    match (field.kind, wire_type) {
        (Kind::Bool, WireType::Varint) => Ok(Value::Bool(decode_varint(bytes)? != 0)),
        // Truncation is what protobuf asks for.
        (Kind::Int32 | Kind::CodePoint, WireType::Varint) => Ok(Value::Int((decode_varint(bytes)? as i32).into())),
        (Kind::Int64, WireType::Varint) => Ok(Value::Int(decode_varint(bytes)? as i64)),
        (Kind::Uint32, WireType::Varint) => Ok(Value::Int((decode_varint(bytes)? as u32).into())),
        (Kind::String, WireType::LengthDelimited) => text(bytes, message, field.json).map(Value::Text),
        (Kind::Message(inner) | Kind::Bare(inner), WireType::LengthDelimited) => {
            let bytes = split(bytes).ok_or(DecodeError::CutShort { message: message.name })?;
            Record::decode(inner, bytes).map(Value::Record)
        }
        _ => Err(DecodeError::WrongType { message: message.name, field: field.json }),
    }
}

fn zero(kind: Kind) -> Value<'static> {
    match kind {
        Kind::Bool => Value::Bool(false),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::CodePoint => Value::Int(0),
        Kind::String => Value::Text(""),
        Kind::Message(message) | Kind::Bare(message) => Value::Record(Record::empty(message)),
    }
}

fn text<'a>(bytes: &mut &'a [u8], message: &'static Message, field: &'static str) -> Result<&'a str, DecodeError> {
    let text = split(bytes).ok_or(DecodeError::CutShort { message: message.name })?;
    std::str::from_utf8(text).map_err(|_| DecodeError::NotUtf8 { message: message.name, field })
}

/// A map entry's key, and the undecoded rest that begins with its value.
type Entry<'a> = (&'a str, Option<(WireType, &'a [u8])>);

fn map_entry<'a>(
    mut entry: &'a [u8],
    message: &'static Message,
    field: &'static str,
) -> Result<Entry<'a>, DecodeError> {
    let (mut key, mut value) = ("", None);
    while !entry.is_empty() {
        let (number, wire_type) = decode_key(&mut entry)?;
        match (number, wire_type) {
            (1, WireType::LengthDelimited) => key = text(&mut entry, message, field)?,
            (2, _) => {
                value = Some((wire_type, entry));
                prost::encoding::skip_field(wire_type, number, &mut entry, Default::default())?;
            }
            _ => return Err(DecodeError::WrongType { message: message.name, field }),
        }
    }
    Ok((key, value))
}

/// Takes a length and that many bytes.
fn split<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (taken, _) = bytes.split_at_checked(length)?;
    bytes.advance(length);
    Some(taken)
}
