//! What can be wrong about its settings.

use std::process::Output;

use super::file;
use crate::support::{self, program::hookgate};

async fn check(command: &[&str], name: &str, yaml: &str) -> (Option<i32>, String) {
    let settings = support::file(&format!("decisions-settings-{name}.yaml"), yaml);
    let arguments = [command, &["--policy", "builtin", "--config", &settings]].concat();
    let Output { status, stderr, .. } = hookgate(&arguments).output().await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn what_cannot_be_meant_is_said_with_what_may_be() {
    for (name, settings, part) in [
        ("field", "{to: stdout, fields: message.contents}", "did you mean message.content?"),
        ("within", "{to: stdout, fields: content}", "did you mean "),
        ("share", "{to: stdout, allows: 2}", "expected a number from 0 to 1"),
        ("nowhere", "{fields: message.content}", "has no effect without decisions.to"),
        ("key", "{too: stdout}", "did you mean to?"),
    ] {
        let (code, said) = check(&["config", "check"], name, &format!("decisions: {settings}")).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("decisions") && said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_said_by_check_and_by_serve() {
    let pipe = file("named-pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.display().to_string();
    for (name, to, part) in [
        ("missing", "/nowhere/decisions.jsonl", "cannot write /nowhere/decisions.jsonl: No such file"),
        ("folder", "/", "Is a directory"),
        ("pipe", &*pipe, "a named pipe"),
    ] {
        for command in
            [&["config", "check"][..], &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]]
        {
            let (code, said) = check(command, name, &format!("decisions: {{to: {to}}}")).await;
            assert_eq!(code, Some(2), "{command:?}: {said}");
            assert!(said.contains("decisions.to: ") && said.contains(part), "{said}");
            assert!(said.contains(".yaml:1"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_check_leaves_no_file_behind() {
    let log = file("checked");
    let (code, said) = check(&["config", "check"], "checked", &format!("decisions: {{to: {}}}", log.display())).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!log.exists());
}
