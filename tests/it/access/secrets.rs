//! What callers know is nowhere to be read, and crowds of those who know nothing cost next to nothing.

use hookgate::config::Class;
use hookgate::internals::Failure;
use http_body_util::Full;
use tokio::task::JoinSet;

use super::{assert_denied, basic};
use crate::support::collector::Collector;
use crate::support::program::{ALL_LOGS, EVERYTHING_FREE, Running, configured};
use crate::support::{COMMAND, Policy, file, send};

#[tokio::test]
async fn no_secret_is_in_a_log_a_status_or_a_reply_whether_it_is_right_or_was_or_nearly_is() {
    let policy = Policy::allow().await;
    let passwords = file("secret-passwords", "openim:MARKER-new\nopenim:MARKER-other");
    let paths = file("secret-paths", "MARKER-path\ncallbackMARKER");
    let yaml = format!("log: {ALL_LOGS}\naccess: {{passwords: {passwords}, paths: {paths}}}");
    let hookgate = Running::of(configured(&policy.url(), "secrets", &yaml)).await;
    let mut replies = String::new();
    for path in [
        format!("MARKER-path/{COMMAND}"),
        format!("MARKER-old/{COMMAND}"),
        "MARKER-path".to_owned(),
        "MARKER-old".to_owned(),
        "MARKER-path/nowhere".to_owned(),
        "callbackMARKER".to_owned(),
        "callbackMARKERold".to_owned(),
        format!("callbackMARKER/{COMMAND}"),
        format!("MARKER-path?token=MARKER/{COMMAND}"),
    ] {
        for password in ["openim:MARKER-new", "openim:MARKER-old", "MARKER"] {
            for method in ["POST", "GET"] {
                let request =
                    http::Request::builder().method(method).uri(format!("http://{}/{path}", hookgate.webhooks));
                let request = request.header("authorization", basic(password)).body(Full::from("{}")).unwrap();
                let reply = send(request).await;
                replies += &format!("{:?} {}\n", reply.headers, String::from_utf8_lossy(&reply.body));
            }
        }
    }
    let status = hookgate.status().await;
    assert!(status["callers_refused"]["password"].as_u64() > Some(0), "{status}");
    assert!(status["callers_refused"]["path"].as_u64() > Some(0), "{status}");
    hookgate.signal("-INT").await;
    let (_, said) = hookgate.end().await;
    assert!(said.contains("caller refused") && said.contains("peer=\"127.0.0.1\""), "{said}");
    for (place, text) in [("log", &said), ("status", &status.to_string()), ("replies", &replies)] {
        let encoded = basic("openim:MARKER-new");
        assert!(!text.contains("MARKER") && !text.contains(encoded.trim_start_matches("Basic ")), "{place}: {text}");
    }
}

#[tokio::test]
async fn where_paths_are_secret_no_part_of_one_is_written_down() {
    let policy = Policy::start(|call| match call.rpc.ends_with("UnknownCallback") {
        // An After event that ends undelivered has lines of its own.
        true => Err(tonic::Status::unimplemented("no")),
        false => Ok(Vec::new()),
    })
    .await;
    let collector = Collector::start().await;
    let paths = file("written-paths", "MARKER-path\ncallbackBeforeMARKER\ncallbackAfterMARKER");
    let yaml = format!(
        "log: {ALL_LOGS}\naccess: {{paths: {paths}}}\ndecisions: {{to: stdout}}\ntraces: {{endpoint: '{}'}}",
        collector.url()
    );
    let mut hookgate = Running::of(configured(&policy.url(), "written-down", &yaml)).await;
    let mut stdout = hookgate.child.stdout.take().unwrap();
    let decisions = tokio::spawn(async move {
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stdout, &mut text).await.unwrap();
        text
    });
    let mut statuses = Vec::new();
    for secret in ["MARKER-path", "callbackBeforeMARKER", "callbackAfterMARKER"] {
        for path in [format!("{secret}/{secret}"), format!("{secret}/x/{secret}"), format!("{secret}?command={secret}")]
        {
            for (method, body) in [("POST", "{}"), ("POST", "no JSON"), ("GET", "")] {
                let uri = format!("http://{}/{path}", hookgate.webhooks);
                let request = http::Request::builder().method(method).uri(uri).body(Full::from(body)).unwrap();
                statuses.push(send(request).await.status.as_u16());
            }
        }
    }
    assert_eq!([200, 400, 404, 405].map(|status| statuses.contains(&status)), [true; 4], "{statuses:?}");
    // The policy is told all the same.
    let told =
        policy.take_calls().into_iter().filter(|call| call.metadata("openim-command") == Some("callbackBeforeMARKER"));
    assert_eq!(told.count(), 3);
    // A command that the body names too is OpenIM's own word.
    let uri = format!("http://{}/MARKER-path/callbackBeforeTomorrow", hookgate.webhooks);
    let body = Full::from(r#"{"callbackCommand":"callbackBeforeTomorrow"}"#);
    send(http::Request::post(uri).body(body).unwrap()).await;
    let mut told = String::new();
    for path in ["/status", "/metrics"] {
        told += &String::from_utf8_lossy(&hookgate.ask(path).await.body);
    }
    hookgate.signal("-INT").await;
    let (_, said) = hookgate.end().await;
    let spans = collector.take().iter().map(|span| span.whole.clone()).collect::<String>();
    let decisions = decisions.await.unwrap();
    assert!(said.contains("event dead-lettered") && said.contains("TRACE"), "{said}");
    for (place, text) in [("log", said), ("decisions", decisions), ("spans", spans), ("status, metrics", told)] {
        assert!(text.contains("(not shown)"), "{place}: {text}");
        assert!(text.contains("callbackBeforeTomorrow"), "{place}: {text}");
        if let Some(at) = text.find("MARKER") {
            panic!("{place}: {}", &text[at.saturating_sub(300)..text.len().min(at + 100)]);
        }
    }
}

#[tokio::test]
async fn a_method_is_cut_where_it_is_logged() {
    let policy = Policy::allow().await;
    let hookgate = Running::of(configured(&policy.url(), "long-method", "")).await;
    let method = "M".repeat(4_000);
    let uri = format!("http://{}/{COMMAND}", hookgate.webhooks);
    let request = http::Request::builder().method(&*method).uri(uri).body(Full::from("{}")).unwrap();
    assert_eq!(send(request).await.status, 405);
    hookgate.signal("-INT").await;
    let (_, said) = hookgate.end().await;
    let line = said.lines().find(|line| line.contains("MMM")).unwrap();
    assert!(line.len() < 400 && line.contains("refused"), "{line}");
}

#[tokio::test]
async fn a_long_command_is_none_and_is_cut_where_it_is_logged() {
    let policy = Policy::allow().await;
    let hookgate = Running::of(configured(&policy.url(), "long-command", "log: debug")).await;
    let command = format!("callback{}", "M".repeat(4_000));
    assert_eq!(hookgate.post(&command, "{}").await.status, 404);
    hookgate.signal("-INT").await;
    let (_, said) = hookgate.end().await;
    let line = said.lines().find(|line| line.contains("MMM")).unwrap();
    assert!(line.len() < 400 && line.contains("request refused"), "{line}");
}

#[test]
fn what_a_peer_says_is_cut_in_the_cause_of_a_failure() {
    // h2 repeats the text of a GOAWAY, of which a frame can hold 16 KiB.
    let error = std::io::Error::other(format!("x{}", "ä".repeat(8_000)));
    let failure = Failure::new(Class::Unavailable, &error);
    assert!(failure.cause.len() <= 515 && failure.cause.ends_with("ä…"), "{}", failure.cause);
}

#[tokio::test]
async fn the_built_in_policy_shows_no_part_of_a_secret_path() {
    let paths = file("builtin-paths", "callbackBeforeMARKER");
    let yaml = file("builtin-paths.yaml", format!("policy: builtin\naccess: {{paths: {paths}}}"));
    let hookgate = Running::start(&[&EVERYTHING_FREE[..], &["--config", &yaml]].concat()).await;
    for (command, body) in
        [("callbackBeforeMARKER", "{}"), ("callbackBeforeTomorrow", r#"{"callbackCommand":"callbackBeforeTomorrow"}"#)]
    {
        let uri = format!("http://{}/callbackBeforeMARKER/{command}", hookgate.webhooks);
        assert_eq!(send(http::Request::post(uri).body(Full::from(body)).unwrap()).await.status, 200);
    }
    hookgate.signal("-INT").await;
    let (_, said) = hookgate.end().await;
    assert!(said.contains("callbackBeforeTomorrow") && !said.contains("MARKER"), "{said}");
}

#[tokio::test]
async fn a_thousand_callers_that_may_not_are_denied_counted_and_hardly_logged() {
    let policy = Policy::allow().await;
    let passwords = file("crowd-passwords", "openim:good");
    let yaml = format!("access: {{passwords: {passwords}}}");
    let hookgate = Running::of(configured(&policy.url(), "crowd-of-callers", &yaml)).await;
    let uri = format!("http://{}/{COMMAND}", hookgate.webhooks);
    let mut callers = JoinSet::new();
    for number in 0..1000 {
        let request = http::Request::post(&uri).header("authorization", basic(&format!("openim:{number}")));
        callers.spawn(send(request.body(Full::from("{}")).unwrap()));
        if number % 50 == 49 {
            while let Some(reply) = callers.join_next().await {
                assert_denied(&reply.unwrap(), "one of many");
            }
        }
    }
    let request = http::Request::post(&uri).header("authorization", basic("openim:good"));
    assert_eq!(send(request.body(Full::from("{}")).unwrap()).await.status, 200);
    let status = hookgate.status().await;
    assert_eq!(status["callers_refused"]["password"], 1000);
    hookgate.signal("-INT").await;
    let (_, said) = hookgate.end().await;
    let lines: Vec<_> = said.lines().filter(|line| line.contains("caller refused")).collect();
    // One a second, however long the machine takes: never one each.
    assert!(!lines.is_empty() && lines.len() < 200, "{} lines", lines.len());
    let untold = lines.iter().filter_map(|line| line.split("untold=").nth(1)?.split(' ').next()?.parse::<usize>().ok());
    assert!(lines.len() + untold.sum::<usize>() <= 1000);
    // Besides its health.
    let asked = policy.take_calls().into_iter().filter(|call| call.rpc.ends_with("/BeforeAddBlack"));
    assert_eq!(asked.count(), 1);
}
