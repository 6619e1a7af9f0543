//! The program as people start it: what it says, where it listens, how it ends.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod support;

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use http_body_util::Full;
use support::{Policy, Reply};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedReceiver;
use tonic::Status;

fn hookgate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    // What the machine has set must not decide a test.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOOKGATE_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A hookgate that has said it is ready.
struct Running {
    child: Child,
    /// What it says, read all along: a full pipe would stop it.
    lines: UnboundedReceiver<String>,
    /// What it said before and with that.
    said: Vec<String>,
    webhooks: SocketAddr,
    policy: String,
}

impl Running {
    async fn start(args: &[&str]) -> Self {
        Self::of(hookgate(args)).await
    }

    async fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                let _ = sender.send(line);
            }
        });
        let mut said = Vec::new();
        loop {
            let line = lines.recv().await.expect("it says that it is ready");
            said.push(line.clone());
            if let Some(rest) = line.strip_prefix("hookgate ready: ") {
                let words: Vec<_> = rest.split(' ').collect();
                let webhooks = words[1].strip_prefix("http://").unwrap().parse().unwrap();
                return Self { child, lines, said, webhooks, policy: words[3].to_owned() };
            }
        }
    }

    async fn post(&self, command: &str, body: &str) -> Reply {
        let uri = format!("http://{}/{command}", self.webhooks);
        let body = Full::from(body.to_owned());
        support::send(http::Request::post(uri).header("operationID", "op-7").body(body).unwrap()).await
    }

    async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
    }

    /// Waits for its end; gives its exit code and everything that it said.
    async fn end(mut self) -> (Option<i32>, String) {
        while let Some(line) = self.lines.recv().await {
            self.said.push(line);
        }
        let status = self.child.wait().await.unwrap();
        (status.code(), self.said.join("\n"))
    }
}

async fn output(command: &mut Command) -> Output {
    command.output().await.unwrap()
}

const EVERYTHING_FREE: [&str; 4] = ["--listen", "127.0.0.1:0", "--builtin-listen", "127.0.0.1:0"];
const BODY: &str =
    r#"{"callbackCommand":"callbackAfterRemoveBlackCommand","ownerUserID":"user123","blackUserID":"user456"}"#;

#[tokio::test]
async fn it_serves_with_the_built_in_policy_until_terminated() {
    for signal in ["-TERM", "-INT"] {
        let hookgate = Running::start(&EVERYTHING_FREE).await;
        let reply = hookgate.post("callbackAfterRemoveBlackCommand", BODY).await;
        assert_eq!(reply.body, r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#);
        hookgate.signal(signal).await;
        let (code, said) = hookgate.end().await;
        assert_eq!(code, Some(0), "{said}");
        let call = said.lines().find(|line| line.contains("built-in policy: allow")).expect("the call is logged");
        for part in ["AfterRemoveBlack", "user123", "user456", "op-7"] {
            assert!(call.contains(part), "{call}");
        }
        assert!(said.contains("no --policy"), "{said}");
        assert!(!said.contains('\u{1b}'), "no colour where nobody looks");
    }
}

#[tokio::test]
async fn the_built_in_policy_has_reflection_and_health() {
    let hookgate = Running::start(&EVERYTHING_FREE).await;
    let channel = tonic::transport::Endpoint::from_shared(hookgate.policy.clone()).unwrap().connect().await.unwrap();

    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    for service in ["", "openim.policy.v1.RelationPolicyService", "openim.policy.v1.FallbackPolicyService"] {
        let request = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, tonic_health::pb::health_check_response::ServingStatus::Serving, "{service}");
    }

    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(services) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = services.service.iter().map(|service| &*service.name).collect();
    for area in ["Relation", "Group", "Message", "User", "Push", "Conversation", "Presence", "Fallback"] {
        assert!(names.contains(&&*format!("openim.policy.v1.{area}PolicyService")), "{names:?}");
    }
}

#[tokio::test]
async fn it_asks_the_policy_it_is_told_and_logs_what_came_of_it() {
    let policy = Policy::start(|call| match call.metadata("openim-command") {
        // Denial { code: 5001, message: "not now", detail: "" }
        Some("callbackAfterRemoveBlackCommand") => Ok(b"\x0a\x0c\x08\x89\x27\x12\x07not now".to_vec()),
        Some("callbackBeforeSetFriendRemarkCommand") => Ok(b"\x12\x03Bob".to_vec()),
        Some("callbackBeforeAddBlackCommand") => Ok(Vec::new()),
        _ => Err(Status::internal("a cause")),
    })
    .await;
    let mut command = hookgate(&["serve", "--listen", "127.0.0.1:0", "--log", "debug"]);
    command.env("HOOKGATE_POLICY", policy.url());
    let hookgate = Running::of(command).await;
    assert_eq!(hookgate.policy, policy.url());

    let denied = hookgate.post("callbackAfterRemoveBlackCommand", BODY).await;
    assert_eq!(denied.body, r#"{"actionCode":0,"errCode":5001,"errMsg":"not now","errDlt":"not now","nextCode":1}"#);
    hookgate.post("callbackBeforeSetFriendRemarkCommand", r#"{"remark":"Robert"}"#).await;
    hookgate.post("callbackBeforeAddBlackCommand", "{}").await;
    hookgate.post("callbackBeforeAddFriendCommand", "{}").await;
    hookgate.post("callbackBeforeAddFriendCommand", "no").await;
    hookgate.signal("-TERM").await;
    let (_, said) = hookgate.end().await;
    for (command, level, verdict) in [
        ("callbackAfterRemoveBlackCommand", "INFO", "deny"),
        ("callbackBeforeSetFriendRemarkCommand", "INFO", "allow, changed"),
        ("callbackBeforeAddBlackCommand", "DEBUG", "allow"),
        ("callbackBeforeAddFriendCommand", "WARN", "failed, so denied"),
        ("callbackBeforeAddFriendCommand", "WARN", "refused"),
    ] {
        let lines = said.lines().filter(|line| line.contains(&format!("{command:?}")));
        let mut lines = lines.filter(|line| line.contains(level) && line.contains(&format!(" {verdict} command=")));
        let line = lines.next().unwrap_or_else(|| panic!("no line for {command} {verdict}:\n{said}"));
        assert!(line.contains("operation_id=\"op-7\"") && line.contains("took="), "{line}");
        assert_eq!(lines.next(), None, "one line a callback");
    }
    assert!(said.contains("a cause"), "{said}");
    assert!(!said.contains("Bob") && !said.contains("Robert") && !said.contains("user123"), "{said}");
}

#[tokio::test]
async fn no_log_level_shows_content() {
    let hookgate = Running::start(&[&EVERYTHING_FREE[..], &["--log", "trace"]].concat()).await;
    let message = r#"{"sendID":"u1","content":"{\"content\":\"MARKER\"}","ex":"MARKER","new":"MARKER","recvID":"u2"}"#;
    let register = r#"{"users":[{"userID":"u1","ex":"MARKER"}],"secret":"MARKER"}"#;
    hookgate.post("callbackBeforeSendSingleMsgCommand", message).await;
    hookgate.post("callbackBeforeMsgModifyCommand", message).await;
    hookgate.post("callbackBeforeUserRegisterCommand", register).await;
    hookgate.post("callbackBeforeUserRegisterCommand", r#"{"users":"MARKER"}"#).await;
    hookgate.post("callbackOfTomorrow", r#"{"any":"MARKER"}"#).await;
    hookgate.signal("-TERM").await;
    let (_, said) = hookgate.end().await;
    assert!(said.contains("sendID") && said.contains("u2"), "{said}");
    assert!(!said.contains("MARKER"), "{said}");
}

#[tokio::test]
async fn an_address_in_use_is_one_sentence_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (option, other) in [("--listen", "--builtin-listen"), ("--builtin-listen", "--listen")] {
        let output = output(&mut hookgate(&[option, &address, other, "127.0.0.1:0"])).await;
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = format!(
            "hookgate: cannot listen on {address}: another program listens there ({option} takes another address)\n"
        );
        assert_eq!(said, expected);
    }
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2() {
    for args in [
        &["--policy", "policy:50051"] as &[&str],
        &["--policy", "ftp://policy"],
        &["--policy", "http://"],
        &["--policy", "http://policy:0"],
        &["--policy", "http://policy:50051/path"],
        &["--policy", "http://user:pass@policy:50051"],
        &["--listen", "nowhere"],
        &["--log", "loud=very"],
        &["--no-such-option"],
        &["no-such-command"],
        &["callbacks", "--listen", "127.0.0.1:0"],
    ] {
        let output = output(&mut hookgate(args)).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{args:?}");
    }
}

#[tokio::test]
async fn callbacks_are_listed_for_people_and_for_programs() {
    let json = output(&mut hookgate(&["callbacks", "--json"])).await;
    assert!(json.status.success());
    let rows: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(rows.len(), 53);
    let row = rows.iter().find(|row| row["config_key"] == "beforeSetFriendRemark").unwrap();
    let expected = serde_json::json!({
        "command": "callbackBeforeSetFriendRemarkCommand",
        "older_commands": ["callbackBeforeSetFriendRemark"],
        "config_key": "beforeSetFriendRemark",
        "timing": "before",
        "rpc": "/openim.policy.v1.RelationPolicyService/BeforeSetFriendRemark",
        "changes": ["remark"],
    });
    assert_eq!(serde_json::Value::from(row.clone()), expected);

    let table = String::from_utf8(output(&mut hookgate(&["callbacks"])).await.stdout).unwrap();
    assert_eq!(table.lines().count(), 54);
    for row in rows {
        let command = row["command"].as_str().unwrap();
        assert_eq!(table.lines().filter(|line| line.starts_with(&format!("{command} "))).count(), 1, "{command}");
    }
}
