//! Requests of one's own, and the options of serve: TLS and budgets.

use std::path::Path;

use tonic::Status;

use super::policy::{at_once, bad_at};
use super::{named, verify};
use crate::support::pki::Ca;
use crate::support::tls_policy::tls_policy;
use crate::support::{Call, Policy, file};

const ADD: &str = r#"{"callbackCommand":"callbackBeforeAddBlackCommand","ownerUserID":"own-1","blackUserID":"b"}"#;

/// A folder of this name with these files.
fn folder(name: &str, files: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).unwrap();
    for (name, text) in files {
        std::fs::write(path.join(name), text).unwrap();
    }
    path.into_os_string().into_string().unwrap()
}

#[tokio::test]
async fn bodies_and_fixtures_of_one_s_own_are_sent_as_they_are() {
    let pretty = ADD.replace(',', ",\n  ");
    let remark = r#"{"callbackCommand":"callbackBeforeSetFriendRemark","ownerUserID":"own-2","remark":"R"}"#;
    let fixture = format!(
        r#"{{"stories": [{{"story": "x", "webhook_sends": {ADD}, "policy_says": {{}}}},
            {{"webhook_sends": {{"fieldOfTomorrow": 1}}, "command": "callbackAfterTomorrowCommand", "query": "key=abc"}}]}}"#
    );
    let whole = folder(
        "verify-own",
        &[
            ("1.json", &*pretty),
            ("2.json", &format!("[{ADD},\n\n{remark}]")),
            ("3.jsonl", &format!("{ADD}\n{remark}\n")),
            ("4.ndjson", &fixture),
            ("beforeAddBlack.json", r#"{"ownerUserID": "own-1"}"#),
            ("README.md", "no JSON"),
        ],
    );
    let policy = Policy::allow().await;
    let args = ["--policy", &policy.url(), "--requests", &whole, "--only", "requests", "--json"];
    let ended = verify(&args).await;
    assert_eq!((ended.code, &*ended.err), (0, ""), "{}", ended.out);
    let calls = policy.take_calls();
    let asked = |rpc: &str| calls.iter().filter(|call| call.rpc.ends_with(rpc)).collect::<Vec<_>>();
    assert_eq!((asked("/BeforeAddBlack").len(), asked("/BeforeSetFriendRemark").len()), (5, 2));
    let has =
        |rpc: &str, text: &str| asked(rpc).iter().all(|call| String::from_utf8_lossy(&call.message).contains(text));
    assert!(has("/BeforeAddBlack", "own-1") && has("/BeforeSetFriendRemark", "own-2"));
    // The older command is that of the path, as from an older server.
    let remark = asked("/BeforeSetFriendRemark")[0];
    assert_eq!(remark.metadata("openim-command"), Some("callbackBeforeSetFriendRemark"));
    assert_eq!(remark.metadata("openim-operation-id"), Some("verify-BeforeSetFriendRemark-requests"));
    assert!(remark.metadata("hookgate-event-id").is_some() && remark.metadata("grpc-timeout").is_some());
    // Beside the one that tells whether that rpc is implemented.
    let is_own = |call: &&&Call| call.metadata("openim-command") == Some("callbackAfterTomorrowCommand");
    let unknown =
        asked("/UnknownCallback").iter().find(is_own).unwrap().metadata("openim-reply-key").map(str::to_owned);
    assert_eq!(unknown.as_deref(), Some("abc"));

    let report = ended.json();
    assert_eq!(report["callbacks"].as_array().unwrap().len(), 3, "no others are called: {report:#}");
    let checks = &named(&report["callbacks"], "callback", "BeforeSetFriendRemark")["checks"];
    let sources: Vec<_> = checks.as_array().unwrap().iter().map(|check| check["source"].as_str().unwrap()).collect();
    assert_eq!(sources, [format!("{whole}/2.json:3"), format!("{whole}/3.jsonl:2")]);

    // Beside the other checks.
    let args = ["--policy", &policy.url(), "--requests", &format!("{whole}/1.json"), "--only", "beforeAddBlack"];
    let ended = verify(&[&args[..], &["--skip", "health,reflection"]].concat()).await;
    assert!(ended.code == 0 && ended.out.contains("BeforeAddBlack  ok  10 checks\n"), "{}", ended.out);
}

#[tokio::test]
async fn requests_of_one_s_own_are_judged_like_the_others() {
    let refuses = at_once(|call| match String::from_utf8_lossy(&call.message).contains("own-1") {
        true => Err(Status::invalid_argument("not own-1")),
        false => Ok(Vec::new()),
    });
    let policy = bad_at("BeforeAddBlack", refuses).await;
    let requests = file("verify-own.jsonl", format!("{}\n{ADD}\n\n{ADD}\n", ADD.replace("own-1", "own-2")));
    let junit = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify-own.xml");
    let args = ["--policy", &policy.url(), "--requests", &requests, "--only", "requests"];
    let ended = verify(&[&args[..], &["--junit", junit.to_str().unwrap()]].concat()).await;
    assert_eq!(ended.code, 1, "{}", ended.out);
    let sent = ended.out.split_once("  sent    ").unwrap().1.split_once("  came ").unwrap().0;
    let sent = sent.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(sent, format!("{requests}:2, {requests}:4"));
    for words in ["BeforeAddBlack  FAILED  3 checks, 2 failed\n", "INVALID_ARGUMENT for a denial (BeforeAddBlack)\n"] {
        assert!(ended.out.contains(words), "{}", ended.out);
    }
    let xml = std::fs::read_to_string(&junit).unwrap();
    assert!(xml.contains(&format!("name=\"requests {requests}:4\"")), "{xml}");
}

#[tokio::test]
async fn mistakes_in_requests_name_file_line_and_field_before_anything_is_sent() {
    let not_a_list = ADD.replace(r#""b""#, "7");
    for (name, text, words) in [
        ("type.json", format!("[{ADD},\n {not_a_list}]"), &["blackUserID", "(line 2, column "] as &[&str]),
        ("twice.jsonl", format!("{ADD}\n{}", ADD.replace("blackUserID", "ownerUserID")), &["ownerUserID", "(line 2,"]),
        ("cut.json", ADD.trim_end_matches('}').to_owned(), &["EOF", "(line 1, column "]),
        ("after.json", format!("{ADD}\n{ADD}\nx"), &["(line 3, column 1)"]),
        ("text.json", "\n \"callback\"".to_owned(), &["must be an object (line 2, column 2)"]),
        ("unnamed.json", "{}".to_owned(), &["callbackCommand must be there", "(line 1, column 1)"]),
        ("number.json", r#"{"callbackCommand": 7}"#.to_owned(), &["invalid type: integer `7`", "(line 1,"]),
        (
            "unknown.json",
            ADD.replace("AddBlack", "AddBlak"),
            &["no such callback; did you mean callbackBeforeAddBlackCommand?"],
        ),
        ("story.json", r#"{"stories": [{"story": "x", "webhook_sends": 7}]}"#.to_owned(), &["(line 1, column "]),
        ("empty.json", String::new(), &["holds no webhook"]),
    ] {
        let path = file(&format!("verify-bad-{name}"), text);
        let ended = verify(&["--policy", "http://127.0.0.1:1", "--requests", &path]).await;
        assert_eq!((ended.code, &*ended.out, ended.err.lines().count()), (2, "", 1), "{name}: {}", ended.err);
        let said = ended
            .err
            .strip_prefix(&format!("hookgate: --requests: {path}: "))
            .unwrap_or_else(|| panic!("{}", ended.err));
        assert!(words.iter().all(|word| said.contains(word)), "{name}: {said}");
    }
    let many = file("verify-bad-many.jsonl", "{}\n".repeat(30));
    let ended = verify(&["--policy", "http://127.0.0.1:1", "--requests", &many, "--requests", "no-such.json"]).await;
    assert_eq!((ended.code, ended.err.lines().count()), (2, 12), "{}", ended.err);
    assert!(ended.err.contains("and 20 more") && ended.err.contains("no-such.json: No such file"), "{}", ended.err);
    let ended = verify(&["--policy", "http://127.0.0.1:1", "--only", "requests"]).await;
    assert!(ended.code == 2 && ended.err.contains("requests needs --requests FILE"), "{}", ended.err);
}

#[tokio::test]
async fn a_policy_behind_tls_is_verified_with_the_settings_of_serve() {
    let (ca, clients) = (Ca::new("ours"), Ca::new("clients"));
    let pair = clients.issue("hookgate", 30);
    let files = [("ca", &ca.pem), ("certificate", &pair.certificate), ("key", &pair.key)]
        .map(|(name, pem)| file(&format!("verify-{name}.pem"), pem));
    let [ca_file, certificate, key] = &files;
    let (url, _certificate) = tls_policy(&ca.issue("policy.test", 30), Some(clients.roots())).await;
    let only = ["--only", "beforeAddBlack,lifelike"];
    let flags = [
        "--policy",
        &url,
        "--policy-tls-ca",
        ca_file,
        "--policy-tls-certificate",
        certificate,
        "--policy-tls-key",
        key,
        "--policy-tls-server-name",
        "policy.test",
    ];
    let yaml = format!(
        "policy: {url}\nbudget: 3s\npolicy_tls: {{ca: {ca_file}, certificate: {certificate}, key: {key}, server_name: policy.test}}\n"
    );
    let config = file("verify-serve.yaml", yaml);
    for args in [&flags[..], &["--config", &config][..]] {
        let ended = verify(&[args, &only].concat()).await;
        assert!(
            ended.code == 0 && ended.out.contains("BeforeAddBlack  warning  1 check"),
            "{}{}",
            ended.out,
            ended.err
        );
    }
    for (args, code, words) in [
        (&flags[..8], 1, "invalid peer certificate"),
        (&flags[..2], 1, "TLS"),
        (&flags[..6], 2, "--policy-tls-certificate: has no effect without policy_tls.key"),
        (
            &["--policy", "http://127.0.0.1:1", "--policy-tls-ca", ca_file][..],
            2,
            "--policy-tls-ca: has no effect without",
        ),
        (&["--policy", &url, "--policy-tls-ca", "no-such.pem"], 2, "no-such.pem"),
        (
            &["--policy", &url, "--policy-tls-server-name", "a b"],
            2,
            "--policy-tls-server-name: \"a b\": expected a host",
        ),
        (&["--config", "no-such.yaml"], 2, "no-such.yaml"),
    ] {
        let ended = verify(&[args, &only].concat()).await;
        assert!(ended.code == code && ended.err.contains(words), "{args:?}: {} {}{}", ended.code, ended.out, ended.err);
    }
}

#[tokio::test]
async fn the_deadline_of_a_call_is_the_callback_s_budget() {
    let policy = Policy::allow().await;
    let yaml = format!("policy: {}\nbudget: 3s\ncallbacks: {{beforeAddFriend: {{budget: 2s}}}}\n", policy.url());
    let config = file("verify-budgets.yaml", yaml);
    let only = ["--only", "beforeAddBlack,beforeAddFriend,lifelike"];
    for (args, expected) in [(&[] as &[&str], [3000, 2000]), (&["--timeout", "1s"], [1000, 1000])] {
        let ended = verify(&[&["--config", &config][..], &only, args].concat()).await;
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        let calls = policy.take_calls();
        for (rpc, expected) in ["/BeforeAddBlack", "/BeforeAddFriend"].into_iter().zip(expected) {
            let call = calls.iter().find(|call| call.rpc.ends_with(rpc)).unwrap();
            let left = call.metadata("grpc-timeout").unwrap();
            let left: u64 = left.strip_suffix('m').unwrap_or_else(|| panic!("{left}")).parse().unwrap();
            assert!((expected / 2..=expected).contains(&left), "{rpc} {left}");
        }
    }
}
