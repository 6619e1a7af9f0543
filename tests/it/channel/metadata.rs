//! What an attempt carries beside its message.

use std::time::Duration;

use bytes::Bytes;
use hookgate::config::PolicyTls;
use hookgate::contract::{Callback, Metadata};
use hookgate::internals::policy::{Channel, Policy, PolicyCall};
use tokio::time::Instant;

use super::server::settings;
use crate::support;

#[tokio::test]
async fn an_attempt_has_its_number_its_place_in_the_order_and_whether_it_is_late() {
    let policy = support::Policy::allow().await;
    let channel = Channel::connect(policy.url().parse().unwrap(), &settings(), &PolicyTls::default());
    let client = Policy::over(channel, 1 << 20);
    let callback = Callback::by_command("callbackAfterQuitGroupCommand").unwrap();
    for (attempt, sequence, late, expected) in [
        (1, None, false, [Some("1"), None, None]),
        (1, Some(1_764_000_000_000_007), false, [Some("1"), Some("1764000000000007"), None]),
        (4_000_000_000, Some(u64::MAX), true, [Some("4000000000"), Some("18446744073709551615"), Some("1")]),
        // A replay that was never in an order.
        (2, None, true, [Some("2"), None, Some("1")]),
    ] {
        let deadline = Instant::now() + Duration::from_secs(60);
        let (message, metadata) = (Bytes::new(), Metadata::default());
        let call = PolicyCall { callback, message, metadata, attempt, sequence, late, deadline };
        client.ask(call).await.expect("an answer");
        let calls = policy.take_calls();
        let names = ["hookgate-attempt", "hookgate-sequence", "hookgate-late"];
        assert_eq!(names.map(|name| calls[0].metadata(name)), expected, "{attempt} {sequence:?} {late}");
        assert_eq!(calls.len(), 1);
    }
}
