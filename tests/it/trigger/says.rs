//! Notes beyond the reply: failures, replaced codes, denials that no API client sees, values that are lost, and
//! servers that are no hookgate.

use std::path::Path;

use hookgate::contract::proto;
use prost::Message;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic::Status;

use super::{json_of, trigger};
use crate::support::program::{EVERYTHING_FREE, Running, configured, hookgate};
use crate::support::{Call, Policy, denial};

/// A policy with a mistake in each rpc.
fn mistaken(call: &Call) -> Result<Vec<u8>, Status> {
    match call.rpc.rsplit('/').next().unwrap() {
        "BeforeAddBlack" => Err(Status::invalid_argument("to deny it")),
        "BeforeAddFriend" | "BeforeOfflinePush" => Err(Status::unknown("an exception")),
        "BeforeImportFriends" => Ok(b"\xff".to_vec()),
        "BeforeInviteUserToGroup" => Err(Status::unimplemented("not yet")),
        "AfterRemoveBlack" => Err(Status::unavailable("down")),
        "BeforeApplyJoinGroup" => Ok(denial(5, "no")),
        "BeforeCreateGroup" => Ok(denial(0, "no")),
        // Copies the request back.
        "BeforeSetGroupInfo" => Ok(proto::BeforeSetGroupInfoResponse {
            group_name: Some("Team B".to_owned()),
            ex: Some(String::new()),
            need_verification: Some(0),
            look_member_info: Some(1),
            ..Default::default()
        }
        .encode_to_vec()),
        "BeforeSetGroupInfoEx" => Ok(proto::BeforeSetGroupInfoExResponse {
            group_name: Some(String::new()),
            need_verification: Some(0),
            ..Default::default()
        }
        .encode_to_vec()),
        // A list that is half filled.
        "BeforeSetGroupMemberInfo" => Ok(proto::BeforeSetGroupMemberInfoResponse {
            nick_name: Some("Cid".to_owned()),
            face_url: Some(String::new()),
            ..Default::default()
        }
        .encode_to_vec()),
        _ => Ok(denial(5001, "no")),
    }
}

/// A webhook, and what is said of its reply.
struct Case {
    callback: &'static str,
    set: &'static [&'static str],
    /// The members of the JSON's `hookgate` that are not null, apart from its outcome.
    hookgate: Value,
    /// A part of each note.
    notes: &'static [&'static str],
    /// A part of what the newest release makes of it.
    openim: &'static str,
    emptied: &'static [&'static str],
}

const NO_MESSAGE: &str = "not a protobuf message: failed to decode Protobuf message: invalid varint";

const UNSEEN: &str = "the client that sent the message does not see errCode 5001: ";

fn cases() -> Vec<Case> {
    let case = |callback, hookgate, notes, openim| Case { callback, set: &[], hookgate, notes, openim, emptied: &[] };
    let by_rule = |class: &str, cause: &str, rule: &str, setting: &str| json!({ "class": class, "cause": cause, "rule": rule, "rule_setting": setting });
    vec![
        case(
            "beforeAddBlack",
            by_rule("error", "INVALID_ARGUMENT", "deny", "on_failure"),
            &[
                "failed-closed:error is no verdict of the policy: it answered with a status that neither allows nor denies",
                "the policy's answer: INVALID_ARGUMENT",
                "the failure rule of on_failure denied instead",
                "\"webhook failed closed\" with operation_id=trigger-",
            ],
            "the client gets errCode 5000, errMsg \"the policy service failed\"",
        ),
        case(
            "beforeAddFriend",
            by_rule("error", "UNKNOWN", "allow", "callbacks.beforeAddFriend.on_failure"),
            &[
                "failed-open:error is no verdict",
                "the policy's answer: UNKNOWN",
                "the failure rule of callbacks.beforeAddFriend.on_failure allowed instead",
                "\"webhook failed open\" with operation_id=trigger-",
            ],
            "it goes on as it is",
        ),
        case(
            "beforeOfflinePush",
            by_rule("error", "UNKNOWN", "allow", "contract"),
            &[
                "failed-open:error is no verdict",
                "the policy's answer: UNKNOWN",
                "callbacks.beforeOfflinePush.on_failure can set",
                "webhook failed open",
            ],
            "it goes on as it is",
        ),
        case(
            "beforeImportFriends",
            by_rule("invalid_reply", NO_MESSAGE, "deny", "on_failure"),
            &[
                "its response is not the message of the rpc, or a change",
                NO_MESSAGE,
                "on_failure",
                "webhook failed closed",
            ],
            "the policy service gave an invalid reply",
        ),
        case(
            "beforeInviteUserToGroup",
            by_rule("unimplemented", "UNIMPLEMENTED", "allow", "on_failure"),
            &[
                "it does not serve this rpc",
                "UNIMPLEMENTED",
                "the failure rule of on_failure allowed instead",
                "webhook failed open",
            ],
            "it goes on as it is",
        ),
        case("afterRemoveBlack", json!({}), &["accepted: the event is delivered after this reply"], "it has happened"),
        case(
            "beforeApplyJoinGroup",
            json!({ "replaced_code": 5 }),
            &["the policy's code 5 became 5000: OpenIM 3.8.4 makes its own error of codes below 100"],
            "the client gets errCode 5000, errMsg \"no\"",
        ),
        case("beforeCreateGroup", json!({}), &[], "the client gets errCode 5000, errMsg \"no\""),
        case("beforeOnlinePush", json!({}), &[], "errCode 5001: messages are stored and not pushed, online or offline"),
        case(
            "beforeGroupOnlinePush",
            json!({}),
            &[],
            "errCode 5001: messages are stored and not pushed; their API client gets",
        ),
        Case {
            set: &["contentType=1511"],
            ..case(
                "beforeGroupOnlinePush",
                json!({}),
                &[],
                "the members stay in the dismissed group until it is called",
            )
        },
        case("beforeCreateSingleChatConversations", json!({}), &[], "it never creates this one"),
        case("beforeCreateGroupChatConversations", json!({}), &[], "a user who joins is told the error, is a member"),
        Case {
            emptied: &["ex", "needVerification"],
            ..case(
                "beforeSetGroupInfo",
                json!({}),
                &["a change to an empty value overwrites. Leave the field out"],
                "ex becomes empty, whatever it was, needVerification becomes 0, whatever it was, lookMemberInfo becomes 1",
            )
        },
        Case {
            set: &["groupName=Team", "needVerification=1"],
            emptied: &["groupName"],
            ..case(
                "beforeSetGroupInfoEx",
                json!({}),
                &["a change to an empty value overwrites"],
                "groupName becomes empty instead of \"Team\", needVerification becomes 0",
            )
        },
        Case {
            emptied: &["faceURL"],
            ..case(
                "beforeSetGroupMemberInfo",
                json!({}),
                &["a change to an empty value overwrites"],
                "faceURL becomes empty, whatever it was",
            )
        },
    ]
}

#[tokio::test]
async fn each_mistake_is_named_in_text_and_in_json() {
    let policy = Policy::start(mistaken).await;
    let yaml = "log: error\n\
                on_failure: {unimplemented: allow}\n\
                callbacks: {beforeAddFriend: {on_failure: allow}}\n\
                after: {answer_within: 1ms}";
    let gate = Running::of(configured(&policy.url(), "trigger-says", yaml)).await;
    let to = format!("http://{}", gate.webhooks);
    for Case { callback, set, hookgate, notes, openim, emptied } in cases() {
        let set = set.iter().flat_map(|set| ["--set", *set]);
        let args: Vec<_> = [callback, "--to", &to].into_iter().chain(set).collect();
        let report = json_of("says", &args).await;
        let said: Map<_, _> = report["hookgate"].as_object().unwrap().clone();
        let said = said.into_iter().filter(|(name, value)| name != "outcome" && !value.is_null());
        assert_eq!(Value::Object(said.collect()), hookgate, "{callback}");
        assert_eq!(report["hookgate"]["outcome"], report["headers"]["hookgate-outcome"], "{callback}");
        let all = report["notes"].as_array().unwrap();
        assert_eq!(all.len(), notes.len(), "{callback}: {all:?}");
        for (note, part) in all.iter().zip(notes) {
            assert!(note.as_str().unwrap().contains(part), "{callback}: {note} has no {part:?}");
        }
        let newest = &report["openim"][0];
        assert!(newest["sentence"].as_str().unwrap().contains(openim), "{callback}: {newest}");
        assert_eq!(newest["emptied"], json!(emptied), "{callback}: {newest}");
        let is_unseen = newest["sentence"].as_str().unwrap().starts_with(UNSEEN);
        assert_eq!(is_unseen, callback.contains("OnlinePush") || callback.contains("Conversations"), "{newest}");

        let output = trigger("says", &args).await;
        let said = String::from_utf8(output.stdout).unwrap();
        let (said, reading) = said.split_once("\nOpenIM ").unwrap();
        let said: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("hookgate: ")).collect();
        assert_eq!(said.len(), notes.len(), "one line a note: {said:?}");
        assert!(said.iter().zip(notes).all(|(line, part)| line.contains(part)), "{callback}: {said:?}");
        assert!(reading.lines().next().unwrap().contains(openim), "{callback}: {reading}");
        assert!(output.status.success(), "a failure is a reply of hookgate's");
    }
}

#[tokio::test]
async fn the_notes_on_many_are_those_on_the_first_of_each_outcome() {
    let policy = Policy::start(mistaken).await;
    let gate = Running::of(configured(&policy.url(), "trigger-says-many", "log: error")).await;
    let args = ["beforeAddBlack", "--to", &format!("http://{}", gate.webhooks), "--count", "20"];
    let report = json_of("says-many", &args).await;
    assert_eq!(report["outcomes"], json!({ "failed-closed:error": 20 }));
    assert_eq!(report["notes"]["failed-closed:error"].as_array().unwrap().len(), 4, "{report}");
    let said = String::from_utf8(trigger("says-many", &args).await.stdout).unwrap();
    assert_eq!(said.lines().filter(|line| line.starts_with("hookgate: ")).count(), 4, "{said}");
}

/// Yellow and cyan are lost on white, blue on black.
#[tokio::test]
async fn colours_are_legible_on_black_and_on_white_and_lines_fit() {
    let policy = Policy::start(mistaken).await;
    let gate = Running::of(configured(&policy.url(), "trigger-colours", "log: error")).await;
    let (to, admin) = (format!("http://{}", gate.webhooks), format!("http://{}", gate.admin));
    let verify = ["verify", "--policy", &policy.url(), "--only", "lifelike"];
    let status = ["status", "--admin", &admin];
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trigger-colours");
    let triggers = ["beforeAddBlack", "beforeSetGroupInfo", "afterRemoveBlack", "beforeUpdateUserInfo"];
    let triggers = triggers.map(|callback| ["trigger", callback, "--to", &to]);
    for args in triggers.iter().map(|args| &args[..]).chain([&verify[..], &status[..]]) {
        let coloured = [("CLICOLOR_FORCE", "1"), ("COLUMNS", "80")];
        let output = hookgate(args).envs(coloured).env("XDG_CACHE_HOME", &cache).output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let codes: Vec<_> = said.split("\u{1b}[").skip(1).filter_map(|rest| Some(rest.split_once('m')?.0)).collect();
        assert!(codes.contains(&"35") || codes.contains(&"31"), "{args:?}: {said}");
        for code in codes {
            assert!(["0", "1", "2", "31", "32", "35"].contains(&code), "{args:?}: {code}");
        }
        let plain = [("NO_COLOR", "1"), ("COLUMNS", "80")];
        let plain = hookgate(args).envs(plain).env("XDG_CACHE_HOME", &cache).output().await.unwrap();
        let plain = String::from_utf8(plain.stdout).unwrap();
        assert!(!plain.contains('\u{1b}'), "{plain}");
        // The bodies and headers that trigger shows stay as they are.
        let told = plain.rsplit_once("\n\n").filter(|_| args[0] == "trigger").map_or(&*plain, |(_, told)| told);
        assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    }
}

/// A caller that may not call.
#[tokio::test]
async fn a_refusal_is_no_verdict_either() {
    let yaml = "access: {sources: [10.0.0.0/8]}";
    let policy = Policy::allow().await;
    let gate = Running::of(configured(&policy.url(), "trigger-refused", yaml)).await;
    let report = json_of("refusal", &["beforeAddBlack", "--to", &format!("http://{}", gate.webhooks)]).await;
    assert_eq!((&report["hookgate"]["outcome"], &report["status"]), (&json!("refused"), &json!(401)));
    assert_eq!(report["notes"], json!(["refused: the policy was not asked; errMsg says why"]));
}

/// A server that answers each connection with these bytes.
pub(super) async fn server(reply: &'static str) -> String {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("http://{}", server.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(reply.as_bytes()).await.unwrap();
            let _ = stream.read(&mut request).await;
        }
    });
    to
}

/// A server that greets each connection with these bytes.
async fn hasty_server(greeting: &'static str) -> String {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("http://{}", server.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = server.accept().await.unwrap();
            stream.write_all(greeting.as_bytes()).await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    to
}

const EMPTY_OBJECT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
const DENIAL: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 29\r\nconnection: close\r\n\r\n{\"nextCode\":1,\"errCode\":6000}";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// The first bytes of a gRPC server.
const SETTINGS: &str = "\0\0\0\u{4}\0\0\0\0\0";

#[tokio::test]
async fn a_reply_of_no_hookgate_is_exit_code_1() {
    let gate = Running::start(&EVERYTHING_FREE).await;
    let admin = format!("http://{}", gate.admin);
    // The exit code without --exit-code and with it, which is OpenIM's reading if that is bad.
    for (to, codes, verdict) in [
        (&server(EMPTY_OBJECT).await, [1, 1], "changed"),
        (&server(DENIAL).await, [1, 3], "denied"),
        (&server(NOT_FOUND).await, [1, 4], "unreadable"),
        (&admin, [1, 4], "unreadable"),
    ] {
        let args = ["beforeSetGroupInfo", "--to", to];
        let output = trigger("no-hookgate", &args).await;
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(codes[0]), "{said}");
        assert!(said.contains("\nno hookgate: no header hookgate-outcome: another HTTP server answered"), "{said}");
        assert_eq!(verdict == "changed", said.contains("groupName becomes empty instead of \"Team B\""), "{said}");
        let output = trigger("no-hookgate", &[&args[..], &["--exit-code", "--json"]].concat()).await;
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &report["verdict"]), (Some(codes[1]), &json!(verdict)));
        assert_eq!((&report["hookgate"], report["notes"].as_array().unwrap().len()), (&Value::Null, 1));
        let output = trigger("no-hookgate", &[&args[..], &["--count", "3"]].concat()).await;
        assert_eq!(output.status.code(), Some(1));
    }
    // One waits for the request before it says anything, the other does not.
    for to in [server(SETTINGS).await, hasty_server(SETTINGS).await] {
        let output = trigger("no-hookgate", &["beforeAddBlack", "--to", &to]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said.contains("no whole reply: what answers is no HTTP/1.1: a gRPC server, or one with TLS?"),
            "{said}"
        );
    }
}
