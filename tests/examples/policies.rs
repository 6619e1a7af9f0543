//! Several examples behind one hookgate: routes to each and to both, a shadow, and a guard.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Run;
use crate::cases::{allowed, changed, denied};
use crate::process::{Example, Language, PATIENCE, post, post_and_see, text};
use crate::support::file;
use crate::support::program::{Running, hookgate};

/// A case of several policies.
type Case = fn() -> Run;

/// Every case by its name.
pub const ALL: &[(&str, Case)] = &[
    ("each_webhook_is_decided_by_those_of_its_route", || Box::pin(each_webhook_is_decided_by_those_of_its_route())),
    ("a_shadow_with_other_words_is_counted_exactly", || Box::pin(a_shadow_with_other_words_is_counted_exactly())),
    ("a_guard_leaves_a_service_that_ends", || Box::pin(a_guard_leaves_a_service_that_ends())),
];

/// hookgate with these policies and routes. `name` is for the file: no two cases share one.
async fn gate(name: &str, yaml: &str) -> Running {
    let file = file(&format!("example-policies-{name}.yaml"), yaml);
    let places = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    Running::of(hookgate(&[&places[..], &["--config", &file]].concat())).await
}

/// An example that blocks these words, which it reads from a file.
async fn blocking(language: &str, words: &[&str]) -> Example {
    let language = Language::named(language).unwrap();
    let file = language.file("words");
    std::fs::write(&file, words.join("\n")).unwrap();
    Example::with(language, &["--words", file.to_str().unwrap()]).await
}

/// Posts as `post` does; gives the code of a denial, and what each policy that was asked said.
async fn asked(gate: &Running, key: &str, fields: Value) -> (Option<i32>, String) {
    let (reading, reply) = post_and_see(gate, key, fields).await;
    let code = if reading == allowed() { None } else { Some(denied(reading).0) };
    (code, reply.headers["hookgate-policies"].to_str().unwrap().to_owned())
}

async fn each_webhook_is_decided_by_those_of_its_route() {
    let table: Value = serde_json::from_str(include_str!("../../examples/content.json")).unwrap();
    let words: Vec<_> = table["words"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let (words, friends) = (blocking("go", &words).await, blocking("python", &["casino"]).await);
    let yaml = format!(
        "log: error\nafter: {{answer_within: 4s}}\npolicies: {{words: {{url: \"{}\"}}, friends: {{url: \"{}\"}}}}\nroutes:\n  \
         - {{callbacks: [beforeSendGroupMsg, beforeCreateGroup], policies: [words, friends], ask: chain}}\n  \
         - {{callbacks: [beforeSetFriendRemark, afterRemoveBlack], policies: friends}}\n  \
         - {{policies: words}}",
        words.url(),
        friends.url()
    );
    let gate = gate("routes", &yaml).await;

    // Messages of one user to another: the words alone. Those in groups: both, in a chain.
    let mut wrong = Vec::new();
    for case in table["filter"].as_array().unwrap() {
        let message = json!({"contentType": case["contentType"], "content": case["content"]});
        let (code, single, group) = match case["denied"] == true {
            true => (Some(5001), "words=deny", "words=deny"),
            false => (None, "words=allow", "words=allow, friends=allow"),
        };
        for (key, by) in [("beforeSendSingleMsg", single), ("beforeSendGroupMsg", group)] {
            let said = asked(&gate, key, message.clone()).await;
            if said != (code, by.to_owned()) {
                wrong.push(format!("{key}, {}: {said:?}", case["case"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let said = asked(&gate, "beforeSendSingleMsg", text("a casino")).await;
    assert_eq!(said, (None, "words=allow".to_owned()));
    let said = asked(&gate, "beforeSendGroupMsg", text("a casino")).await;
    assert_eq!(said, (Some(5001), "words=allow, friends=deny".to_owned()));

    let phone = text("call 5550100");
    for (key, fields, field, to, by) in [
        ("beforeMsgModify", phone, "content", r#"{"content":"call *****00"}"#.to_owned(), "words=changed"),
        ("beforeSetFriendRemark", json!({"remark": " Bob "}), "remark", "Bob".to_owned(), "friends=changed"),
        // The second one sees the name that the first has made short.
        (
            "beforeCreateGroup",
            json!({"groupName": "组".repeat(40)}),
            "groupName",
            "组".repeat(30),
            "words=changed, friends=allow",
        ),
    ] {
        let (reading, reply) = post_and_see(&gate, key, fields).await;
        assert_eq!((changed(reading, field), &reply.headers["hookgate-policies"]), (to.into(), &by.parse().unwrap()));
    }

    post(&gate, "afterRemoveBlack", json!({"ownerUserID": "ann", "blackUserID": "bob"})).await;
    post(&gate, "afterRevokeMsg", json!({"conversationID": "c 1", "seq": 1, "userID": "ann"})).await;
    // Their replies may have come before their lines.
    while words.audited().is_empty() || friends.audited().is_empty() {
        tokio::task::yield_now().await;
    }
    let events = |example: &Example| example.audited().iter().map(|line| line["event"].clone()).collect::<Vec<_>>();
    assert_eq!((events(&words), events(&friends)), (vec!["AfterRevokeMsg".into()], vec!["AfterRemoveBlack".into()]));
}

/// Waits until a shadow was asked about so many webhooks, and left out of none; gives the counts by rpc and difference.
async fn compared(gate: &Running, webhooks: u64) -> BTreeMap<(String, String), u64> {
    let found = async {
        loop {
            let report = gate.ask("/shadow").await.json();
            let left_out = report["not_asked"].as_object().unwrap().values();
            assert!(left_out.into_iter().all(|count| *count == 0), "{report}");
            let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
            let rows = report["rows"].as_array().unwrap().iter();
            let counts: BTreeMap<_, _> =
                rows.map(|row| ((text(row, "rpc"), text(row, "difference")), row["count"].as_u64().unwrap())).collect();
            if counts.values().sum::<u64>() >= webhooks {
                return counts;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the shadow is asked")
}

async fn a_shadow_with_other_words_is_counted_exactly() {
    let words = blocking("go", &["casino", "poker"]).await;
    let next = blocking("go", &["poker", "lottery", "bingo"]).await;
    let yaml = format!(
        "log: error\nbudget: 14s\npolicies: {{words: {{url: \"{}\"}}, next: {{url: \"{}\"}}}}\n\
         routes: [{{policies: words, shadow: next}}]",
        words.url(),
        next.url()
    );
    let gate = gate("shadow", &yaml).await;
    // The words of neither list, of the first, of the second, of both, and one of each in one message.
    let said = ["hello", "a casino", "the lottery", "bingo!", "poker", "lottery in the casino"];
    for n in 0..120 {
        let word = said[n % said.len()];
        let message = text(word);
        let denies = word.contains("casino") || word.contains("poker");
        let verdict = if denies { (Some(5001), "words=deny") } else { (None, "words=allow") };
        for key in ["beforeSendSingleMsg", "beforeSendGroupMsg"] {
            assert_eq!(asked(&gate, key, message.clone()).await, (verdict.0, verdict.1.to_owned()), "{word}");
        }
        // Both mask the number alike.
        assert_ne!(post(&gate, "beforeMsgModify", text("call 5550100")).await, allowed());
    }
    let counts = compared(&gate, 360).await;
    let expected = [
        ("BeforeMsgModify", "same", 120),
        ("BeforeSendGroupMsg", "same", 60),
        ("BeforeSendGroupMsg", "would_allow", 20),
        ("BeforeSendGroupMsg", "would_deny", 40),
        ("BeforeSendSingleMsg", "same", 60),
        ("BeforeSendSingleMsg", "would_allow", 20),
        ("BeforeSendSingleMsg", "would_deny", 40),
    ];
    let expected = expected
        .map(|(rpc, difference, count)| ((format!("MessagePolicyService/{rpc}"), difference.to_owned()), count));
    assert_eq!(counts, BTreeMap::from(expected));
}

async fn a_guard_leaves_a_service_that_ends() {
    let (old, new) = (blocking("go", &["casino"]).await, blocking("go", &["casino"]).await);
    let yaml = format!(
        "log: warn\npolicies: {{old: {{url: \"{}\"}}, new: {{url: \"{}\", on_failure: allow}}}}\nroutes:\n  \
         - {{name: try, callbacks: beforeSendSingleMsg, percent: 100, by: send_id, policies: new, shadow: old, \
              guard: {{failures: 5%, least: 20}}}}\n  \
         - {{policies: old}}",
        old.url(),
        new.url()
    );
    let mut gate = gate("guard", &yaml).await;
    let mut users = 0..;
    let mut message = |word: &str| {
        let mut message = text(word);
        message["sendID"] = format!("u{}", users.next().unwrap()).into();
        message
    };
    let (denied, single, group) = (Some(5001), "beforeSendSingleMsg", "beforeSendGroupMsg");
    for _ in 0..15 {
        assert_eq!(asked(&gate, single, message("hello")).await, (None, "new=allow".to_owned()));
        assert_eq!(asked(&gate, single, message("a casino")).await, (denied, "new=deny".to_owned()));
    }
    new.kill().await;
    // Of 30 one failure is less than 5 %, and of 32 two are more.
    for _ in 0..2 {
        assert_eq!(asked(&gate, single, message("hello")).await, (None, "new=failed-open:unavailable".to_owned()));
        // What does not go to the new one notices nothing.
        assert_eq!(asked(&gate, group, message("a casino")).await, (denied, "old=deny".to_owned()));
    }
    for _ in 0..15 {
        assert_eq!(asked(&gate, single, message("hello")).await, (None, "old=allow".to_owned()));
        assert_eq!(asked(&gate, single, message("a casino")).await, (denied, "old=deny".to_owned()));
    }
    let line = gate.says("guard exceeded, route left").await;
    assert!(line.contains("route=\"try\"") && line.contains("failures: 2 of 32 (6.25%), over 5%"), "{line}");
    assert_eq!(gate.status().await["guards"][0]["failed"], 2);
    let of_single = |difference: &str| ("MessagePolicyService/BeforeSendSingleMsg".to_owned(), difference.to_owned());
    let counts = compared(&gate, 32).await;
    assert_eq!(counts, BTreeMap::from([(of_single("same"), 30), (of_single("live_failed"), 2)]));
}
