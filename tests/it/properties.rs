//! What holds of every callback, whatever is posted and whatever the policy says.

mod chain;
mod filters;
mod messages;
mod noise;
mod replies;
mod webhooks;

use hookgate::contract;
use hookgate::contract::Callback;
use hookgate::contract::{Denial, InvalidReply, Reply as Verdict};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use prost::Message as _;
use prost_reflect::DynamicMessage;

use messages::{json_fields, message};
use replies::{Reply, Request, without_zeros};
use webhooks::webhook;

use crate::support::{Gate, Policy, method};

/// Shows that `property` holds of random values of every row.
fn for_every_callback<S: Strategy>(
    cases: u32,
    values: impl Fn(&'static Callback) -> S,
    property: impl Fn(&'static Callback, S::Value),
) {
    for callback in Callback::all() {
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let result = runner.run(&values(callback), |value| {
            property(callback, value);
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{}: {error}", callback.rpc));
    }
}

#[test]
fn any_body_gets_a_reply_that_openim_can_read() {
    for_every_callback(48, noise::body, |callback, body| {
        let transcoded = contract::transcode(callback.request, callback.command, &body);
        let body = match transcoded {
            Ok((message, _)) => {
                serde_json::from_slice::<serde_json::Map<_, _>>(&body).expect("what is taken is one object");
                let input = method(callback.rpc).input();
                DynamicMessage::decode(input, message).expect("what the policy gets is its message");
                callback.unchanged(&body).body(5000)
            }
            Err(malformed) => Denial::because(&malformed.to_string()).body(5000),
        };
        Reply::read(&body);
    });
}

#[test]
fn any_body_gets_such_a_reply_over_a_socket_too() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_policy, gate) = runtime.block_on(async {
        let policy = Policy::allow().await;
        let gate = Gate::start(&policy.url()).await;
        (policy, gate)
    });
    for_every_callback(4, noise::body, |callback, body| {
        let taken = contract::transcode(callback.request, callback.command, &body).is_ok();
        let reply = runtime.block_on(gate.post(&format!("/{}", callback.command), body));
        assert_eq!(Reply::read(&reply.body).allows(), taken, "{:?}", reply.status);
    });
}

#[test]
fn a_webhook_says_to_the_policy_what_it_says() {
    for_every_callback(48, webhook, |callback, webhook| {
        let body = webhook.body();
        let (message, _) = contract::transcode(callback.request, callback.command, body.as_bytes())
            .unwrap_or_else(|malformed| panic!("{malformed}: {body}"));
        let input = method(callback.rpc).input();
        let read = DynamicMessage::decode(input, message).expect("the request message");
        assert_eq!(read, webhook.message, "{body}");
    });
}

#[test]
fn a_field_that_comes_twice_is_refused() {
    for_every_callback(
        16,
        |callback| (webhook(callback), any::<Index>()),
        |callback, (mut webhook, at)| {
            if webhook.fields.is_empty() {
                return;
            }
            webhook.fields.push(at.get(&webhook.fields).clone());
            let refusal = contract::transcode(callback.request, callback.command, webhook.body().as_bytes());
            let refusal = refusal.expect_err("two readings").to_string();
            assert!(refusal.contains("appears twice"), "{refusal}");
        },
    );
}

/// A name in other spellings that Go takes for it.
fn spellings(name: &str) -> Vec<String> {
    let swapped = |letter: char| match letter {
        letter if letter.is_ascii_lowercase() => letter.to_ascii_uppercase(),
        letter => letter.to_ascii_lowercase(),
    };
    let other = [
        name.to_uppercase(),
        name.to_lowercase(),
        name.chars().map(swapped).collect(),
        name.replace(['s', 'S'], "\u{17f}"),
        name.replace(['k', 'K'], "\u{212a}"),
    ];
    other.into_iter().filter(|other| other != name).collect()
}

#[test]
fn a_name_in_other_case_is_the_same_name() {
    for callback in Callback::all() {
        let transcode = |body: &str| contract::transcode(callback.request, callback.command, body.as_bytes());
        for field in json_fields(&method(callback.rpc).input()) {
            let name = field.json_name();
            for raw in noise::VALUES.into_iter().filter(|raw| noise::takes(&field, raw)) {
                let (exact, _) = transcode(&format!("{{\"{name}\":{raw}}}")).expect("a value that it takes");
                for other in spellings(name) {
                    let (folded, drift) = transcode(&format!("{{\"{other}\":{raw}}}")).expect("the same value");
                    assert_eq!(folded, exact, "{}: {other}", callback.rpc);
                    assert_eq!(drift.unknown.count, 0, "{}: {other}", callback.rpc);
                    for body in [
                        format!("{{\"{name}\":{raw},\"{other}\":{raw}}}"),
                        format!("{{\"{other}\":{raw},\"{name}\":{raw}}}"),
                    ] {
                        let refusal = transcode(&body).expect_err("two readings").to_string();
                        assert!(refusal.contains("appears twice, as "), "{refusal}");
                        assert!(refusal.contains(name) && refusal.contains(&other), "{refusal}");
                    }
                }
            }
            let near = format!("{{\"{name}x\":1,\"x{name}\":2,\"\u{17f}\u{17f}{}\":3}}", &name[1..]);
            assert_eq!(transcode(&near).expect("unknown fields").1.unknown.count, 3, "{near}");
        }
    }
}

#[test]
fn a_value_is_taken_if_it_is_of_its_fields_type() {
    for callback in Callback::all() {
        for field in json_fields(&method(callback.rpc).input()) {
            for raw in noise::VALUES {
                let body = format!("{{\"{}\":{raw}}}", field.json_name());
                let transcoded = contract::transcode(callback.request, callback.command, body.as_bytes());
                assert_eq!(transcoded.is_ok(), noise::takes(&field, raw), "{body}");
                if let Err(refusal) = transcoded {
                    assert!(refusal.to_string().starts_with(field.json_name()), "{refusal} for {body}");
                }
            }
        }
    }
}

#[test]
fn a_verdict_says_to_openim_what_it_says() {
    for_every_callback(
        48,
        |callback| (response(callback), webhook(callback)),
        |callback, (response, webhook)| {
            judge(callback, &response.encode_to_vec(), &webhook.body());
        },
    );
}

#[test]
fn a_response_in_two_pieces_is_merged_as_protobuf_says() {
    let values = |callback| (response(callback), response(callback), webhook(callback));
    for_every_callback(16, values, |callback, (first, second, webhook)| {
        judge(callback, &[first.encode_to_vec(), second.encode_to_vec()].concat(), &webhook.body());
    });
}

fn response(callback: &Callback) -> impl Strategy<Value = DynamicMessage> + use<> {
    message(&method(callback.rpc).output())
}

/// Compares the reply with what another implementation reads in the response, and makes of it by the contract.
fn judge(callback: &'static Callback, response: &[u8], body: &str) {
    let reply = callback.reply(response, body.as_bytes());
    let length = response.len();
    let response = DynamicMessage::decode(method(callback.rpc).output(), response).expect("the response message");
    if response.has_field_by_name("denial") {
        let reply = Reply::read(&reply.expect("a denial beats all else").body(5000));
        assert_eq!(reply.denial(), replies::denial(&response));
        return;
    }
    match (reply, replies::changes(&response, &Request::read(callback, body))) {
        (Ok(reply), Some(expected)) => {
            assert!(matches!(&reply, Verdict::Allow { changes, .. } if changes.len() == response.fields().count()));
            let reply = Reply::read(&reply.body(5000));
            assert!(reply.allows());
            if response.encoded_len() == length {
                assert_eq!(reply.changes, expected);
            } else {
                // Bytes that nobody would write can say zero where a field has no presence.
                assert_eq!(without_zeros(reply.changes), without_zeros(expected));
            }
        }
        (Err(InvalidReply::Rule(_)), None) => {}
        (reply, expected) => panic!("{reply:?} where there should be {expected:?}"),
    }
}

#[test]
fn bytes_that_are_no_response_allow_nothing() {
    let values = |callback| (noise::response(callback), webhook(callback));
    for_every_callback(96, values, |callback, (bytes, webhook)| {
        let body = webhook.body();
        let read = DynamicMessage::decode(method(callback.rpc).output(), &*bytes);
        let is_response = read.is_ok_and(|message| replies::has_no_unknown_field(&message));
        match callback.reply(&bytes, body.as_bytes()) {
            // The one map: prost-reflect passes over a field of its entries that it does not know, hookgate does not.
            Err(InvalidReply::Decode(error)) if error.to_string().starts_with("MessageOptions.options ") => {}
            Err(InvalidReply::Decode(error)) => assert!(!is_response, "{error}"),
            Ok(Verdict::Deny(_)) if !is_response => {}
            reply if !is_response => panic!("{reply:?} to what is no response"),
            _ => judge(callback, &bytes, &body),
        }
    });
}
