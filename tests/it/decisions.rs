//! The decision log: one line a verdict, which no verdict waits for.

mod lines;
mod places;
mod settings;

use std::path::PathBuf;

use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::support::free;
use crate::support::program::Running;

/// A log that is not there yet.
fn file(name: &str) -> PathBuf {
    free(&format!("decisions-{name}.jsonl"))
}

/// The lines of a log, each of which must be a JSON object.
fn parsed(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "ends within a line: {text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Stops it; gives the lines of its standard output.
async fn stopped(mut hookgate: Running) -> Vec<Value> {
    let mut stdout = hookgate.child.stdout.take().unwrap();
    hookgate.signal("-INT").await;
    let mut text = String::new();
    stdout.read_to_string(&mut text).await.unwrap();
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0), "{said}");
    parsed(&text)
}

/// The body of a message webhook with this content.
fn message(content: &str) -> String {
    serde_json::json!({
        "callbackCommand": "callbackBeforeSendSingleMsgCommand",
        "sendID": "u1", "recvID": "u2", "contentType": 101, "content": content, "atUserList": ["u3", "u4"],
    })
    .to_string()
}
