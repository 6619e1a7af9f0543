//! What an After event belongs to, read from its encoded message.

use std::sync::Arc;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use smallvec::SmallVec;

use super::Message;

/// What a message belongs to, as `ordered_by` of the contract says: the texts of the first list of places that all have
/// one, in the order of the alphabet, so that it does not matter who of two wrote. None where no list has.
pub fn ordering_key(request: &Message, ordered_by: &[&[usize]], message: &[u8]) -> Option<Arc<str>> {
    ordered_by.iter().find_map(|fields| {
        let texts: Option<SmallVec<[&str; 2]>> = fields.iter().map(|index| text(request, *index, message)).collect();
        let mut texts = texts?;
        texts.sort_unstable();
        Some(match &*texts {
            [one] => Arc::from(*one),
            several => several.join("+").into(),
        })
    })
}

/// The text of a field, if it has one.
fn text<'a>(request: &Message, index: usize, message: &'a [u8]) -> Option<&'a str> {
    let field = request.fields.get(index)?;
    let within = match field.group.and_then(|group| request.groups.get(group)) {
        Some(group) => last(message, group.number)?,
        None => message,
    };
    let text = std::str::from_utf8(last(within, field.number)?).ok()?;
    (!text.is_empty()).then_some(text)
}

/// The bytes of the last field of this number.
fn last(mut bytes: &[u8], number: u32) -> Option<&[u8]> {
    let mut found = None;
    while !bytes.is_empty() {
        let (at, wire_type) = decode_key(&mut bytes).ok()?;
        if wire_type == WireType::LengthDelimited {
            let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
            let (inner, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            if at == number {
                found = Some(inner);
            }
        } else {
            skip_field(wire_type, at, &mut bytes, DecodeContext::default()).ok()?;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::contract::Callback;
    use crate::contract::{ordering_key, transcode};

    fn key(command: &str, body: &str) -> Option<Arc<str>> {
        let callback = Callback::by_command(command).expect("a command of the table");
        let message = transcode(callback.request, command, body.as_bytes()).expect("a body").message;
        ordering_key(callback.request, callback.ordered_by, &message)
    }

    #[test]
    fn a_single_chat_is_one_whoever_writes() {
        let command = "callbackAfterSendSingleMsgCommand";
        let one = key(command, r#"{"sendID":"u2","recvID":"u1"}"#);
        assert_eq!(one.as_deref(), Some("u1+u2"));
        assert_eq!(key(command, r#"{"sendID":"u1","recvID":"u2","content":"x"}"#), one);
        assert_eq!(key(command, r#"{"sendID":"u1"}"#), None, "half of a chat is none");
    }

    #[test]
    fn a_message_that_may_be_of_either_kind_belongs_to_its_group_first() {
        let command = "callbackAfterMsgSaveDBCommand";
        let group = key(command, r#"{"sendID":"u1","recvID":"","groupID":"g1"}"#);
        assert_eq!(group.as_deref(), Some("g1"));
        assert_eq!(key(command, r#"{"sendID":"u1","recvID":"u2"}"#).as_deref(), Some("u1+u2"));
    }

    #[test]
    fn what_has_no_owner_belongs_to_nothing() {
        assert_eq!(key("callbackAfterUserRegisterCommand", r#"{"users":[{"userID":"u1"}]}"#), None);
        assert_eq!(key("callbackAfterRemoveBlackCommand", "{}"), None);
    }
}
