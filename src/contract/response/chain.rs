//! A chain of policies: the request that the next one is sent, and the reply that their responses make together.

use bytes::Bytes;
use prost::encoding::{DecodeContext, WireType, decode_key, encode_key, encode_varint, skip_field};

use super::{DecodedMessage, InvalidReply, Reply, RequestFields, take_bytes};
use crate::contract::{Callback, Field, Kind};

/// A field as it is encoded: its number, its type, and its value without the key.
struct RawField<'a> {
    number: u32,
    wire_type: WireType,
    value: &'a [u8],
}

impl Callback {
    /// Returns the encoded request with the changes of a response, which is what the next policy of a chain is sent. A change
    /// without a counterpart (`seen_as` in the contract) is not shown. Lists are replaced whole.
    pub fn with_changes(&self, request: &Bytes, response: &[u8]) -> Bytes {
        let changes: Vec<(&Field, Vec<u8>)> = (self.response.fields.iter().zip(self.counterparts))
            .filter_map(|(change, counterpart)| {
                let field = self.request.fields.get((*counterpart)?)?;
                let encoded = encoded_as(change, field, response);
                encoded.map(|encoded| (field, encoded))
            })
            .collect();
        if changes.is_empty() {
            return request.clone();
        }
        let is_changed =
            |number, group| changes.iter().any(|(field, _)| field.number == number && field.group == group);
        let mut out = Vec::with_capacity(request.len() + response.len());
        for raw in raw_fields(request) {
            let group = self.request.groups.iter().position(|group| group.number == raw.number);
            match group.filter(|group| changes.iter().any(|(field, _)| field.group == Some(*group))) {
                Some(group) => {
                    let mut inner = Vec::with_capacity(raw.value.len());
                    let mut value = raw.value;
                    let fields = raw_fields(take_bytes(&mut value).unwrap_or_default());
                    fields
                        .filter(|field| !is_changed(field.number, Some(group)))
                        .for_each(|field| field.write(&mut inner));
                    write_message(raw.number, &inner, &mut out);
                }
                None if is_changed(raw.number, None) => {}
                None => raw.write(&mut out),
            }
        }
        // The later one of two occurrences of a group is merged into the first, as protobuf says.
        for (field, encoded) in changes {
            match field.group.and_then(|group| self.request.groups.get(group)) {
                Some(group) => write_message(group.number, &encoded, &mut out),
                None => out.extend_from_slice(&encoded),
            }
        }
        out.into()
    }

    /// Returns the reply to `body` for the responses of several policies, in their order: of two changes of a field the later one
    /// wins, whole. The rules of changes hold for all of them together, and look at the request as OpenIM sent it.
    pub fn joined<'a>(
        &self,
        responses: impl IntoIterator<Item = &'a [u8]>,
        body: &[u8],
    ) -> Result<Reply, InvalidReply> {
        let mut joined = DecodedMessage::empty(self.response);
        let mut is_any_given = false;
        for response in responses.into_iter().filter(|response| !response.is_empty()) {
            if let Reply::Deny(denial) = self.reply(response, body)? {
                return Ok(Reply::Deny(denial));
            }
            is_any_given = true;
            let response = DecodedMessage::decode(self.response, response)?;
            for (value, later) in joined.values.iter_mut().zip(response.values) {
                *value = later.or(value.take());
            }
        }
        if !is_any_given {
            return Ok(self.unchanged(body));
        }
        let request = RequestFields::read(self.request, body);
        joined.check(&request)?;
        Ok(self.allow(&joined, &request))
    }
}

/// Returns a change as the encoded field of a request; `None` if the response does not have it.
fn encoded_as(change: &Field, field: &Field, response: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut is_given = false;
    for raw in raw_fields(response).filter(|raw| raw.number == change.number) {
        is_given = true;
        match change.kind {
            // The entries of its list, which is the only field of the wrapper.
            Kind::Bare(wrapper) => {
                let mut value = raw.value;
                let entries = raw_fields(take_bytes(&mut value).unwrap_or_default());
                let is_entry = |raw: &RawField<'_>| wrapper.fields.iter().any(|field| field.number == raw.number);
                entries.filter(is_entry).for_each(|entry| RawField { number: field.number, ..entry }.write(&mut out));
            }
            _ => RawField { number: field.number, ..raw }.write(&mut out),
        }
    }
    is_given.then_some(out)
}

impl RawField<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        encode_key(self.number, self.wire_type, out);
        out.extend_from_slice(self.value);
    }
}

fn write_message(number: u32, inner: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(inner.len() as u64, out);
    out.extend_from_slice(inner);
}

/// Returns the fields of an encoded message, up to the first that cannot be read: it was decoded before.
fn raw_fields(mut message: &[u8]) -> impl Iterator<Item = RawField<'_>> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let (number, wire_type) = decode_key(&mut message).ok()?;
        let before = message;
        skip_field(wire_type, number, &mut message, DecodeContext::default()).ok()?;
        Some(RawField { number, wire_type, value: &before[..before.len() - message.len()] })
    })
}
