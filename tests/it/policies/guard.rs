//! A guard: a copy leaves a route whose policy fails or decides otherwise, and nobody's webhook is answered wrongly.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use hookgate::contract::Callback;
use tokio::sync::watch;
use tonic::Status;

use super::{FRIEND, allows, header, start};
use crate::support::program::{Running, hookgate};
use crate::support::{Policy, denial, file};

/// The behaviour of the new policy.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Allows,
    Denies,
    Fails,
    IsSlow,
}

async fn new_policy() -> (Policy, watch::Sender<Does>) {
    let (sender, does) = watch::channel(Does::Allows);
    let policy = Policy::without_health(move |_| {
        let does = *does.borrow();
        Box::pin(async move {
            match does {
                Does::Allows => Ok(Vec::new()),
                Does::Denies => Ok(denial(5001, "no")),
                Does::Fails => Err(Status::internal("on purpose")),
                Does::IsSlow => {
                    tokio::time::sleep(Duration::from_millis(1_100)).await;
                    Ok(Vec::new())
                }
            }
        })
    });
    (policy.await, sender)
}

/// Posts a friend request of a user; gives the parts of the policies.
async fn post(gate: &Running, user: usize) -> String {
    let callback = Callback::by_name(FRIEND).unwrap();
    let body = format!(r#"{{"fromUserID":"u{user}","toUserID":"u2"}}"#);
    let reply = gate.post(callback.command, &body).await;
    header(&reply, "hookgate-policies").to_owned()
}

fn yaml(old: &Policy, new: &Policy, guard: &str, more: &str) -> String {
    format!(
        "{more}\npolicies: {{old: {{url: \"{}\"}}, new: {{url: \"{}\", on_failure: allow}}}}\nroutes:\n  \
         - {{name: try, callbacks: {FRIEND}, percent: 50, by: from_user_id, policies: new, shadow: old, guard: {guard}}}\n  \
         - {{policies: old}}",
        old.url(),
        new.url()
    )
}

async fn guard(gate: &Running) -> serde_json::Value {
    gate.status().await["guards"][0].clone()
}

/// Posts until the guard has left the route; gives what it says.
async fn until_left(gate: &Running) -> String {
    let found = async {
        loop {
            join_all((0..20).map(|user| post(gate, user))).await;
            if let Some(why) = guard(gate).await["left"].as_str() {
                return why.to_owned();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("the guard leaves the route")
}

#[tokio::test]
async fn each_bound_makes_a_copy_leave_the_route_and_resume_takes_it_again() {
    let (old, (new, does)) = (allows().await, new_policy().await);
    for (name, bounds, bad, why) in [
        ("failures", "{failures: 5%, least: 30}", Does::Fails, "failures: "),
        ("differences", "{differences: 5%, least: 30}", Does::Denies, "differences: "),
        // Longer than a call takes on a busy machine.
        ("p99", "{p99: 1s, least: 30}", Does::IsSlow, "slower than 1s: "),
    ] {
        does.send(Does::Allows).unwrap();
        let mut gate = start(&format!("guard-{name}"), &yaml(&old, &new, bounds, "")).await;
        let mut asked_new = 0;
        for user in 0..100 {
            asked_new += usize::from(post(&gate, user).await == "new=allow");
        }
        assert!((25..75).contains(&asked_new), "{asked_new}");
        assert_eq!(guard(&gate).await["left"], serde_json::Value::Null, "{name}");
        does.send(bad).unwrap();
        let said = until_left(&gate).await;
        assert!(said.starts_with(why), "{said}");
        let line = gate.says("guard exceeded, route left").await;
        assert!(line.contains("route=\"try\"") && line.contains(why), "{line}");
        // From now on the old one decides about everybody.
        for user in 0..20 {
            assert_eq!(post(&gate, user).await, "old=allow", "{name}");
        }
        let metrics = String::from_utf8(gate.ask("/metrics").await.body.to_vec()).unwrap();
        assert!(metrics.contains("hookgate_guard_left{route=\"try\"} 1.0"), "{metrics}");
        let admin = format!("http://{}", gate.admin);
        let page = hookgate(&["status", "--admin", &admin]).output().await.unwrap();
        assert!(String::from_utf8(page.stdout).unwrap().contains("the guard of try has left it"));
        does.send(Does::Allows).unwrap();
        let none = hookgate(&["shadow", "resume", "other", "--admin", &admin]).output().await.unwrap();
        assert_eq!(String::from_utf8(none.stdout).unwrap(), "no guard has left other\n");
        let resumed = hookgate(&["shadow", "resume", "--admin", &admin]).output().await.unwrap();
        assert_eq!(String::from_utf8(resumed.stdout).unwrap(), "taken again: try\n");
        let mut again = false;
        for user in 0..20 {
            again |= post(&gate, user).await == "new=allow";
        }
        assert!(again, "{name}");
    }
}

#[tokio::test]
async fn a_route_that_was_left_stays_so_over_a_restart_until_it_is_changed() {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policies-guards");
    let _ = std::fs::remove_dir_all(&data);
    let (old, (new, does)) = (allows().await, new_policy().await);
    let of = |guard: &str| yaml(&old, &new, guard, &format!("data: {}", data.display()));
    does.send(Does::Fails).unwrap();
    let bounds = "{failures: 5%, least: 10}";
    let mut gate = start("guard-restart", &of(bounds)).await;
    until_left(&gate).await;
    let kept = data.join("guards.json");
    let is_written = async {
        while !std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("failures: ")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_written).await.expect("it is written");
    gate.signal("-KILL").await;
    gate.end().await;
    does.send(Does::Allows).unwrap();

    gate = start("guard-restart", &of(bounds)).await;
    assert!(guard(&gate).await["left"].as_str().is_some());
    for user in 0..20 {
        assert_eq!(post(&gate, user).await, "old=allow");
    }
    // A reload in which the route is another one begins anew.
    file("policies-guard-restart.yaml", of("{failures: 6%, least: 10}"));
    gate.signal("-HUP").await;
    gate.says("configuration reloaded").await;
    assert_eq!(guard(&gate).await["left"], serde_json::Value::Null);
    let mut again = false;
    for user in 0..20 {
        again |= post(&gate, user).await == "new=allow";
    }
    assert!(again);
    gate.signal("-KILL").await;
    gate.end().await;
    // A file that is no JSON leaves nothing, and is said.
    std::fs::write(&kept, "{").unwrap();
    let gate = start("guard-restart", &of(bounds)).await;
    assert!(gate.said().contains("guards not readable, no route is left"), "{}", gate.said());
}
