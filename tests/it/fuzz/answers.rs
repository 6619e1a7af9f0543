//! Go's answers to a table of bodies, for machines without Go; where Go is there, the table is held against it.

use std::fs;

use hookgate::contract::Callback;

use super::entry::go;

/// The answers of Go that are kept for machines without it: one line a case.
const ANSWERS: &str = include_str!("../../../fuzz/go/answers.jsonl");

/// A body that Go has read, and what it has read.
#[derive(serde::Serialize, serde::Deserialize)]
struct Case {
    command: String,
    body: String,
    go: serde_json::Value,
}

#[test]
fn what_go_reads() {
    if std::env::var_os("HOOKGATE_WRITE_GO_ANSWERS").is_some() {
        let go = go::running().expect("Go");
        let mut lines = String::new();
        for (command, body) in cases() {
            let callback = Callback::by_command(command).expect("in the table");
            let go = go.ask(callback.index, body.as_bytes());
            lines += &serde_json::to_string(&Case { command: command.to_owned(), body, go }).expect("JSON");
            lines.push('\n');
        }
        fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/go/answers.jsonl"), lines).expect("it can be written");
        return;
    }
    let answers = ANSWERS.lines().map(|line| serde_json::from_str::<Case>(line).expect("a case"));
    let mut count = 0;
    for ((command, expected), Case { command: of, body, go }) in cases().into_iter().zip(answers) {
        assert_eq!((command, &expected), (&*of, &body), "HOOKGATE_WRITE_GO_ANSWERS=1 writes the table anew");
        let callback = Callback::by_command(command).expect("in the table");
        go::compare_request(callback, body.as_bytes(), &go);
        if let Some(running) = go::running() {
            assert_eq!(running.ask(callback.index, body.as_bytes()), go, "{body}");
        }
        count += 1;
    }
    assert_eq!(count, cases().len());
}

/// Bodies whose names Go folds, and values at the edges of their types.
fn cases() -> Vec<(&'static str, String)> {
    const SINGLE: &str = "callbackBeforeCreateSingleChatConversationsCommand";
    const REGISTER: &str = "callbackBeforeUserRegisterCommand";
    const READ: &str = "callbackAfterSingleMsgReadCommand";
    const DISMISS: &str = "callbackAfterDisMissGroupCommand";
    let mut cases = Vec::new();
    let fields = [
        (SINGLE, "ownerUserId", r#""u1""#, r#""u2""#),
        (SINGLE, "conversationType", "1", "2"),
        (SINGLE, "isPinned", "true", "false"),
        (SINGLE, "isMarked", "false", "true"),
        (SINGLE, "ex", r#""a""#, r#""b""#),
        (SINGLE, "is_pinned", "true", "false"),
        (SINGLE, "recv_msg_opt", "1", "2"),
        (READ, "Seqs", "[1]", "[2]"),
        (READ, "seqs", "[1]", "[2]"),
        (DISMISS, "groupType", r#""\u0002""#, "3"),
        (DISMISS, "membersID", r#"["u1"]"#, "[]"),
        (REGISTER, "users", r#"[{"userID":"u1"}]"#, "[]"),
    ];
    for (command, name, one, other) in fields {
        let folded = [
            name.to_uppercase(),
            name.to_lowercase(),
            name.replace(['s', 'S'], "\u{17f}"),
            name.replace(['k', 'K'], "\u{212a}"),
            format!("{name}\u{17f}"),
            name.replace('s', "\u{df}"),
            name.replace(['i', 'I'], "\u{130}"),
            format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]),
        ];
        for folded in folded {
            cases.push((command, format!("{{\"{folded}\":{one}}}")));
            cases.push((command, format!("{{\"{name}\":{one},\"{folded}\":{other}}}")));
            cases.push((command, format!("{{\"{folded}\":{one},\"{name}\":{other}}}")));
            cases.push((command, format!("{{\"{folded}\":{one},\"{name}\":null}}")));
        }
        for raw in ["null", "true", "0", "-0", "-1", "1.0", "1e0", "2147483648", "\"\"", "\"ab\"", "[]", "[null]", "{}"]
        {
            cases.push((command, format!("{{\"{name}\":{raw}}}")));
        }
    }
    for inner in ["userID", "USERID", "u\u{17f}erID", "userId", "user_id"] {
        cases.push((REGISTER, format!(r#"{{"users":[{{"{inner}":"u1"}},{{"userID":"u2","{inner}":"u3"}}]}}"#)));
        cases.push((REGISTER, format!(r#"{{"users":[{{"{inner}":1}}]}}"#)));
    }
    for body in [
        "null",
        "[]",
        "{",
        "{}x",
        "{} ",
        "",
        "{\"a\":1e999}",
        "{\"a\":\"\\ud800\"}",
        "{\"ex\":\"\\ud800\"}",
        "{\"\\u0000\":1}",
    ] {
        cases.push((SINGLE, body.to_owned()));
    }
    cases
}
