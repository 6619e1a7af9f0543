//! Where lines go: what is slow, full or moved away holds up nobody.

use std::fs;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt};
use tokio::time::{Instant, timeout};

use super::{file, message, parsed};
use crate::support::program::{ALL_LOGS, Running, configured};
use crate::support::{Policy, send};

const COMMAND: &str = "callbackBeforeSendSingleMsgCommand";

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Posts so many messages; each gets its allow.
async fn post(hookgate: &Running, count: usize, content: &str) {
    for _ in 0..count {
        let reply = timeout(PATIENCE, hookgate.post(COMMAND, &message(content))).await.expect("nobody waits");
        assert_eq!(reply.json()["nextCode"], 0);
    }
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_made_anew_and_no_line_is_lost() {
    let policy = Policy::allow().await;
    let (log, moved) = (file("moved"), file("moved.1"));
    let yaml = format!("decisions: {{to: {}}}", log.display());
    let hookgate = Running::of(configured(&policy.url(), "decisions-moved", &yaml)).await;
    post(&hookgate, 5, "hello").await;
    fs::rename(&log, &moved).unwrap();
    let mut posted = 5;
    let patience = Instant::now() + PATIENCE;
    while !log.exists() {
        assert!(Instant::now() < patience, "it is not made anew");
        post(&hookgate, 1, "hello").await;
        posted += 1;
    }
    hookgate.signal("-INT").await;
    assert_eq!(hookgate.end().await.0, Some(0));
    let lines = |file| parsed(&fs::read_to_string(file).unwrap()).len();
    assert!(lines(&log) > 0);
    assert_eq!(lines(&log) + lines(&moved), posted);
}

#[tokio::test]
async fn a_file_is_continued() {
    let policy = Policy::allow().await;
    let log = file("continued");
    for run in 1..=2 {
        let yaml = format!("decisions: {{to: {}}}", log.display());
        let hookgate = Running::of(configured(&policy.url(), "decisions-continued", &yaml)).await;
        post(&hookgate, 3, "hello").await;
        hookgate.signal("-INT").await;
        assert_eq!(hookgate.end().await.0, Some(0));
        assert_eq!(parsed(&fs::read_to_string(&log).unwrap()).len(), 3 * run);
    }
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_no_verdict() {
    let policy = Policy::allow().await;
    let hookgate = Running::of(configured(&policy.url(), "decisions-full", "decisions: {to: /dev/full}")).await;
    post(&hookgate, 20, "hello").await;
    let patience = Instant::now() + PATIENCE;
    while hookgate.status().await["decisions"]["left_out"] != 20 {
        assert!(Instant::now() < patience, "{}", hookgate.status().await["decisions"]);
    }
    assert_eq!(hookgate.status().await["decisions"]["written"], 0);
    let metrics = hookgate.ask("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    assert!(metrics.contains("hookgate_decisions_dropped_total 20"), "{metrics}");
    hookgate.signal("-INT").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0));
    assert!(said.contains("decision log lines dropped") && said.contains("No space left"), "{said}");
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_costs_lines_and_no_verdict() {
    let policy = Policy::allow().await;
    let yaml = "decisions: {to: stdout, fields: message.content}\nlog: warn";
    let mut hookgate = Running::of(configured(&policy.url(), "decisions-unread", yaml)).await;
    // Held, so that the pipe is whole, and not read.
    let mut stdout = hookgate.child.stdout.take().unwrap();
    let long = "\u{1}".repeat(4096);
    let mut posted = 0;
    while hookgate.status().await["decisions"]["left_out"] == 0 {
        post(&hookgate, 50, &long).await;
        posted += 50;
        assert!(posted < 5_000, "something takes all of it");
    }
    // Whoever reads again gets whole lines, those that were kept.
    let read = tokio::spawn(async move {
        let mut text = String::new();
        stdout.read_to_string(&mut text).await.unwrap();
        text
    });
    post(&hookgate, 1, "hello").await;
    hookgate.signal("-INT").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0));
    assert!(said.contains("decision log lines dropped"), "{said}");
    let lines = parsed(&read.await.unwrap());
    assert!(!lines.is_empty() && lines.len() <= posted, "{} of {posted}", lines.len());
}

#[tokio::test]
async fn a_pipe_behind_the_name_of_standard_output_is_written_to() {
    let policy = Policy::allow().await;
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let yaml = format!("decisions: {{to: {name}}}");
        let mut hookgate = Running::of(configured(&policy.url(), "decisions-dev-stdout", &yaml)).await;
        let mut pipe = hookgate.child.stdout.take().unwrap();
        post(&hookgate, 2, "hello").await;
        hookgate.signal("-INT").await;
        let mut text = String::new();
        pipe.read_to_string(&mut text).await.unwrap();
        assert_eq!(text.lines().count(), 2, "{name}: {text}");
    }
}

#[tokio::test]
async fn it_ends_although_nobody_reads_its_pipe() {
    let policy = Policy::allow().await;
    let yaml = "decisions: {to: stdout, fields: message.content}";
    let mut hookgate = Running::of(configured(&policy.url(), "decisions-stuck", yaml)).await;
    let _held = hookgate.child.stdout.take().unwrap();
    post(&hookgate, 40, &"x".repeat(4096)).await;
    hookgate.signal("-INT").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0));
    assert!(said.contains("decision log: last lines dropped"), "{said}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_no_verdict() {
    let policy = Policy::start(|_| Err(tonic::Status::permission_denied("no"))).await;
    let command = configured(&policy.url(), "decisions-log-unread", &format!("log: {ALL_LOGS}"));
    let (mut child, mut stderr, webhooks) = Running::unread(command).await;
    // Nothing is read from here on. At this level a webhook makes kilobytes of log.
    let denials = async {
        for _ in 0..1_500 {
            let body = http_body_util::Full::from(message("hello"));
            let reply = send(http::Request::post(format!("{webhooks}/{COMMAND}")).body(body).unwrap()).await;
            assert_eq!(reply.json()["nextCode"], 1);
        }
    };
    timeout(PATIENCE, denials).await.expect("nobody waits for the log");
    let (mut said, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        let read = timeout(PATIENCE, stderr.read_line(&mut line)).await;
        assert!(read.is_ok_and(|read| read.unwrap() > 0), "no word about it: {said}");
        if line.contains("log lines dropped here") {
            break;
        }
        said.push_str(&line);
    }
    child.kill().await.unwrap();
}

#[tokio::test]
async fn it_ends_although_nobody_reads_its_log() {
    let policy = Policy::allow().await;
    let command = configured(&policy.url(), "decisions-log-stuck", &format!("log: {ALL_LOGS}"));
    let (mut child, _stderr, webhooks) = Running::unread(command).await;
    for _ in 0..300 {
        let body = http_body_util::Full::from(message("hello"));
        send(http::Request::post(format!("{webhooks}/{COMMAND}")).body(body).unwrap()).await;
    }
    let kill = format!("kill -INT {}", child.id().unwrap());
    assert!(tokio::process::Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    let ended = timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}
