//! Callbacks that fail open by the contract: whatever goes wrong they are allowed, unless a rule of their own denies; what
//! nobody would send, and callers that may not call, are refused as ever.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookgate::app::Stop;
use hookgate::config::Class;
use hookgate::config::{Config, Override, Rule, Rules};
use hookgate::contract::Callback;
use hookgate::internals::observe::Outcome;
use hookgate::openim::{self, Reading, Release};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Status;

use super::{allows_unchanged, failing};
use crate::support::program::{Running, configured};
use crate::support::{self, ALLOWED, COMMAND, Gate, OPEN, Policy, denial};

fn callback(command: &str) -> &'static Callback {
    Callback::by_command(command).unwrap()
}

/// The test configuration, in which every callback that fails open has a rule of its own for all classes.
fn with_own(rule: Rule) -> Config {
    let mut config = support::config();
    for command in OPEN {
        config.callbacks.insert(command, Override { on_failure: Rules::all(rule), ..Override::default() });
    }
    config
}

/// The reply to these bytes on a connection of their own: status, outcome and body, until the other side closes.
async fn raw(gate: &Gate, bytes: &[u8], half_close: bool) -> (u16, String, String) {
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    if half_close {
        stream.shutdown().await.unwrap();
    }
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    parts(&reply)
}

fn parts(reply: &str) -> (u16, String, String) {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {reply:?}"));
    let outcome = head.lines().find_map(|line| line.strip_prefix("hookgate-outcome: ")).unwrap();
    (head[9..12].parse().unwrap(), outcome.to_owned(), body.to_owned())
}

fn assert_allowed(callback: &Callback, body: &[u8], case: &str) {
    for release in Release::ALL {
        let reading = openim::read(callback, b"{}", body, release);
        assert!(allows_unchanged(&reading), "{case} on {release:?}: {reading:?}");
    }
}

fn assert_denied(callback: &Callback, body: &[u8], case: &str) {
    for release in Release::ALL {
        let reading = openim::read(callback, b"{}", body, release);
        assert!(matches!(reading, Reading::Denied(_)), "{case} on {release:?}: {reading:?}");
    }
}

#[tokio::test]
async fn every_class_is_allowed_and_a_rule_of_its_own_denies() {
    for class in Class::ALL {
        let (url, _policy) = failing(class).await;
        for own in [None, Some(Rule::Deny)] {
            let mut config = own.map_or_else(support::config, with_own);
            if class == Class::Deadline {
                config.budget = Duration::from_millis(100);
            } else {
                config.budget = Duration::from_secs(60);
            }
            // A rule for all callbacks decides nothing here.
            config.on_failure = Rules::all(own.map_or(Rule::Deny, |_| Rule::Allow));
            let gate = Gate::configured(&url, config).await;
            for command in OPEN {
                let (callback, outcome) = (callback(command), Outcome::Failed(own.unwrap_or(Rule::Allow), class));
                let case = format!("{class} {own:?} {command}");
                let reply = gate.post(&format!("/{command}"), callback.example).await;
                assert_eq!(reply.status.as_u16(), 200, "{case}");
                assert_eq!(reply.headers["hookgate-outcome"], outcome.as_str(), "{case}");
                assert_eq!(gate.status.of(callback).counted(outcome), 1, "{case}");
                match own {
                    None => assert_allowed(callback, &reply.body, &case),
                    Some(_) => assert_denied(callback, &reply.body, &case),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read() {
    let policy = Policy::allow().await;
    let large = "x".repeat(3000);
    // Over the limit, ended early, never ended: what of it comes.
    let bodies = [
        ("overloaded", 413, format!("content-length: {}\r\n\r\n{large}", large.len()), false),
        ("error", 400, "content-length: 20\r\n\r\n{".to_owned(), true),
        ("deadline", 408, "content-length: 20\r\n\r\n{".to_owned(), false),
    ];
    for (own, open) in [(None, true), (Some(Rule::Deny), false)] {
        let mut config = own.map_or_else(support::config, with_own);
        config.limits.body = 1000;
        config.budget = Duration::from_millis(300);
        // Whatever is to be allowed of other callbacks: these bytes were not looked at.
        config.on_failure = Rules::all(Rule::Allow);
        let gate = Gate::configured(&policy.url(), config).await;
        for (class, status, rest, half_close) in &bodies {
            for (command, open) in OPEN.map(|command| (command, open)).into_iter().chain([(COMMAND, false)]) {
                let case = format!("{command} {class} {own:?}");
                let request = format!("POST /{command} HTTP/1.1\r\nhost: h\r\n{rest}");
                let reply = raw(&gate, request.as_bytes(), *half_close).await;
                // What ends early is nothing that OpenIM would send.
                if open && *status != 400 {
                    assert_eq!(reply, (200, format!("failed-open:{class}"), ALLOWED.to_owned()), "{case}");
                } else {
                    assert_eq!((reply.0, &*reply.1), (*status, "refused"), "{case}");
                    assert_denied(callback(command), reply.2.as_bytes(), &case);
                }
            }
        }
        let outcome = Outcome::Failed(Rule::Allow, Class::Overloaded);
        assert_eq!(gate.status.of(callback(OPEN[0])).counted(outcome), u64::from(open));
    }
    assert!(policy.take_calls().is_empty(), "nothing is asked about a body that was not read");
}

#[tokio::test]
async fn a_panic() {
    for own in [None, Some(Rule::Deny)] {
        let mut config = own.map_or_else(support::config, with_own);
        config.on_failure = Rules::all(Rule::Allow);
        let gate = Gate::that_panics(config).await;
        for command in OPEN {
            let reply = gate.post(&format!("/{command}"), "{}").await;
            let outcome = Outcome::Failed(own.unwrap_or(Rule::Allow), Class::Error);
            assert_eq!(reply.headers["hookgate-outcome"], outcome.as_str(), "{command} {own:?}");
            assert_eq!(gate.status.of(callback(command)).counted(outcome), 1, "{command} {own:?}");
            match own {
                None => assert_eq!((reply.status.as_u16(), &*reply.body), (200, ALLOWED.as_bytes())),
                Some(_) => assert_denied(callback(command), &reply.body, command),
            }
        }
        // Of any other a panic is a denial, and counted too.
        let other = gate.post(&format!("/{COMMAND}"), "{}").await;
        assert_eq!(
            (other.status.as_u16(), &other.headers["hookgate-outcome"]),
            (500, &"failed-closed:error".parse().unwrap())
        );
        assert_eq!(gate.status.of(callback(COMMAND)).counted(Outcome::Failed(Rule::Deny, Class::Error)), 1);
    }
}

#[tokio::test]
async fn a_full_house() {
    let (policy, mut was_asked, release) = Policy::that_waits().await;
    let mut config = support::config();
    config.limits.calls = 1;
    let gate = Arc::new(Gate::configured(&policy.url(), config).await);
    let first = tokio::spawn({
        let gate = gate.clone();
        async move { gate.post(&format!("/{COMMAND}"), "{}").await }
    });
    was_asked.recv().await.unwrap();
    for command in OPEN {
        let reply = gate.post(&format!("/{command}"), "{}").await;
        assert_eq!(reply.headers["hookgate-outcome"], "failed-open:overloaded", "{command}");
        assert_eq!(reply.body, ALLOWED);
    }
    release.send(true).unwrap();
    assert_eq!(first.await.unwrap().headers["hookgate-outcome"], "allow");

    let mut config = support::config();
    config.limits.connections = 1;
    let gate = Gate::configured(&policy.url(), config).await;
    let kept = TcpStream::connect(gate.address).await.unwrap();
    let reply = gate.post(&format!("/{}", OPEN[0]), "{}").await;
    assert_eq!((&*reply.body, &reply.headers["connection"]), (ALLOWED.as_bytes(), &"close".parse().unwrap()));
    drop(kept);
}

/// The end of the drain time: what waits for the policy gets a reply by its rule, and so does a body that is not whole.
#[tokio::test]
async fn a_stop() {
    let (policy, mut was_asked, _release) = Policy::that_waits().await;
    for own in [None, Some(Rule::Deny)] {
        let mut config = own.map_or_else(support::config, with_own);
        // What does not end with the drain time does not end in this test.
        config.budget = Duration::from_secs(3600);
        config.drain.time = Duration::from_millis(500);
        let mut gate = Gate::configured(&policy.url(), config).await;
        let mut waiting = Vec::new();
        for command in OPEN.into_iter().chain([COMMAND]) {
            for body in ["{}", "{"] {
                let mut stream = TcpStream::connect(gate.address).await.unwrap();
                let request = format!("POST /{command} HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{body}");
                stream.write_all(request.as_bytes()).await.unwrap();
                waiting.push((command, body, stream));
            }
            was_asked.recv().await.unwrap();
        }
        gate.begin_to_stop(Stop::Now);
        for (command, body, mut stream) in waiting {
            let mut reply = String::new();
            let read = timeout(Duration::from_secs(60), stream.read_to_string(&mut reply)).await;
            read.expect("a reply by the end of the drain time").unwrap();
            let (_, outcome, replied) = parts(&reply);
            let case = format!("{command} {body:?} {own:?}");
            let expected = match (own, body) {
                (None, _) if command != COMMAND => "failed-open:deadline",
                (_, "{}") => "failed-closed:deadline",
                _ => "refused",
            };
            assert_eq!(outcome, expected, "{case}");
            match expected {
                "failed-open:deadline" => assert_allowed(callback(command), replied.as_bytes(), &case),
                _ => assert_denied(callback(command), replied.as_bytes(), &case),
            }
        }
        gate.stop().await;
    }
}

#[tokio::test]
async fn what_nobody_would_send_is_refused_all_the_same() {
    let policy = Policy::allow().await;
    let gate = Gate::start(&policy.url()).await;
    for command in OPEN {
        for body in ["", "[]", "{", r#"{"callbackCommand":5}"#, "\u{0}"] {
            let reply = gate.post(&format!("/{command}"), body).await;
            assert_eq!((reply.status.as_u16(), &reply.headers["hookgate-outcome"]), (400, &"refused".parse().unwrap()));
            assert_denied(callback(command), &reply.body, body);
        }
        for (method, path, status) in [("GET", format!("/{command}"), 405), ("POST", format!("/{command}x/y"), 404)] {
            let uri = format!("http://{}{path}", gate.address);
            let request = http::Request::builder().method(method).uri(uri).body(Full::<Bytes>::default()).unwrap();
            let reply = gate.send(request).await;
            assert_eq!(reply.status.as_u16(), status, "{method} {path}");
            assert_denied(callback(command), &reply.body, &path);
        }
    }
    let mut config = support::config();
    config.access.sources = vec!["10.0.0.0/8".parse().unwrap()];
    let gate = Gate::configured(&policy.url(), config).await;
    let reply = gate.post(&format!("/{}", OPEN[0]), "{}").await;
    assert_eq!(reply.status.as_u16(), 401);
    assert_denied(callback(OPEN[0]), &reply.body, "a caller");
}

/// A policy's denials go through; those that break something in OpenIM say so, and those that a rule makes.
#[tokio::test]
async fn a_denial_that_breaks_openim_is_logged_with_what_it_does() {
    let policy = Policy::start(|call| match call.metadata("openim-operation-id") {
        Some("op-7") => Ok(denial(5001, "no")),
        _ => Err(Status::internal("broken")),
    })
    .await;
    let yaml = "log: info\ncallbacks: {beforeCreateGroupChatConversations: {on_failure: deny}}";
    let hookgate = Running::of(configured(&policy.url(), "damage", yaml)).await;
    let group = |kind: u32| format!(r#"{{"sendID":"u1","groupID":"g1","contentType":{kind}}}"#);
    let cases: [(&str, String, Option<&str>); 9] = [
        (OPEN[2], group(1504), Some("stay in the dismissed group")),
        (OPEN[2], group(1508), Some("stay in the dismissed group")),
        (OPEN[2], group(1511), Some("stay in the dismissed group")),
        (OPEN[2], group(101), None),
        (OPEN[0], group(1511), None),
        (OPEN[1], group(1511), None),
        (OPEN[3], r#"{"ownerUserId":"u1"}"#.to_owned(), Some("never creates this one")),
        (OPEN[4], r#"{"groupId":"g1"}"#.to_owned(), Some("cannot join again (1001)")),
        (COMMAND, r#"{"ownerUserID":"u1"}"#.to_owned(), None),
    ];
    for (command, body, _) in &cases {
        let reply = hookgate.post(command, body).await;
        assert_eq!(reply.headers["hookgate-outcome"], "deny", "{command} {body}");
        assert_eq!(reply.json()["errCode"], 5001, "{command} {body}");
    }
    let uri = format!("http://{}/{}", hookgate.webhooks, OPEN[4]);
    let failed = support::send(http::Request::post(uri).body("{}".into()).unwrap()).await;
    assert_eq!(failed.headers["hookgate-outcome"], "failed-closed:error");
    hookgate.signal("-TERM").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0), "{said}");
    let mut lines =
        said.lines().filter(|line| line.contains("operation_id=op-7") || line.contains("operation_id=\"op-7\""));
    for (command, body, breaks) in &cases {
        let line = lines.next().unwrap_or_else(|| panic!("no line for {command}:\n{said}"));
        assert!(line.contains(command), "{command}: {line}");
        assert_eq!(line.contains("WARN"), breaks.is_some(), "{body}: {line}");
        assert_eq!(line.contains("breaks="), breaks.is_some(), "{body}: {line}");
        assert!(line.contains(breaks.unwrap_or("webhook denied")), "{body}: {line}");
    }
    let warned = "callbacks.beforeCreateGroupChatConversations.on_failure: denies when the policy fails";
    assert!(said.contains(warned), "{said}");
    let failed = said.lines().find(|line| line.contains("webhook failed closed")).unwrap();
    assert!(failed.contains("cannot join again (1001)"), "{failed}");
}
