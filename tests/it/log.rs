//! The log: whose lines each level shows, and the formats.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::program::{EVERYTHING_FREE, Running, hookgate};

const COMMAND: &str = "callbackBeforeAddBlackCommand";

/// Starts hookgate with these options too, posts a webhook, and returns what it has logged: a JSON object a line.
async fn logged(options: &[&str]) -> Vec<Value> {
    let args = [&EVERYTHING_FREE[..], &["--log-format", "json"], options].concat();
    let hookgate = Running::start(&args).await;
    let body = r#"{"callbackCommand":"callbackBeforeAddBlackCommand","ownerUserID":"u\u001b[1m","new":"\n"}"#;
    hookgate.post(COMMAND, body).await;
    hookgate.signal("-INT").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0), "{said}");
    let object = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    said.lines().map(object).collect()
}

#[tokio::test]
async fn a_level_is_that_of_hookgate_s_own_lines_and_other_crates_are_logged_where_they_are_named() {
    for (levels, others, own) in [
        ("info", false, false),
        ("debug", false, true),
        ("debug,h2=debug", true, true),
        ("h2=debug", true, false),
        ("info,hookgate=debug", false, true),
        ("debug,hookgate::server=off", false, false),
    ] {
        let lines = logged(&["--log", levels]).await;
        let target = |line: &Value| line["target"].as_str().unwrap().split("::").next().unwrap().to_owned();
        let crates: BTreeSet<_> = lines.iter().map(target).collect();
        let expected = if others { &["h2", "hookgate"][..] } else { &["hookgate"] };
        assert!(crates.iter().eq(expected), "{levels}: {crates:?}");
        assert_eq!(lines.iter().any(|line| line["message"] == "webhook allowed"), own, "{levels}: {lines:#?}");
    }
}

#[tokio::test]
async fn each_line_is_an_object_with_time_level_phrase_fields_and_target() {
    let lines = logged(&["--log", "debug"]).await;
    for line in &lines {
        let names: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(names.starts_with(&["timestamp", "level", "message"]) && names.ends_with(&["target"]), "{line}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{line}");
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.len() == "2026-01-31T12:00:00.123456Z".len() && time.ends_with('Z'), "{line}");
    }
    let of = |phrase: &str| lines.iter().find(|line| line["message"] == phrase).unwrap_or_else(|| panic!("{phrase}"));
    let webhook = of("webhook allowed");
    assert_eq!(
        (&webhook["level"], &webhook["command"], &webhook["operation_id"], &webhook["unknown_fields"]),
        (&json!("DEBUG"), &json!(COMMAND), &json!("op-7"), &json!(1)),
        "{webhook}"
    );
    assert_eq!(of("no --policy: the built-in one allows everything")["level"], "WARN");
}

#[tokio::test]
async fn no_level_hides_the_lines_that_programs_wait_for() {
    let ready = |lines: &[Value]| {
        let mut ready: Vec<_> = lines.iter().filter(|line| line["message"] == "hookgate ready").cloned().collect();
        assert_eq!(ready.len(), 1, "{lines:?}");
        ready.remove(0)
    };
    let line = ready(&logged(&["--log", "off"]).await);
    assert_eq!((&line["level"], &line["callbacks"]), (&json!("INFO"), &json!(53)), "{line}");
    for name in ["webhooks", "policy", "admin"] {
        assert!(line[name].as_str().unwrap().starts_with("http://127.0.0.1:"), "{line}");
    }

    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = hookgate(&["--admin-listen", "127.0.0.1:0", "--builtin-listen", "127.0.0.1:0"]);
    command.args(["--listen", &address]).env("HOOKGATE_LOG_FORMAT", "json").env("HOOKGATE_LOG", "off");
    let output = command.output().await.unwrap();
    let line: Value = serde_json::from_slice(&output.stderr).unwrap();
    let expected =
        format!("hookgate: cannot listen on {address}: another program listens there (--listen takes another address)");
    assert_eq!((output.status.code(), &line["level"], &line["message"]), (Some(1), &json!("ERROR"), &json!(expected)));
}
