//! What OpenIM sends that this build does not expect, as `hookgate drift` says it.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::program::{Running, configured, hookgate};
use crate::support::{self, Policy, file, free};

async fn drift(hookgate_at: std::net::SocketAddr, more: &[&str]) -> (Option<i32>, String, String) {
    let admin = format!("http://{hookgate_at}");
    let Output { status, stdout, stderr } =
        hookgate(&[&["drift", "--admin", &admin], more].concat()).output().await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

async fn running(name: &str, webhooks: Option<&str>) -> (Policy, Running) {
    let policy = Policy::allow().await;
    let mut yaml = "log: warn\n".to_owned();
    if let Some(webhooks) = webhooks {
        let file = file(&format!("drift-{name}-webhooks.yml"), webhooks);
        yaml += &format!("openim: {{webhooks: {file}}}\n");
    }
    let hookgate = Running::of(configured(&policy.url(), &format!("drift-{name}"), &yaml)).await;
    (policy, hookgate)
}

const ADD_BLACK: &str = r#"{"callbackCommand":"callbackBeforeAddBlackCommand","ownerUserID":"u1","blackUserID":"u2"}"#;

#[tokio::test]
async fn without_drift_a_line_says_so() {
    let (_policy, hookgate) =
        running("none", Some("url: http://127.0.0.1\nbeforeAddBlack: {enable: true, timeout: 5}\n")).await;
    let (code, said, _) = drift(hookgate.admin, &[]).await;
    assert_eq!(code, Some(0));
    assert!(said.contains("release unknown: no callback has come"), "{said}");
    hookgate.post("callbackBeforeAddBlackCommand", ADD_BLACK).await;
    let (code, said, _) = drift(hookgate.admin, &["--exit-code"]).await;
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[..2],
        ["no drift: this build knows all that came", "OpenIM looks like 3.8 to 3.8.4, by 1 command"]
    );
    let since = hookgate.status().await["drift"]["since"].as_str().unwrap().to_owned();
    assert_eq!(lines[2..], [format!("counted since {since} (UTC), when this hookgate started")]);
}

#[tokio::test]
async fn what_is_unknown_older_or_missing_is_said_with_counts() {
    let webhooks = "url: http://127.0.0.1\n\
                    beforeAddBlack: {enable: true, timeout: 5}\n\
                    afterRemoveBlack: {enable: true, timeout: 5}\n\
                    afterSendGroupMsg: {enable: true, attentionIds: [g1]}\n\
                    afterMsgSaveDB: {enable: false, attentionIds: [u1]}\n\
                    afterGroupMsgRevoke: {enable: true}\n\
                    beforeSendSingleMsg: {enable: false, timeout: 5}\n";
    let (_policy, hookgate) = running("all", Some(webhooks)).await;
    for _ in 0..3 {
        hookgate.post("callbackBeforeTomorrowCommand", "{}").await;
        hookgate.post("callbackBeforeAddBlackCommand", r#"{"ownerUserID":"u1","color":"red","deep":{"a":1}}"#).await;
    }
    hookgate.post("callbackAfterGroupMsgReadCommand", r#"{"sendID":"u1","seqs":[1]}"#).await;
    let (code, said, _) = drift(hookgate.admin, &["--exit-code"]).await;
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "callbackBeforeTomorrowCommand",
        "  RelationPolicyService/BeforeAddBlack\n    color                                    3 times, first 20",
        "\n    deep                                     3 times, first 20",
        "  MessagePolicyService/AfterGroupMsgRead\n    seqs                                     1 time, first 20",
        "afterRemoveBlack             sent by 3.8, 3.8.3, 3.8.4",
        "afterGroupMsgRevoke          sent by no known release of OpenIM\n    switches nothing on in any OpenIM; afterRevokeMsg",
        "afterSendGroupMsg            sent by 3.5, 3.7, 3.8, 3.8.3, 3.8.4\n    attentionIds is compared with user IDs",
        "or is newer",
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    assert!(!said.contains("beforeSendSingleMsg") && !said.contains("afterMsgSaveDB"), "{said}");
    assert!(said.lines().all(|line| line.len() <= 80), "{said}");
    let (code, json, _) = drift(hookgate.admin, &["--json"]).await;
    assert_eq!(code, Some(0));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, hookgate.status().await["drift"]);
    assert_eq!(json["unknown_commands"][0]["count"], 3);
    let never_came = json["never_came"].as_array().unwrap();
    assert_eq!(never_came[1], json!({"config_key": "afterRemoveBlack", "releases": ["3.8", "3.8.3", "3.8.4"]}));
    assert_eq!(never_came.len(), 3);
}

#[tokio::test]
async fn a_body_without_any_known_field_is_said_loudly() {
    let (_policy, mut hookgate) = running("unrecognized", None).await;
    // The second is of the same second or the next: either way no line more than there are bodies.
    for body in [r#"{"callbackCommand":"callbackBeforeAddBlackCommand","owner":"u1"}"#, "{}"] {
        hookgate.post("callbackBeforeAddBlackCommand", body).await;
    }
    // Null is a field too: this server has the names.
    hookgate.post("callbackAfterRemoveBlackCommand", r#"{"ownerUserID":null}"#).await;
    hookgate.post("callbackAfterRemoveBlackCommand", r#"{"OWNERUSERID":"u1"}"#).await;
    let log = hookgate.says("no known field in body").await;
    assert!(log.contains("WARN") && log.contains("callbackBeforeAddBlackCommand"), "{log}");
    assert!(log.contains("unknown_fields=1"), "{log}");
    let (code, said, _) = drift(hookgate.admin, &["--exit-code"]).await;
    assert_eq!(code, Some(1), "{said}");
    let line = said.lines().skip_while(|line| !line.contains("NONE of the known fields")).nth(1).unwrap();
    assert!(line.contains("RelationPolicyService/BeforeAddBlack") && line.contains("2 times, first 20"), "{said}");
    let status = hookgate.status().await;
    let bodies = status["drift"]["unrecognized_bodies"].as_array().unwrap();
    assert_eq!(bodies.len(), 1, "{status}");
    assert_eq!(bodies[0]["count"], 2);
    let metrics = String::from_utf8(hookgate.ask("/metrics").await.body.to_vec()).unwrap();
    let metric = r#"hookgate_unrecognized_bodies_total{rpc="RelationPolicyService/BeforeAddBlack"} 2"#;
    assert!(metrics.contains(metric), "{metrics}");
}

#[tokio::test]
async fn the_commands_that_came_tell_the_release() {
    for (name, commands, release) in [
        (
            "oldest",
            &["callbackBeforeSendSingleMsgCommand", "callbackQuitGroupCommand"][..],
            "looks like 3.5, by 2 commands",
        ),
        ("newer", &["callbackAfterRemoveBlackCommand"], "looks like 3.8 to 3.8.4, by 1 command"),
        ("any", &["callbackBeforeSendSingleMsgCommand"], "release unknown: every release from 3.5 on"),
        ("two", &["callbackQuitGroupCommand", "callbackAfterRemoveBlackCommand"], "release unknown: no single release"),
    ] {
        let (_policy, hookgate) = running(name, None).await;
        for command in commands {
            hookgate.post(command, "{}").await;
        }
        let (_, said, _) = drift(hookgate.admin, &[]).await;
        assert!(said.contains(release), "{name}: {said}");
        assert!(said.contains("callbacks that never came are not known"), "{said}");
        let older = said.contains("commands with an older name:\n  callbackQuitGroupCommand");
        assert_eq!(older, commands.contains(&"callbackQuitGroupCommand"), "{said}");
        hookgate.kill().await;
    }
}

#[tokio::test]
async fn an_admin_listener_that_is_a_socket_is_asked_too() {
    let admin = format!("unix://{}", free("drift-admin.sock").display());
    let places = ["--listen", "127.0.0.1:0", "--builtin-listen", "127.0.0.1:0", "--admin-listen", &admin];
    let _hookgate = Running::start(&places).await;
    let output = hookgate(&["drift", "--admin", &admin]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("no drift"));
    // Without data, it has no outbox, and says so through the socket.
    let output = hookgate(&["outbox", "list", "--admin", &admin]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--data DIR"));
}

#[tokio::test]
async fn whoever_is_no_hookgate_is_said_to_be_none() {
    let nobody = support::nobody().await;
    let (code, _, said) = drift(nobody, &[]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("nobody answers at") && said.contains("--admin"), "{said}");
    let (_policy, hookgate) = running("other", None).await;
    // The webhooks' own listener answers, and not with a status.
    let (code, _, said) = drift(hookgate.webhooks, &[]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("is not a hookgate's admin listener"), "{said}");
}
