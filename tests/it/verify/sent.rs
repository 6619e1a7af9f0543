//! The requests of the checks, as a policy receives them.

use std::collections::HashMap;

use hookgate::contract::{Callback, Kind};

use super::verify;
use crate::support::{Call, Policy};

/// Characters that hookgate promises to send: outside the BMP, right-to-left, combining, NUL, U+FFFD, a line separator.
const ODD_TEXT: &str =
    "\u{1f9d1}\u{200d}\u{1f680} \u{202e}\u{5e9}\u{5dc}\u{5d5}\u{5dd} e\u{301}\u{327} \u{0} \u{fffd} \u{2028} \u{1d4b3}";

/// The calls of a check to a callback, in the order in which they came.
fn calls_of<'c>(calls: &'c [Call], callback: &Callback, check: &str) -> Vec<&'c Call> {
    let operation_id = format!("verify-{}-{check}", callback.method());
    calls.iter().filter(|call| call.metadata("openim-operation-id") == Some(&operation_id)).collect()
}

#[tokio::test]
async fn odd_requests_are_odd_and_go_through_the_front_of_every_callback() {
    let policy = Policy::allow().await;
    let only = "lifelike,huge,unicode,null-laden,unknown-fields,duplicate";
    let ended = verify(&["--policy", &policy.url(), "--only", only]).await;
    assert_eq!(ended.code, 0, "{}", ended.out);
    let calls = policy.take_calls();
    let mut ids = HashMap::new();
    for callback in Callback::all() {
        let text = |check: &str| {
            let calls = calls_of(&calls, callback, check);
            String::from_utf8_lossy(&calls.first().unwrap_or_else(|| panic!("{} {check}", callback.rpc)).message)
                .into_owned()
        };
        assert!(text("lifelike").len() > 2, "{}", callback.rpc);
        let huge = text("huge").len();
        assert!((800 << 10..1 << 20).contains(&huge), "{}: {huge}", callback.rpc);
        assert!(text("unicode").contains(ODD_TEXT), "{}", callback.rpc);
        assert!(text("null-laden").len() <= text("lifelike").len(), "{}", callback.rpc);
        let unknown = text("unknown-fields");
        assert!(unknown.contains("hookgateVerifyNumber"), "{}", callback.rpc);
        if let Some(nested) = callback.request.fields.iter().find(|field| matches!(field.kind, Kind::Message(_))) {
            assert!(unknown.contains(&format!("{}[0].hookgateVerify", nested.json)), "{}", callback.rpc);
        }
        for call in calls_of(&calls, callback, "duplicate") {
            let attempts: &mut Vec<_> = ids.entry(call.metadata("hookgate-event-id").unwrap()).or_default();
            attempts.push(call.metadata("hookgate-attempt").unwrap());
        }
    }
    assert!(ids.values().all(|attempts| *attempts == ["1", "2"]), "an event that comes again has its ID: {ids:?}");
    let events = Callback::all().iter().filter(|callback| callback.rpc.contains("/After")).count();
    assert_eq!(ids.len(), events, "and no other has it");
}
