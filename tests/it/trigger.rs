//! `hookgate trigger`, from outside: what it posts, and what it says of the reply.

mod says;

use std::path::Path;
use std::process::{Output, Stdio};

use hookgate::contract::proto;
use hookgate::contract::{Callback, Timing};
use prost::Message as _;
use serde_json::{Value, json};

use crate::support::pki::Ca;
use crate::support::program::{EVERYTHING_FREE, Running, configured, hookgate};
use crate::support::{self, Policy, file, free};

/// Runs it with a cache folder of this name.
pub async fn trigger(cache: &str, args: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trigger").join(cache);
    let mut command = hookgate(&[&["trigger"], args].concat());
    command.env("HOME", &folder).env("XDG_CACHE_HOME", &folder).stdin(Stdio::null()).output().await.unwrap()
}

async fn json_of(cache: &str, args: &[&str]) -> Value {
    let output = trigger(cache, &[args, &["--json"]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What it says on standard error, with its exit code.
async fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output = trigger("refused", args).await;
    assert!(output.stdout.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8(output.stderr).unwrap().trim_end().to_owned())
}

/// The same of a webhook that was posted in vain, and is shown.
async fn failed(args: &[&str]) -> (Option<i32>, String) {
    let output = trigger("failed", args).await;
    assert!(!String::from_utf8(output.stdout).unwrap().contains("MARKER"));
    (output.status.code(), String::from_utf8(output.stderr).unwrap().trim_end().to_owned())
}

async fn before_a_denial(code: i32, name: &str) -> (Policy, Running) {
    let denial = proto::Denial { code, message: "not now".to_owned(), detail: "ask Ann".to_owned() };
    let response = proto::BeforeAddBlackResponse { denial: Some(denial) };
    let policy = Policy::without_health(move |_| Box::pin(std::future::ready(Ok(response.encode_to_vec())))).await;
    let gate = Running::of(configured(&policy.url(), name, "log: error")).await;
    (policy, gate)
}

#[tokio::test]
async fn every_callback_is_posted_as_its_fixture_has_it_by_every_kind_of_name() {
    let gate = Running::start(&EVERYTHING_FREE).await;
    let to = format!("http://{}", gate.webhooks);
    for callback in Callback::all() {
        // One key has two commands, and leads to today's.
        let shared = callback.method() == "BeforeOneMemberJoinGroup";
        let names = [callback.config_key, callback.command, callback.method()];
        let name = names[if shared { 1 } else { callback.index % 3 }];
        let report = json_of("every", &[name, "--to", &to]).await;
        let fixture = format!("{}/tests/fixtures/{}.json", env!("CARGO_MANIFEST_DIR"), callback.command);
        let fixture: Value = serde_json::from_slice(&std::fs::read(fixture).unwrap()).unwrap();
        assert_eq!(report["request"], fixture["stories"][0]["webhook_sends"], "{name}");
        assert_eq!(report["url"], format!("{to}/{}", callback.command));
        assert_eq!((&report["status"], &report["headers"]["hookgate-outcome"]), (&json!(200), &json!("allow")));
        let expected = match callback.timing {
            Timing::Before => "allowed",
            Timing::After => "told",
        };
        assert_eq!(report["verdict"], expected, "{name}");
    }
}

#[tokio::test]
async fn an_older_command_is_posted_as_the_servers_that_use_it_do() {
    let gate = Running::start(&EVERYTHING_FREE).await;
    let to = format!("http://{}/a/prefix/", gate.webhooks);
    let report = json_of("older", &["callbackMsgModifyCommand", "--to", &to]).await;
    assert_eq!(report["url"], format!("{to}callbackMsgModifyCommand"));
    assert_eq!(report["request"]["callbackCommand"], "callbackMsgModifyCommand");
    assert_eq!(report["verdict"], "allowed");
}

#[tokio::test]
async fn fields_are_set_by_the_contracts_names_and_by_openims() {
    let gate = Running::start(&EVERYTHING_FREE).await;
    let to = format!("http://{}", gate.webhooks);
    let set = |callback: &'static str, sets: &'static [&'static str]| {
        let to = to.clone();
        async move {
            let sets = sets.iter().flat_map(|set| ["--set", set]);
            json_of("set", &[callback, "--to", &to].into_iter().chain(sets).collect::<Vec<_>>()).await["request"]
                .clone()
        }
    };
    let sent = set(
        "beforeSendSingleMsg",
        &[
            "message.content={\"content\":\"a=b\"}",
            "recv_id=u7",
            "sendID=u8",
            "message.send_time=9007199254740993",
            "at_user_list=[\"u1\"]",
            "atUserList.1=u2",
            "senderNickname=null",
            "ex=",
        ],
    )
    .await;
    assert_eq!(sent["content"], "{\"content\":\"a=b\"}");
    assert_eq!(
        (&sent["recvID"], &sent["sendID"], &sent["sendTime"]),
        (&json!("u7"), &json!("u8"), &json!(9007199254740993_u64))
    );
    assert_eq!(sent["atUserList"], json!(["u1", "u2"]));
    assert_eq!((&sent["senderNickname"], &sent["ex"]), (&json!("null"), &json!("")), "a text is a text");
    let sent = set(
        "beforeCreateGroup",
        &["group.group_name=New", "initMemberList.1.role_level=20", "initMemberList.3.userID=u4"],
    )
    .await;
    assert_eq!(sent["groupName"], "New");
    assert_eq!(sent["initMemberList"][1], json!({"userID": "u1002", "roleLevel": 20}));
    assert_eq!(sent["initMemberList"][3], json!({"userID": "u4"}), "the next entry");
}

#[tokio::test]
async fn what_is_not_set_stays_byte_for_byte() {
    let gate = Running::start(&EVERYTHING_FREE).await;
    let to = format!("http://{}", gate.webhooks);
    let digits = "{\"new\" : 123456789012345678901234567890.10, \"ownerUserID\":\"\\u0041\", \"blackUserID\":\"x\"}";
    let body = file("trigger-body.json", digits);
    let args = ["afterRemoveBlack", "--to", &to, "--body", &body];
    trigger("bytes", &[&args[..], &["--set", "black_user_id=u2"]].concat()).await;
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trigger/bytes");
    let kept = [kept.join("hookgate/last-webhook"), kept.join("Library/Caches/hookgate/last-webhook")]
        .into_iter()
        .find_map(|file| std::fs::read_to_string(file).ok())
        .unwrap();
    let (_, body) = kept.split_once('\n').unwrap();
    assert_eq!(body, "{\"new\":123456789012345678901234567890.10,\"ownerUserID\":\"\\u0041\",\"blackUserID\":\"u2\"}");
}

#[tokio::test]
async fn what_cannot_be_posted_is_refused_in_a_sentence() {
    for (args, sentence) in [
        (
            &["beforeSetFriendRemrk"][..],
            "no callback is named \"beforeSetFriendRemrk\"; did you mean beforeSetFriendRemark? (hookgate callbacks lists them)",
        ),
        (&["x"], "no callback is named \"x\" (hookgate callbacks lists them)"),
        (
            &["afterRemoveBlack", "--set", "owner_usr_id=u1"],
            "--set: AfterRemoveBlackRequest has no field \"owner_usr_id\"; did you mean owner_user_id?",
        ),
        (
            &["beforeSendSingleMsg", "--set", "message.nothing=1"],
            "--set: BeforeSendSingleMsgRequest has no field \"message.nothing\"",
        ),
        (
            &["beforeSendSingleMsg", "--set", "recvID.deeper=1"],
            "--set: BeforeSendSingleMsgRequest has no field \"recvID.deeper\"",
        ),
        (
            &["beforeSendSingleMsg", "--set", "contentType=text"],
            "--set: contentType takes a whole number of 32 bits, not \"text\"",
        ),
        (&["beforeSendSingleMsg", "--set", "atUserList=u1"], "--set: atUserList takes a JSON list, not \"u1\""),
        (
            &["beforeSendSingleMsg", "--set", "atUserList.1=u1"],
            "--set: atUserList.1: the list has 0 entries, numbered from 0",
        ),
        (
            &["beforeApplyJoinGroup", "--set", "groupType=-1"],
            "--set: groupType takes the number of a code point, not \"-1\"",
        ),
        (
            &["beforeCreateGroup", "--body", "/nowhere/body.json"],
            "--body /nowhere/body.json: No such file or directory (os error 2)",
        ),
    ] {
        assert_eq!(refused(args).await, (Some(2), format!("hookgate: {sentence}")));
    }
    for args in [
        &[][..],
        &["x", "--set", "y"],
        &["beforeAddBlack", "--to", "ftp://h"],
        &["beforeAddBlack", "--to", "/h"],
        &["x", "--count", "0"],
        &["x", "--repeat-last"],
    ] {
        let (code, said) = refused(args).await;
        assert_eq!(code, Some(2), "{said}");
    }
    let nobody = support::nobody().await;
    let output = trigger("nobody", &["afterRemoveBlack", "--to", &format!("http://{nobody}")]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(&format!("nobody answers at http://{nobody}/: Connection refused")), "{said}");
}

#[tokio::test]
async fn a_denial_is_told_as_the_releases_of_openim_show_it() {
    let (_policy, gate) = before_a_denial(5001, "trigger-denial").await;
    let args = ["beforeAddBlack", "--to", &format!("http://{}", gate.webhooks)];
    let output = trigger("denial", &args).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let openim = "OpenIM 3.8.4, 3.8.3: denied: the client gets errCode 5001, errMsg \"not now\", errDlt \"ask Ann\"\n\
                  OpenIM 3.8: denied: the client gets errCode 5001, errMsg \"5001 not now ask Ann\"\n";
    assert!(said.ends_with(openim), "{said}");
    assert!(said.contains("\nhookgate-outcome: deny\n") && said.contains("\n200 OK after "), "{said}");
    assert!(!said.contains('\x1b'), "nobody looks: no colour");
    let output = trigger("denial", &[&args[..], &["--exit-code"]].concat()).await;
    assert_eq!(output.status.code(), Some(3));
}

#[tokio::test]
async fn a_reply_that_is_no_reply_is_told_too() {
    let to = says::server("HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\nconnection: close\r\n\r\nnot found").await;
    let output = trigger("not-found", &["beforeAddBlack", "--to", &to, "--exit-code"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(said.contains("\nnot found\n"), "{said}");
    assert!(
        said.contains("OpenIM 3.8.4, 3.8.3: unreadable: the client gets errCode 90007, errMsg \"DataError\""),
        "{said}"
    );
}

#[tokio::test]
async fn many_are_summed_up() {
    let (policy, gate) = before_a_denial(5001, "trigger-many").await;
    let to = format!("http://{}", gate.webhooks);
    for rate in [&[][..], &["--rate", "2000"]] {
        let args = [&["beforeAddBlack", "--to", &to, "--count", "200"], rate].concat();
        let report = json_of("many", &args).await;
        assert_eq!((&report["count"], &report["verdicts"]), (&json!(200), &json!({"denied": 200})));
        assert_eq!((&report["outcomes"], &report["no_reply"]), (&json!({"deny": 200}), &json!({})));
    }
    let asked = policy.take_calls();
    let asked = asked.iter().filter(|call| call.rpc.ends_with("/BeforeAddBlack"));
    let mut operations: Vec<_> = asked.map(|call| call.metadata("openim-operation-id").unwrap()).collect();
    operations.sort_unstable();
    operations.dedup();
    assert_eq!(operations.len(), 400, "each is an operation of its own");
    let output = trigger("many", &["beforeAddBlack", "--to", &to, "--count", "3", "--exit-code"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("\nOpenIM reads    denied 3\nhookgate says   deny 3\n"), "{said}");
    assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(3), true), "no progress bar for a pipe");
}

#[tokio::test]
async fn the_last_one_is_posted_again_as_it_was() {
    let gate = Running::start(&EVERYTHING_FREE).await;
    let to = format!("http://{}", gate.webhooks);
    assert_eq!(trigger("again-nothing", &["--repeat-last"]).await.status.code(), Some(2));
    let first = json_of("again", &["afterRemoveBlack", "--to", &to, "--set", "ownerUserID=u5"]).await;
    let second = json_of("again", &["--repeat-last", "--to", &to]).await;
    for same in ["request", "operation_id", "url"] {
        assert_eq!(first[same], second[same]);
    }
    let third = json_of("again", &["--repeat-last", "--to", &to, "--set", "ownerUserID=u6"]).await;
    assert_eq!((&third["request"]["ownerUserID"], &third["operation_id"]), (&json!("u6"), &first["operation_id"]));
}

#[tokio::test]
async fn it_knows_its_password_and_whom_to_trust_and_shows_the_password_to_nobody() {
    let (ca, policy) = (Ca::new("ours"), Policy::allow().await);
    let pair = ca.issue("127.0.0.1", 30);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, text) in [
        ("trigger-ca.pem", &ca.pem),
        ("trigger.pem", &pair.certificate),
        ("trigger.key", &pair.key),
        ("trigger-passwords", &"openim:MARKER:é".to_owned()),
        ("trigger-paths", &"a/path".to_owned()),
    ] {
        file(name, text);
    }
    let yaml = "tls: {certificate: trigger.pem, key: trigger.key}\n\
                access: {passwords: trigger-passwords, paths: trigger-paths}";
    let gate = Running::of(configured(&policy.url(), "trigger-tls", yaml)).await;
    let authorities = folder.join("trigger-ca.pem").display().to_string();
    let trusting = ["beforeAddBlack", "--ca", &authorities, "--to"];
    let to = format!("https://openim:MARKER%3A%C3%A9@{}/a/path", gate.webhooks);
    let report = json_of("tls", &[&trusting[..], &[&to]].concat()).await;
    assert_eq!(report["verdict"], "allowed", "{report}");
    assert!(!report.to_string().contains("MARKER"), "{report}");

    let wrong = format!("https://openim:MARKER@{}/a/path", gate.webhooks);
    let output = trigger("tls", &[&trusting[..], &[&wrong]].concat()).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("not allowed to call") && !said.contains("MARKER"), "{said}");
    // The system trusts none of this.
    let (code, said) = failed(&["beforeAddBlack", "--to", &to]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("invalid peer certificate") && !said.contains("MARKER"), "{said}");
    let (code, said) = refused(&["beforeAddBlack", "--ca", "/nowhere/ca.pem"]).await;
    let expected = "hookgate: --ca: cannot read /nowhere/ca.pem: No such file or directory (os error 2)";
    assert_eq!((code, &*said), (Some(2), expected));
}

#[tokio::test]
async fn it_posts_through_a_unix_socket() {
    let (socket, policy) = (free("trigger.sock"), Policy::allow().await);
    let to = format!("unix://{}", socket.display());
    let (code, said) = failed(&["beforeAddBlack", "--to", &to]).await;
    assert_eq!(
        (code, &*said),
        (Some(1), &*format!("hookgate: nobody answers at {to}: No such file or directory (os error 2)"))
    );
    let args = ["--listen", &to, "--admin-listen", "127.0.0.1:0", "--policy", &policy.url()];
    let _gate = Running::start(&args).await;
    let report = json_of("unix", &["beforeAddBlack", "--to", &to]).await;
    assert_eq!(
        (&report["verdict"], &report["url"]),
        (&json!("allowed"), &json!(format!("{to} /callbackBeforeAddBlackCommand")))
    );
}
