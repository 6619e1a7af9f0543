//! A chain of policies: what the next one sees, and the reply to all of them.

use hookgate::contract::Callback;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};

use super::for_every_callback;
use super::messages::{UNKNOWN_FIELDS, Wire, message};
use crate::support::method;

/// Sets the field of this JSON name, at the top or in a flattened group. Returns false if there is none.
fn set(request: &mut DynamicMessage, json: &str, value: &Value) -> bool {
    let fields: Vec<FieldDescriptor> = request.descriptor().fields().collect();
    for field in fields.iter().filter(|field| field.number() != UNKNOWN_FIELDS) {
        match field.kind() {
            Kind::Message(group) if Wire::of(field).is("flatten") => {
                if let Some(inner) = group.fields().find(|inner| inner.json_name() == json) {
                    let group = request.get_field_mut(field).as_message_mut().expect("a message");
                    group.set_field(&inner, value.clone());
                    return true;
                }
            }
            _ if field.json_name() == json => {
                request.set_field(field, value.clone());
                return true;
            }
            _ => {}
        }
    }
    false
}

/// The value of a change as the request has it: a wrapper's list as that list.
fn as_in_request(field: &FieldDescriptor, value: &Value) -> Value {
    match value {
        Value::Message(wrapper) if Wire::of(field).is("bare") => {
            let inner = wrapper.descriptor().fields().next().expect("a list or a map");
            wrapper.get_field(&inner).into_owned()
        }
        value => value.clone(),
    }
}

#[test]
fn the_next_policy_sees_the_changes_where_the_request_has_them() {
    let pairs = |callback: &'static Callback| {
        let method = method(callback.rpc);
        (message(&method.input()), message(&method.output()))
    };
    for_every_callback(48, pairs, |callback, (request, response)| {
        let seen = callback.with_changes(&request.encode_to_vec().into(), &response.encode_to_vec());
        let seen = DynamicMessage::decode(request.descriptor(), seen).expect("the request message");
        let mut expected = request.clone();
        for (field, value) in response.fields().filter(|(field, _)| field.number() != 1) {
            let seen_as = Wire::of(&field).text("seen_as");
            let json = seen_as.as_deref().unwrap_or(field.json_name());
            set(&mut expected, json, &as_in_request(&field, value));
        }
        // A zero that is written is none that is left out, and means the same.
        let plain = |message: &DynamicMessage| {
            DynamicMessage::decode(message.descriptor(), &*message.encode_to_vec()).expect("the request message")
        };
        assert_eq!(plain(&seen), plain(&expected), "{request:?} {response:?}");
    });
}

#[test]
fn a_reply_to_one_response_is_the_reply_and_an_empty_one_changes_nothing() {
    let responses = |callback: &'static Callback| message(&method(callback.rpc).output());
    for_every_callback(48, responses, |callback, response| {
        let (body, response) = (callback.example.as_bytes(), response.encode_to_vec());
        let text = |reply: Result<hookgate::contract::Reply, _>| match reply {
            Ok(reply) => Ok(reply.body(5000)),
            Err::<_, hookgate::contract::InvalidReply>(error) => Err(error.to_string()),
        };
        let alone = text(callback.reply(&response, body));
        assert_eq!(text(callback.joined([&response[..]], body)), alone);
        assert_eq!(text(callback.joined([&response[..], b""], body)), alone);
        assert_eq!(text(callback.joined([b"", &response[..]], body)), alone);
    });
}

#[test]
fn any_denial_is_a_denial_and_the_later_of_two_changes_wins() {
    let pairs = |callback: &'static Callback| {
        let output = method(callback.rpc).output();
        (message(&output), message(&output))
    };
    for_every_callback(48, pairs, |callback, (first, second)| {
        let body = callback.example.as_bytes();
        let parts = [first.encode_to_vec(), second.encode_to_vec()];
        let replies = parts.each_ref().map(|part| callback.reply(part, body));
        let joined = callback.joined(parts.iter().map(Vec::as_slice), body);
        match &replies {
            [Ok(first), _] if !first.body(5000).starts_with(b"{\"actionCode\":0,\"errCode\":0") => {
                assert_eq!(joined.expect("a denial").body(5000), first.body(5000));
            }
            [Ok(_), Ok(second)] if !second.body(5000).starts_with(b"{\"actionCode\":0,\"errCode\":0") => {
                assert_eq!(joined.expect("a denial").body(5000), second.body(5000));
            }
            [Ok(_), Ok(_)] => {
                // Merged by hand: each field of the second in place of the first's.
                let mut merged = first.clone();
                second.fields().for_each(|(field, value)| merged.set_field(&field, value.clone()));
                let by_hand = callback.reply(&merged.encode_to_vec(), body);
                assert_eq!(joined.map(|reply| reply.body(5000)).ok(), by_hand.map(|reply| reply.body(5000)).ok());
            }
            _ => assert!(joined.is_err(), "a part that is invalid makes no reply"),
        }
    });
}
