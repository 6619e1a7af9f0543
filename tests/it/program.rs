//! The program as people start it: what it says, where it listens, how it ends.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;
use tonic::Status;

use crate::support::program::{ALL_LOGS, EVERYTHING_FREE, Running, configured, hookgate};
use crate::support::{self, ALLOWED, Policy};

async fn output(command: &mut Command) -> Output {
    command.output().await.unwrap()
}

const BODY: &str =
    r#"{"callbackCommand":"callbackAfterRemoveBlackCommand","ownerUserID":"user123","blackUserID":"user456"}"#;

#[tokio::test]
async fn it_serves_with_the_built_in_policy_until_terminated() {
    for signal in ["-TERM", "-QUIT", "-INT"] {
        let hookgate = Running::start(&EVERYTHING_FREE).await;
        let reply = hookgate.post("callbackAfterRemoveBlackCommand", BODY).await;
        assert_eq!(reply.body, ALLOWED);
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
async fn signals_that_mean_something_to_other_servers_are_logged_and_ignored() {
    let mut hookgate = Running::start(&EVERYTHING_FREE).await;
    for signal in ["USR1", "USR2"] {
        hookgate.signal(&format!("-{signal}")).await;
        hookgate.says(&format!("signal ignored signal=\"SIG{signal}\"")).await;
    }
    assert_eq!(hookgate.post("callbackAfterRemoveBlackCommand", BODY).await.body, ALLOWED);
}

#[tokio::test]
async fn health_exits_with_0_if_it_is_ready_and_with_1_and_the_reason_if_not() {
    let nobody = support::nobody().await.to_string();
    let ready = Running::start(&EVERYTHING_FREE).await;
    let policy = format!("http://{nobody}");
    let args = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--policy", &policy];
    let alone = Running::start(&args).await;
    let not_ready = format!("hookgate: not ready: not connected: {nobody}: ");
    let nobody_answers = format!("hookgate: nobody answers at http://{nobody}/: ");
    let webhooks = ready.webhooks.to_string();
    let no_admin =
        format!("hookgate: http://{webhooks}/ is not a hookgate's admin listener: it answers /readyz with 4");
    for (admin, live, expected) in [
        (ready.admin.to_string(), false, (0, "ready\n", "")),
        (ready.admin.to_string(), true, (0, "ok\n", "")),
        (alone.admin.to_string(), false, (1, "", &*not_ready)),
        (alone.admin.to_string(), true, (0, "ok\n", "")),
        (nobody.clone(), true, (1, "", &*nobody_answers)),
        (webhooks.clone(), false, (1, "", &*no_admin)),
    ] {
        let admin = format!("http://{admin}");
        let live: &[&str] = if live { &["--live"] } else { &[] };
        let Output { status, stdout, stderr } =
            output(&mut hookgate(&[&["health", "--admin", &admin], live].concat())).await;
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(err.starts_with(expected.2) && err.lines().count() <= 1, "{err}");
        assert_eq!((status.code(), &*out), (Some(expected.0), expected.1), "{err}");
    }
}

#[tokio::test]
async fn several_threads_answer_every_webhook_of_many_connections() {
    let policy = Policy::allow().await;
    let url = policy.url();
    let arguments = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--policy", &url, "--threads", "3"];
    let hookgate = Arc::new(Running::start(&arguments).await);
    let before =
        r#"{"callbackCommand":"callbackBeforeAddBlackCommand","ownerUserID":"user123","blackUserID":"user456"}"#;
    let mut posts = JoinSet::new();
    for _ in 0..150 {
        for (command, body) in [("callbackBeforeAddBlackCommand", before), ("callbackAfterRemoveBlackCommand", BODY)] {
            let hookgate = hookgate.clone();
            posts.spawn(async move { hookgate.post(command, body).await });
        }
    }
    for reply in posts.join_all().await {
        assert_eq!(reply.body, ALLOWED);
    }
    let hookgate = Arc::into_inner(hookgate).expect("every post has ended");
    hookgate.signal("-INT").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0), "{said}");
    // Each once, whatever its reply did not wait for.
    let calls = policy.take_calls();
    let mut ids: Vec<_> = calls.iter().filter_map(|call| call.metadata("hookgate-event-id")).collect();
    ids.sort_unstable();
    assert_eq!(ids.len(), 300, "{said}");
    ids.dedup();
    assert_eq!(ids.len(), 300);
}

#[tokio::test]
async fn it_ends_although_somebody_holds_a_connection_to_the_built_in_policy() {
    let hookgate = Running::start(&EVERYTHING_FREE).await;
    let address = hookgate.policy.trim_start_matches("http://").to_owned();
    let held = tokio::net::TcpStream::connect(address).await.unwrap();
    hookgate.signal("-INT").await;
    assert_eq!(hookgate.end().await.0, Some(0));
    drop(held);
}

#[tokio::test]
async fn the_admin_listener_says_how_it_stands() {
    let hookgate = Running::start(&EVERYTHING_FREE).await;
    hookgate.post("callbackAfterRemoveBlackCommand", BODY).await;
    hookgate.post("nowhere", BODY).await;
    assert_eq!(hookgate.ask("/livez").await.body, "ok\n");
    let ready = hookgate.ask("/readyz").await;
    assert_eq!((ready.status.as_u16(), &*ready.body), (200, b"ready\n" as &[u8]));
    let status = hookgate.status().await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["callbacks"]["callbackAfterRemoveBlackCommand"]["outcomes"]["allow"], 1);
    assert!(status["callbacks"]["callbackAfterRemoveBlackCommand"]["last_seen_ms"].as_u64() > Some(0));
    assert_eq!(status["callbacks"].as_object().unwrap().len(), 1);
    assert_eq!(status["not_webhooks"], 1);
    assert_eq!(status["after_events"]["delivered"], 1);
    assert_eq!(status["policy"]["ready"], true);
    assert_eq!(status["policy"]["url"], hookgate.policy);
    assert_eq!(status["stopping"], false);
}

#[tokio::test]
async fn without_its_policy_it_is_not_ready_and_says_why() {
    let nobody = support::nobody().await;
    let args = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--policy", &format!("http://{nobody}")];
    let hookgate = Running::start(&args).await;
    let ready = hookgate.ask("/readyz").await;
    assert_eq!(ready.status.as_u16(), 503);
    assert!(String::from_utf8_lossy(&ready.body).contains(&nobody.to_string()), "{ready:?}");
}

#[tokio::test]
async fn before_something_that_answers_404_to_everything_it_says_that_nothing_there_speaks_the_contract() {
    let policy = Policy::routing(|_| false, |_| Box::pin(std::future::pending())).await;
    let args = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--policy", &policy.url()];
    let mut hookgate = Running::start(&args).await;
    let ready = hookgate.ask("/readyz").await;
    let said = String::from_utf8_lossy(&ready.body).into_owned();
    assert_eq!(
        (ready.status.as_u16(), said.contains("health is answered with HTTP status 404")),
        (200, true),
        "{said}"
    );

    let reply = hookgate.post("callbackBeforeAddBlackCommand", "{}").await;
    assert_eq!(reply.headers["hookgate-outcome"], "failed-closed:unimplemented");
    hookgate.says("nothing there speaks the contract").await;
    let ready = hookgate.ask("/readyz").await;
    assert_eq!(ready.status.as_u16(), 503);
    assert!(String::from_utf8_lossy(&ready.body).contains("nothing there speaks the contract"), "{ready:?}");
    hookgate.signal("-INT").await;
    let (_, said) = hookgate.end().await;
    assert_eq!(said.matches("policy presumed ready").count(), 1, "{said}");
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
    let mut command =
        hookgate(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log", "debug"]);
    command.env("HOOKGATE_POLICY", policy.url());
    let hookgate = Running::of(command).await;
    assert_eq!(hookgate.policy, policy.url());

    let denied = hookgate.post("callbackAfterRemoveBlackCommand", BODY).await;
    assert_eq!(denied.body, r#"{"actionCode":0,"errCode":5001,"errMsg":"not now","errDlt":"not now","nextCode":1}"#);
    hookgate.post("callbackBeforeSetFriendRemarkCommand", r#"{"remark":"Robert"}"#).await;
    hookgate.post("callbackBeforeAddBlackCommand", "{}").await;
    hookgate.post("callbackBeforeAddFriendCommand", "{}").await;
    hookgate.post("callbackBeforeAddFriendCommand", "no").await;
    hookgate.signal("-INT").await;
    let (_, said) = hookgate.end().await;
    for (command, level, verdict) in [
        ("callbackAfterRemoveBlackCommand", "INFO", "webhook denied"),
        ("callbackBeforeSetFriendRemarkCommand", "INFO", "webhook changed"),
        ("callbackBeforeAddBlackCommand", "DEBUG", "webhook allowed"),
        ("callbackBeforeAddFriendCommand", "WARN", "webhook failed closed"),
        ("callbackBeforeAddFriendCommand", "WARN", "webhook refused"),
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
    let hookgate = Running::start(&[&EVERYTHING_FREE[..], &["--log", ALL_LOGS]].concat()).await;
    let message = r#"{"sendID":"u1","content":"{\"content\":\"MARKER\"}","ex":"MARKER","new":"MARKER","recvID":"u2"}"#;
    let register = r#"{"users":[{"userID":"u1","ex":"MARKER"}],"secret":"MARKER"}"#;
    hookgate.post("callbackBeforeSendSingleMsgCommand", message).await;
    hookgate.post("callbackBeforeMsgModifyCommand", message).await;
    hookgate.post("callbackBeforeUserRegisterCommand", register).await;
    hookgate.post("callbackBeforeUserRegisterCommand", r#"{"users":"MARKER"}"#).await;
    hookgate.post("callbackOfTomorrow", r#"{"any":"MARKER"}"#).await;
    hookgate.signal("-INT").await;
    let (_, said) = hookgate.end().await;
    assert!(said.contains("sendID") && said.contains("u2"), "{said}");
    assert!(!said.contains("MARKER"), "{said}");
}

#[tokio::test]
async fn an_address_in_use_is_one_sentence_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--listen", "--builtin-listen", "--admin-listen"] {
        let mut args = EVERYTHING_FREE;
        let place = args.iter().position(|arg| *arg == option).unwrap();
        args[place + 1] = &address;
        let output = output(&mut hookgate(&args)).await;
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
        &["--policy", "ftp://policy"] as &[&str],
        &["--policy", "http://"],
        &["--policy", "http://policy:0"],
        &["--policy", "http://policy:50051/path"],
        &["--policy", "http://user:pass@policy:50051"],
        &["--listen", "nowhere"],
        &["--log", "loud=very"],
        &["--no-such-option"],
        &["no-such-command"],
        &["callbacks", "--listen", "127.0.0.1:0"],
        &["outbox", "drop", "--reason", "atempts"],
        &["outbox", "--admin", "/run/hookgate/admin.sock"],
        &["callbacks", "--timing", "now"],
    ] {
        let output = output(&mut hookgate(args)).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{args:?}");
    }
}

/// A reader that has closed the pipe, as head does, changes no exit code and causes no panic, whose code is 101.
#[tokio::test]
async fn closed_pipes_for_output_and_errors_are_no_panic() {
    let policy = Policy::start(|_| Ok(support::denial(5001, "no"))).await;
    let gate = Running::of(configured(&policy.url(), "closed-pipes", "log: error")).await;
    let (to, admin) = (format!("http://{}", gate.webhooks), format!("http://{}", gate.admin));
    let nobody = format!("http://{}", support::nobody().await);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("closed-pipes");
    for (args, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["nonsense"], 2),
        (&["--budget", "0s"], 2),
        (&["callbacks"], 0),
        (&["callbacks", "--json"], 0),
        (&["completions", "bash"], 0),
        (&["config", "print"], 0),
        (&["config", "check"], 0),
        (&["drift", "--admin", &admin], 0),
        (&["drift", "--admin", &nobody], 1),
        (&["outbox", "--admin", &nobody], 1),
        (&["proto", "--out", home.to_str().unwrap()], 0),
        (&["trigger", "beforeAddBlack", "--to", &to, "--exit-code"], 3),
        (&["trigger", "beforeAddBlack", "--to", &to, "--exit-code", "--json"], 3),
        (&["trigger", "beforeAddBlack", "--to", &to, "--exit-code", "--count", "2"], 3),
        (&["trigger", "beforeAddBlack", "--to", &nobody], 1),
        (&["trigger", "beforeAdBlack"], 2),
        (&["verify", "--policy", &nobody], 1),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = hookgate(args);
        command.env("HOME", &home).env("XDG_CACHE_HOME", &home);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        assert_eq!(command.status().await.unwrap().code(), Some(code), "{args:?}");
    }
}

#[tokio::test]
async fn the_contract_is_written_as_it_was_built() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contract");
    drop(std::fs::remove_dir_all(&folder));
    // Twice: over what is there.
    for _ in 0..2 {
        let written = output(&mut hookgate(&["proto", "--out", folder.to_str().unwrap()])).await;
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        let of = |root: &Path| {
            let files = std::fs::read_dir(root.join("openim/policy/v1")).unwrap().map(|entry| entry.unwrap());
            let mut files: Vec<_> =
                files.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect();
            files.sort();
            files
        };
        assert_eq!(of(&folder), of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("proto")));
    }
    let file = folder.join("openim/policy/v1/common.proto");
    let refused = output(&mut hookgate(&["proto", "--out", file.to_str().unwrap()])).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.starts_with("hookgate: ") && said.contains("common.proto") && said.lines().count() == 1, "{said}");
}
