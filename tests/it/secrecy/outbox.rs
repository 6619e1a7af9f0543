//! The outbox: its content is for those who ask for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::Value;

use super::{CONTENT, ID, MODES, TEXT, WORDS, access, lacks, policy, post_all, secrets_and};
use crate::support::program::{ALL_LOGS, Running, configured, hookgate};

/// What `hookgate outbox` prints.
async fn outbox(args: &[&str]) -> String {
    let output = hookgate(&[&["outbox"], args].concat()).output().await.unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it prints of everything, except content that is asked for: how many, all of them, and one of each rpc.
async fn outbox_of(place: [&str; 2]) -> Vec<String> {
    let all = ["list", "--limit", "100000"];
    let list = outbox(&[&all[..], &place, &["--json"]].concat()).await;
    let items: Vec<Value> = serde_json::from_str(&list).unwrap();
    let mut rpcs: BTreeMap<_, _> = items.iter().map(|item| (item["rpc"].to_string(), item["id"].as_str())).collect();
    assert!(rpcs.len() > 20, "{rpcs:?}");
    let mut printed = vec![outbox(&place).await, outbox(&[&all[..], &place].concat()).await, list];
    while let Some((_, id)) = rpcs.pop_first() {
        printed.push(outbox(&[&["show", id.unwrap()], &place[..]].concat()).await);
    }
    assert!(printed.iter().any(|text| text.contains(TEXT)), "an event is shown with its message");
    printed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_shows_content_to_nobody_who_does_not_ask_for_it() {
    let (policy, mode) = policy().await;
    mode.store(MODES.iter().position(|mode| *mode == "fail").unwrap(), SeqCst);
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrecy-data");
    let _ = std::fs::remove_dir_all(&data);
    let data = data.to_str().unwrap();
    let yaml = format!(
        "log: {ALL_LOGS}\nlog_format: json\ndata: {data}\nafter: {{answer_within: 0s, attempts: 1, pause_max: 5ms}}\ndrain: {{time: 3s}}\n{}",
        access("secrecy-outbox")
    );
    let hookgate = Running::of(configured(&policy.url(), "secrecy-outbox", &yaml)).await;
    post_all(&hookgate).await;
    while hookgate.status().await["after_events"]["backlog"]["events"] != 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let shown = secrets_and(&[CONTENT, WORDS]);
    let admin = format!("http://{}", hookgate.admin);
    for text in outbox_of(["--admin", &admin]).await {
        lacks("hookgate outbox", &text, &shown);
    }
    lacks("/outbox", &String::from_utf8_lossy(&hookgate.ask("/outbox").await.body), &shown);
    hookgate.signal("-INT").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0));
    lacks("the log", &said, &secrets_and(&[ID, TEXT, CONTENT, WORDS]));
    for text in outbox_of(["--data", data]).await {
        lacks("hookgate outbox", &text, &shown);
    }
}
