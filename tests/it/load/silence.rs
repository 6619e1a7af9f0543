//! The policy says nothing: it hangs, or it is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Size;
use super::client::{Load, Poster, Shot, assert_well_formed, figures};
use crate::support::program::{Running, configured};
use crate::support::restartable::{Act, Policy, anywhere};

fn by_outcome(shots: &[Shot]) -> BTreeMap<&str, Vec<&Shot>> {
    let mut outcomes = BTreeMap::<_, Vec<_>>::new();
    for shot in shots {
        outcomes.entry(shot.outcome.as_deref().unwrap()).or_default().push(shot);
    }
    outcomes
}

async fn load(gate: &Running, rate: u32, replies: usize) -> Vec<Shot> {
    let load = Load::at_rate(Poster::new(gate.webhooks), rate, "callbackBeforeAddBlackCommand");
    load.replies(replies).await;
    let shots = load.end().await;
    assert_well_formed(&shots);
    shots
}

async fn hangs(size: Size, rate: u32, replies: usize) {
    let policy = Policy::start(anywhere(), Arc::new(|_| Act::Hang)).await;
    // The breaker would answer most of them: for the deadline's own figure it is out of the way.
    let yaml = "log: error\nbudget: 300ms\nchannel: {breaker_failures: 1000000}";
    let gate = Running::of(configured(&policy.url(), &format!("hangs-{size:?}"), yaml)).await;
    let shots = load(&gate, rate, replies).await;
    let outcomes = by_outcome(&shots);
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), [&"failed-closed:deadline"]);
    assert!(shots.iter().all(|shot| shot.took().as_millis() >= 290), "nobody gave up early");
    size.say(format_args!("policy hangs, budget 300ms, {rate} requests a second, no breaker: {}", figures(&shots)));

    let gate = Running::of(configured(&policy.url(), &format!("hangs-{size:?}"), "log: error\nbudget: 300ms")).await;
    let shots = load(&gate, rate, replies).await;
    let outcomes = by_outcome(&shots);
    assert!(outcomes.keys().all(|of| ["failed-closed:deadline", "failed-closed:unavailable"].contains(of)));
    assert!(outcomes.contains_key("failed-closed:deadline"));
    for (outcome, shots) in outcomes {
        size.say(format_args!("  with the breaker: {outcome}: {}", figures(shots)));
    }
}

async fn is_down(size: Size, rate: u32, replies: usize) {
    let policy = Policy::start(anywhere(), Arc::new(|_| Act::Allow)).await;
    let gate = Running::of(configured(&policy.url(), &format!("down-{size:?}"), "log: error")).await;
    policy.stop().await;
    let shots = load(&gate, rate, replies).await;
    let outcomes = by_outcome(&shots);
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), [&"failed-closed:unavailable"]);
    size.say(format_args!("policy down, {rate} requests a second: {}", figures(&shots)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_a_policy_that_hangs_every_webhook_has_its_reply() {
    hangs(Size::Small, 100, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_a_policy_that_is_down_every_webhook_has_its_reply() {
    is_down(Size::Small, 200, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; run by: cargo test --release --test it load:: -- --ignored --nocapture"]
async fn full_silence() {
    hangs(Size::Full, 500, 5_000).await;
    is_down(Size::Full, 500, 5_000).await;
}
