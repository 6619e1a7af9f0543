//! `hookgate status`, the page that an operator reads, and the failures in `/status`.

use std::net::SocketAddr;
use std::path::Path;

use http_body_util::Full;
use serde_json::Value;
use tonic::Status;

use crate::support::program::{Running, configured, hookgate};
use crate::support::{Policy, nobody, send};

/// A callback whose policy call fails, in words of two lines and with the escape of a colour.
const FAILS: &str = "callbackBeforeAddBlackCommand";

/// An event that the policy does not implement.
const UNIMPLEMENTED: &str = "callbackAfterRemoveBlackCommand";

/// An event whose delivery fails.
const EVENT: &str = "callbackAfterUserRegisterCommand";

/// The exit code and the page.
async fn status(admin: SocketAddr, more: &[&str]) -> (Option<i32>, String) {
    let output = hookgate(&[&["status", "--admin", &format!("http://{admin}")], more].concat()).output().await.unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// A policy that fails some rpcs.
async fn policy() -> Policy {
    const WORDS: &str = "out of \u{1b}[31mmemory\nat line 7 of a very long trace of its stack";
    Policy::without_health(|call| {
        let answer = match call.rpc.rsplit('/').next().unwrap() {
            "BeforeAddBlack" => Err(Status::internal(WORDS)),
            "AfterRemoveBlack" => Err(Status::unimplemented("not here")),
            "AfterUserRegister" => Err(Status::resource_exhausted("slowly")),
            _ => Ok(Vec::new()),
        };
        Box::pin(async { answer })
    })
    .await
}

/// A hookgate with an outbox before this policy.
async fn with_outbox(policy: &Policy, name: &str) -> Running {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(std::fs::remove_dir_all(&data));
    let yaml = format!("data: {}\nafter: {{answer_within: 0s}}", data.display());
    Running::of(configured(&policy.url(), name, &yaml)).await
}

/// Posts webhooks, and waits until they are counted and the events have failed.
async fn cause_trouble(hookgate: &Running) {
    for command in [FAILS, FAILS, UNIMPLEMENTED, EVENT, "callbackBeforeSetFriendRemarkCommand"] {
        hookgate.post(command, "{}").await;
    }
    loop {
        let status = hookgate.status().await;
        let events = &status["after_events"];
        if events["disk"]["dead"] == 1 && events["failures"].as_object().unwrap().len() == 2 {
            return;
        }
    }
}

#[tokio::test]
async fn a_hookgate_without_trouble_is_ready_and_warns_of_nothing() {
    let policy = policy().await;
    let running = Running::of(configured(&policy.url(), "status-ready", "")).await;
    running.post("callbackBeforeSetFriendRemarkCommand", r#"{"ownerUserID":"u1"}"#).await;
    let (code, page) = status(running.admin, &[]).await;
    assert_eq!(code, Some(0), "{page}");
    let first = page.lines().next().unwrap();
    assert!(first.starts_with(&format!("hookgate {}, up ", env!("CARGO_PKG_VERSION"))), "{page}");
    assert!(first.ends_with(": ready"), "{page}");
    assert!(!page.contains("\n! "), "{page}");
    for part in [
        &*format!("Policy         {}: ready\n    {} ready, 0 in flight\n", policy.url(), policy.address),
        "  BeforeSetFriendRemark                     1       0       0       0",
        "After events   0 kept (0 B), 0 delivered, 0 retried",
        "Outbox         in memory",
        "Drift          none; OpenIM ",
        "Configuration  as at the start",
    ] {
        assert!(page.contains(part), "no {part:?}:\n{page}");
    }
}

#[tokio::test]
async fn a_hookgate_that_is_not_ready_says_why_and_exits_with_1() {
    let url = format!("http://{}", nobody().await);
    let running = Running::of(configured(&url, "status-unready", "")).await;
    let (code, page) = status(running.admin, &[]).await;
    assert_eq!(code, Some(1), "{page}");
    assert!(page.lines().next().unwrap().contains("NOT READY: "), "{page}");
    let (code, _) = status(running.admin, &["--json"]).await;
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn nobody_at_the_admin_address_is_an_error() {
    let nobody = format!("http://{}", nobody().await);
    let output = hookgate(&["status", "--admin", &nobody]).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.contains("nobody answers at")), (Some(1), true), "{said}");
}

#[tokio::test]
async fn what_needs_attention_comes_first_and_the_causes_stand_below() {
    let policy = policy().await;
    let running = with_outbox(&policy, "status-trouble").await;
    cause_trouble(&running).await;
    let (code, page) = status(running.admin, &[]).await;
    assert_eq!(code, Some(0), "{page}");
    let (above, below) = page.split_once("\n\n").unwrap();
    for part in [
        "! BeforeAddBlack: 2 of 2 calls failed (100.0%), last ",
        "! AfterRemoveBlack: deliveries fail",
        "! AfterUserRegister: deliveries fail",
        "! 1 dead letter: hookgate outbox lists, replays or drops them",
    ] {
        assert!(above.contains(part), "no {part:?}:\n{page}");
    }
    // As it is before it is broken into lines.
    let below = below.replace("\n      ", " ");
    for part in [
        "  BeforeAddBlack                            2       0       0       2",
        "    2 failed-closed:error (100.0% failed)\n",
        " ago, error: Internal: out of  [31mmemory at line 7 of a very long trace of its stack\n",
        "    AfterUserRegister: 1 waiting",
        "unimplemented: Unimplemented: not here",
        "overloaded: ResourceExhausted: slowly",
        "    undelivered: 1 unimplemented\n",
        "Outbox         1 dead letter (",
    ] {
        assert!(below.contains(part), "no {part:?}:\n{page}");
    }
    for line in page.lines() {
        assert!(line.chars().count() <= 80 && !line.contains(char::is_control), "{line:?}");
    }
}

#[tokio::test]
async fn what_the_policy_says_of_a_failure_is_for_this_machine_alone() {
    let policy = policy().await;
    let running = with_outbox(&policy, "status-quotes").await;
    cause_trouble(&running).await;
    let ask = async |host: &str| -> Value {
        let request = http::Request::get(format!("http://{}/status", running.admin)).header("host", host);
        send(request.body(Full::default()).unwrap()).await.json()
    };
    let causes = |status: &Value| {
        let events = &status["after_events"]["failures"];
        let last = [
            &status["callbacks"][FAILS]["last_failure"],
            &events["/openim.policy.v1.RelationPolicyService/AfterRemoveBlack"],
        ];
        last.map(|last| ["class", "status", "cause"].map(|key| last[key].as_str().unwrap().to_owned()))
    };
    let [call, event] = causes(&ask("localhost").await);
    assert_eq!(call[..2], ["error", "Internal"]);
    assert!(call[2].starts_with("Internal: out of"), "{call:?}");
    assert_eq!(event, ["unimplemented", "Unimplemented", "Unimplemented: not here"]);
    let others = ask("another.host").await;
    assert_eq!(causes(&others).map(|[.., cause]| cause), ["Internal", "Unimplemented"]);
    assert_eq!(others["callbacks"][FAILS]["last_failure"]["count"], 2);

    let (_, json) = status(running.admin, &["--json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(causes(&json), [call, event]);
    let keys = |status: &Value| status.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&json), keys(&running.status().await));
}

#[tokio::test]
async fn the_admin_listener_has_an_index() {
    let policy = policy().await;
    let running = Running::of(configured(&policy.url(), "status-index", "")).await;
    let index = running.ask("/").await;
    assert_eq!(index.headers["content-type"], "text/plain; charset=utf-8");
    let index = String::from_utf8(index.body.to_vec()).unwrap();
    let routes = index.lines().filter_map(|line| line.strip_prefix('/')).map(|line| line.split(' ').next().unwrap());
    let mut found = 0;
    for route in routes {
        // In memory there is no outbox.
        let expected = if route == "outbox" { 404 } else { 200 };
        assert_eq!(running.ask(&format!("/{route}")).await.status, expected, "{route}");
        found += 1;
    }
    assert_eq!(found, 6, "{index}");
    assert_eq!(running.ask("/other").await.status, 404);
}
