//! What a line says.

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tonic::Status;

use super::{message, stopped};
use crate::support::program::{Running, configured};
use crate::support::{Policy, denial};

const ADD_FRIEND: &str =
    r#"{"callbackCommand":"callbackBeforeAddFriendCommand","fromUserID":"u1","toUserID":"u2","reqMsg":"secret"}"#;
const REMARK: &str = r#"{"callbackCommand":"callbackBeforeSetFriendRemarkCommand","ownerUserID":"u1","friendUserID":"u2","remark":"Bob"}"#;
const REMOVED: &str = r#"{"callbackCommand":"callbackAfterRemoveBlackCommand","ownerUserID":"u1","blackUserID":"u2"}"#;

fn remark(text: &str) -> Vec<u8> {
    let field = hookgate::contract::Callback::by_name("beforeSetFriendRemark").unwrap().response.fields;
    let number = field.iter().find(|field| field.name == "remark").unwrap().number;
    let mut response = Vec::new();
    prost::encoding::string::encode(number, &text.to_owned(), &mut response);
    response
}

#[tokio::test]
async fn each_verdict_is_a_line_with_what_became_of_it_and_why() {
    let policy = Policy::start(|call| match call.rpc.rsplit('/').next().unwrap() {
        "BeforeSendSingleMsg" => Ok(Vec::new()),
        "BeforeSetFriendRemark" => Ok(remark("Robert")),
        "BeforeAddFriend" => Ok(denial(5001, "")),
        "BeforeAddBlack" => Err(Status::internal("out of order")),
        "BeforeUserRegister" => Err(Status::unimplemented("not here")),
        _ => Ok(Vec::new()),
    })
    .await;
    let yaml = "decisions: {to: stdout}\non_failure: {unimplemented: allow}";
    let hookgate = Running::of(configured(&policy.url(), "decisions-lines", yaml)).await;
    let black = r#"{"callbackCommand":"callbackBeforeAddBlackCommand","ownerUserID":"u1","blackUserID":"u2"}"#;
    let register =
        r#"{"callbackCommand":"callbackBeforeUserRegisterCommand","users":[{"userID":"u7"},{"userID":"u8"}]}"#;
    let unknown = r#"{"callbackCommand":"callbackBeforeTomorrowCommand"}"#;
    for (command, body) in [
        ("callbackBeforeSendSingleMsgCommand", &*message("hello")),
        ("callbackBeforeSetFriendRemarkCommand", REMARK),
        ("callbackBeforeAddFriendCommand", ADD_FRIEND),
        ("callbackBeforeAddBlackCommand", black),
        ("callbackBeforeUserRegisterCommand", register),
        ("callbackAfterRemoveBlackCommand", REMOVED),
        ("callbackBeforeTomorrowCommand", unknown),
        ("callbackBeforeAddBlackCommand", r#"{"ownerUserID":7}"#),
    ] {
        hookgate.post(command, body).await;
    }
    hookgate.post("nowhere", "{}").await;
    // The checks of its health have none.
    let calls = policy.take_calls();
    let ids: Vec<_> = calls.iter().filter_map(|call| call.metadata("hookgate-event-id").map(str::to_owned)).collect();
    let lines = stopped(hookgate).await;
    let field = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    let nothing = Value::Null;
    assert_eq!(
        field("outcome"),
        ["allow", "changed", "deny", "failed-closed:error", "failed-open:unimplemented", "allow", "allow", "refused"]
    );
    assert_eq!(
        field("rule"),
        [
            &nothing,
            &nothing,
            &nothing,
            &json!("error=deny"),
            &json!("unimplemented=allow"),
            &nothing,
            &nothing,
            &nothing
        ]
        .map(Clone::clone)
    );
    assert_eq!(field("code")[2..4], [json!(5001), json!(5000)]);
    assert_eq!(field("changes")[..2], [nothing.clone(), json!(["remark"])]);
    assert_eq!(field("event_id")[..7], ids.iter().map(|id| json!(id)).collect::<Vec<_>>());
    assert_eq!(
        lines[0]["users"],
        json!({"message.send_id": "u1", "message.at_user_list": ["u3", "u4"], "recv_id": "u2"})
    );
    assert_eq!(lines[4]["users"], json!({"users.user_id": ["u7", "u8"]}));
    assert_eq!(lines[0]["callback"], "beforeSendSingleMsg");
    assert_eq!(lines[0]["rpc"], "MessagePolicyService/BeforeSendSingleMsg");
    assert_eq!(lines[0]["command"], "callbackBeforeSendSingleMsgCommand");
    assert_eq!(lines[6].get("callback"), None, "an empty value is left out");
    assert_eq!(lines[6]["rpc"], "FallbackPolicyService/UnknownCallback");
    assert_eq!(lines[6]["command"], "callbackBeforeTomorrowCommand");
    // What the policy says of it may quote what it was asked.
    assert_eq!(lines[3]["cause"], "Internal");
    assert!(lines[7]["cause"].as_str().unwrap().contains("ownerUserID"), "{}", lines[7]);
    for line in &lines[..7] {
        assert_eq!((&line["operation_id"], &line["attempt"]), (&json!("op-7"), &json!(1)), "{line}");
        let micros = ["decode_us", "policy_us", "reply_us", "took_us"].map(|part| line[part].as_u64().unwrap());
        assert!(micros[..3].iter().sum::<u64>() <= micros[3], "{line}");
        humantime::parse_rfc3339(line["time"].as_str().unwrap()).unwrap();
    }
    let all = lines.iter().map(Value::to_string).collect::<String>();
    assert!(
        !all.contains("secret") && !all.contains("hello") && !all.contains("Bob") && !all.contains("Robert"),
        "{all}"
    );
}

#[tokio::test]
async fn a_policy_that_was_not_asked_has_no_attempt() {
    let policy = Policy::start(|_| Ok(Vec::new())).await;
    let yaml = "decisions: {to: stdout}\nlimits: {connections: 1}";
    let hookgate = Running::of(configured(&policy.url(), "decisions-unasked", yaml)).await;
    let _first = TcpStream::connect(hookgate.webhooks).await.unwrap();
    hookgate.post("callbackBeforeAddFriendCommand", ADD_FRIEND).await;
    let lines = stopped(hookgate).await;
    assert_eq!(lines[0]["rule"], "overloaded=deny");
    assert_eq!(lines[0]["attempt"], Value::Null);
}

#[tokio::test]
async fn what_comes_after_the_reply_to_an_event_is_a_line_of_its_own() {
    let (release, released) = watch::channel(false);
    let policy = Policy::start_async(move |call| {
        let mut released = released.clone();
        Box::pin(async move {
            released.wait_for(|released| *released).await.unwrap();
            match call.rpc.ends_with("AfterRemoveBlack") {
                true => Ok(denial(5002, "")),
                false => Err(Status::unimplemented("not here")),
            }
        })
    })
    .await;
    let yaml = "decisions: {to: stdout, allows: 1}\nafter: {answer_within: 0s}";
    let hookgate = Running::of(configured(&policy.url(), "decisions-late", yaml)).await;
    hookgate.post("callbackAfterRemoveBlackCommand", REMOVED).await;
    let added = r#"{"callbackCommand":"callbackAfterAddFriendCommand","fromUserID":"u1","toUserID":"u2"}"#;
    hookgate.post("callbackAfterAddFriendCommand", added).await;
    release.send(true).unwrap();
    let lines = stopped(hookgate).await;
    let of = |callback: &str| {
        let lines: Vec<_> = lines.iter().filter(|line| line["callback"] == callback).collect();
        let [first, last] = lines[..] else { panic!("two lines of {callback}: {lines:?}") };
        assert_eq!(first["outcome"], "accepted");
        assert_eq!(first["late"], Value::Null);
        for same in ["event_id", "operation_id", "users", "command"] {
            assert_eq!(first[same], last[same]);
        }
        assert_eq!(last["late"], true);
        last
    };
    let denied = of("afterRemoveBlack");
    assert_eq!((&denied["outcome"], &denied["code"]), (&json!("deny"), &json!(5002)));
    let lost = of("afterAddFriend");
    assert_eq!((&lost["outcome"], &lost["reason"]), (&json!("undelivered"), &json!("unimplemented")));
    assert_eq!(lost["attempt"], 1);
}

#[tokio::test]
async fn fields_are_there_when_asked_for_and_cut_when_long() {
    let policy = Policy::allow().await;
    let yaml = "decisions: {to: stdout, fields: [message.content, message.send_id]}";
    let hookgate = Running::of(configured(&policy.url(), "decisions-fields", yaml)).await;
    // The limit is within a character.
    let long = format!("x{}", "ä".repeat(5000));
    for content in ["short", &long] {
        hookgate.post("callbackBeforeSendSingleMsgCommand", &message(content)).await;
    }
    let lines = stopped(hookgate).await;
    assert_eq!(lines[0]["fields"], json!({"message.send_id": "u1", "message.content": "short"}));
    assert_eq!(lines[0]["users"], json!({"message.at_user_list": ["u3", "u4"], "recv_id": "u2"}));
    assert_eq!(lines[1]["fields"]["message.content"], format!("x{}…", "ä".repeat(2047)));
}

#[tokio::test]
async fn a_share_of_plain_allows_is_enough_and_everything_else_is_written() {
    let policy =
        Policy::start(|call| Ok(if call.rpc.ends_with("BeforeAddFriend") { denial(5001, "") } else { Vec::new() }))
            .await;
    for (share, allows) in [("0", 0..=0), ("0.5", 1..=59), ("1", 60..=60)] {
        let yaml = format!("decisions: {{to: stdout, allows: {share}}}");
        let hookgate = Running::of(configured(&policy.url(), &format!("decisions-share-{share}"), &yaml)).await;
        for _ in 0..60 {
            hookgate.post("callbackBeforeSendSingleMsgCommand", &message("hello")).await;
        }
        hookgate.post("callbackBeforeAddFriendCommand", ADD_FRIEND).await;
        let lines = stopped(hookgate).await;
        let count = |outcome: &str| lines.iter().filter(|line| line["outcome"] == outcome).count();
        assert_eq!(count("deny"), 1);
        assert!(allows.contains(&count("allow")), "{share}: {}", count("allow"));
    }
}

#[tokio::test]
async fn a_body_that_is_not_read_and_allowed_by_rule_has_the_rule_and_the_cause() {
    let policy = Policy::allow().await;
    let yaml = "decisions: {to: stdout}\nlimits: {body: 1KiB}";
    let hookgate = Running::of(configured(&policy.url(), "decisions-large", yaml)).await;
    let large = serde_json::json!({ "content": "x".repeat(1500) }).to_string();
    for command in ["callbackBeforeOnlinePushCommand", "callbackBeforeSendSingleMsgCommand"] {
        hookgate.post(command, &large).await;
    }
    let lines = stopped(hookgate).await;
    let fields = |name: &str| [lines[0][name].clone(), lines[1][name].clone()];
    assert_eq!(fields("outcome"), ["failed-open:overloaded", "refused"]);
    assert_eq!(fields("rule"), [json!("overloaded=allow"), Value::Null]);
    let cause = json!("the body is larger than 1024 bytes (limits.body)");
    assert_eq!(fields("cause"), [cause.clone(), cause]);
    assert_eq!((fields("attempt"), fields("code")), ([Value::Null, Value::Null], [Value::Null, json!(5000)]));
}
