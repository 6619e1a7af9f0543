//! What every example does.

use std::time::Duration;

use hookgate::contract::proto::group_policy_service_client::GroupPolicyServiceClient;
use hookgate::contract::proto::message_policy_service_client::MessagePolicyServiceClient;
use hookgate::contract::proto::relation_policy_service_client::RelationPolicyServiceClient;
use hookgate::contract::proto::{
    AfterRemoveBlackRequest, BeforeCreateGroupRequest, BeforeSendSingleMsgRequest, ChatMessage,
};
use hookgate::openim::Reading;
use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::Run;
use crate::process::{Example, Language, content, post, text};
use crate::support::program::hookgate;

pub type Case = fn(&'static Language) -> Run;

macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        /// Every case by its name.
        pub const ALL: &[(&str, Case)] = &[$((stringify!($case), |language| Box::pin($case(language)))),*];
    };
}

cases! {
    blocked_words_are_denied,
    no_string_of_the_content_is_overlooked,
    a_late_lookup_is_a_failure_and_no_decision,
    phone_numbers_are_masked,
    remarks_are_trimmed,
    groups_have_names_and_short_ones,
    events_are_audited_once,
    an_event_that_cannot_be_audited_is_kept,
    words_come_from_a_file,
    what_is_wrong_at_the_start_is_said_in_a_sentence,
    the_other_rpcs_are_unimplemented,
    it_has_health_and_reflection,
    odd_requests_do_it_no_harm,
    hookgate_trigger_shows_the_denial,
    hookgate_verify_finds_nothing_wrong,
    it_stops_when_it_is_told,
}

pub fn allowed() -> Reading {
    Reading::Allowed(Vec::new())
}

/// The code and the message of a denial.
pub fn denied(reading: Reading) -> (i32, String) {
    match reading {
        Reading::Denied(told) => (told.code, told.message),
        other => panic!("{other:?}"),
    }
}

/// What a field was changed to.
pub fn changed(reading: Reading, field: &str) -> Value {
    match reading {
        Reading::Allowed(effects) if effects.len() == 1 && effects[0].field == field => {
            effects[0].value.clone().unwrap()
        }
        other => panic!("{other:?}"),
    }
}

async fn connect(example: &Example) -> Channel {
    Endpoint::try_from(example.url()).unwrap().connect().await.unwrap()
}

async fn blocked_words_are_denied(language: &'static Language) {
    let example = Example::start(language).await;
    let gate = example.gate(&format!("example-words-{}", language.name)).await;
    let quote = json!({"text": "a CASINO", "quoteMessage": {"textElem": {"content": "hello"}}});
    for callback in ["beforeSendSingleMsg", "beforeSendGroupMsg"] {
        for message in [
            text("the casino!"),
            text("OnlineCasinos"),
            content(106, json!({"text": "casino", "atUserList": []})),
            content(114, quote.clone()),
        ] {
            let reading = post(&gate, callback, message).await;
            assert_eq!(denied(reading), (5001, "the message holds a blocked word".to_owned()));
        }
        assert_eq!(post(&gate, callback, text("hello, 你好")).await, allowed());
    }
}

/// The messages of `examples/content.json`, which the examples' own tests read too, through hookgate.
async fn no_string_of_the_content_is_overlooked(language: &'static Language) {
    let table: Value = serde_json::from_str(include_str!("../../examples/content.json")).unwrap();
    let words = table["words"].as_array().unwrap().iter().flat_map(|word| ["--word", word.as_str().unwrap()]);
    let example = Example::with(language, &words.collect::<Vec<_>>()).await;
    let gate = example.gate(&format!("example-content-{}", language.name)).await;
    let mut wrong = Vec::new();
    for case in table["filter"].as_array().unwrap() {
        let message = json!({"contentType": case["contentType"], "content": case["content"]});
        for callback in ["beforeSendSingleMsg", "beforeSendGroupMsg"] {
            let reading = post(&gate, callback, message.clone()).await;
            if matches!(&reading, Reading::Denied(told) if told.code == 5001) != case["denied"]
                || matches!(&reading, Reading::Allowed(_)) == case["denied"]
            {
                wrong.push(format!("{callback}, {}: {reading:?}", case["case"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn a_late_lookup_is_a_failure_and_no_decision(language: &'static Language) {
    let example = Example::with(language, &["--word", "casino", "--delay-ms", "3600000"]).await;
    let mut messages = MessagePolicyServiceClient::new(connect(&example).await);
    // The policy answers 50 ms before the client gives up, which a busy machine can miss.
    let mut answered = false;
    for _ in 0..10 {
        let mut request = Request::new(BeforeSendSingleMsgRequest {
            message: Some(ChatMessage::default()),
            ..BeforeSendSingleMsgRequest::default()
        });
        request.set_timeout(Duration::from_millis(500));
        let status = messages.before_send_single_msg(request).await.unwrap_err();
        answered = status.message() == "the words could not be looked up in time";
        if answered {
            assert_eq!(status.code(), Code::DeadlineExceeded);
            break;
        }
    }
    assert!(answered, "the client gave up first, ten times");

    let gate = example.gate(&format!("example-late-{}", language.name)).await;
    let reply = gate.post("callbackBeforeSendSingleMsgCommand", "{}").await;
    assert_eq!(reply.headers["hookgate-outcome"], "failed-closed:deadline");
}

async fn phone_numbers_are_masked(language: &'static Language) {
    let table: Value = serde_json::from_str(include_str!("../../examples/content.json")).unwrap();
    let example = Example::start(language).await;
    let gate = example.gate(&format!("example-phones-{}", language.name)).await;
    let mut wrong = Vec::new();
    for case in table["mask"].as_array().unwrap() {
        let message = json!({"contentType": case["contentType"], "content": case["content"]});
        let reading = post(&gate, "beforeMsgModify", message).await;
        let masked = match &reading {
            // A rewritten text is all that the example answers for; hookgate denies what parsers read differently.
            Reading::Denied(_) if case["refusedByHookgate"] == true => continue,
            Reading::Allowed(effects) if effects.is_empty() => &Value::Null,
            Reading::Allowed(effects) if effects.len() == 1 && effects[0].field == "content" => {
                effects[0].value.as_ref().unwrap()
            }
            _ => &Value::from(format!("{reading:?}")),
        };
        if masked != &case["masked"] {
            wrong.push(format!("{}: {masked}", case["case"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn remarks_are_trimmed(language: &'static Language) {
    let example = Example::start(language).await;
    let gate = example.gate(&format!("example-remarks-{}", language.name)).await;
    let reading = post(&gate, "beforeSetFriendRemark", json!({"remark": "\t Bob 你好 \n"})).await;
    assert_eq!(changed(reading, "remark"), "Bob 你好");
    for remark in ["Bob", "Bob B", "", "  "] {
        assert_eq!(post(&gate, "beforeSetFriendRemark", json!({"remark": remark})).await, allowed(), "{remark:?}");
    }
}

async fn groups_have_names_and_short_ones(language: &'static Language) {
    let example = Example::start(language).await;
    let gate = example.gate(&format!("example-groups-{}", language.name)).await;
    let long = "😀组".repeat(20);
    let short: String = long.chars().take(30).collect();
    for callback in ["beforeCreateGroup", "beforeSetGroupInfo", "beforeSetGroupInfoEx"] {
        let name = |name: &str| json!({"groupName": name});
        let reading = post(&gate, callback, name(" \t ")).await;
        assert_eq!(denied(reading), (5002, "a group needs a name".to_owned()), "{callback}");
        assert_eq!(changed(post(&gate, callback, name(&long)).await, "groupName"), short, "{callback}");
        assert_eq!(post(&gate, callback, name(&short)).await, allowed(), "{callback}");
    }
    let nameless = json!({"groupName": ""});
    for callback in ["beforeCreateGroup", "beforeSetGroupInfoEx"] {
        assert_eq!(denied(post(&gate, callback, nameless.clone()).await).0, 5002, "{callback}");
    }
    assert_eq!(post(&gate, "beforeSetGroupInfo", nameless).await, allowed(), "not changed");
    assert_eq!(post(&gate, "beforeSetGroupInfoEx", json!({"groupName": null})).await, allowed(), "not changed");
}

async fn events_are_audited_once(language: &'static Language) {
    let example = Example::start(language).await;
    let gate = example.gate(&format!("example-audit-{}", language.name)).await;
    post(&gate, "afterRemoveBlack", json!({"ownerUserID": "ann", "blackUserID": "bob"})).await;
    post(&gate, "afterRevokeMsg", json!({"conversationID": "c 1", "seq": 9_007_199_254_740_993_i64, "userID": "ann"}))
        .await;
    // Their replies may have come before their lines.
    while example.audited().len() < 2 {
        tokio::task::yield_now().await;
    }
    let lines = example.audited();
    let event_id = |line: &Value| line["event_id"].as_str().unwrap().to_owned();
    assert_ne!(event_id(&lines[0]), event_id(&lines[1]));
    let removed = json!({"event": "AfterRemoveBlack", "operation_id": "op-7", "event_id": event_id(&lines[0]),
        "owner_user_id": "ann", "black_user_id": "bob"});
    let revoked = json!({"event": "AfterRevokeMsg", "operation_id": "op-7", "event_id": event_id(&lines[1]),
        "conversation_id": "c 1", "seq": 9_007_199_254_740_993_i64, "user_id": "ann"});
    assert_eq!(lines, [removed, revoked]);

    // The same event again, and others many times at once.
    let client = RelationPolicyServiceClient::new(connect(&example).await);
    let again = event_id(&lines[0]);
    let ids: Vec<String> = (0..32).map(|n| format!("event-{}", n % 4)).chain([again]).collect();
    let mut calls = tokio::task::JoinSet::new();
    for id in ids {
        let mut client = client.clone();
        calls.spawn(async move { client.after_remove_black(event(&id)).await });
    }
    calls.join_all().await.into_iter().for_each(|answer| drop(answer.unwrap()));
    assert_eq!(example.audited().len(), 2 + 4);
    let mut client = client;
    for _ in 0..2 {
        client.after_remove_black(AfterRemoveBlackRequest::default()).await.unwrap();
    }
    assert_eq!(example.audited().len(), 2 + 4 + 2, "nothing tells events without an ID apart");
}

fn event(id: &str) -> Request<AfterRemoveBlackRequest> {
    let mut request = Request::new(AfterRemoveBlackRequest::default());
    request.metadata_mut().insert("hookgate-event-id", id.parse().unwrap());
    request
}

async fn an_event_that_cannot_be_audited_is_kept(language: &'static Language) {
    let full = std::path::PathBuf::from("/dev/full");
    // Only Linux has a disk that is always full.
    if !full.exists() {
        return;
    }
    let example = Example::auditing_to(language, &["--word", "x"], full).await;
    let mut client = RelationPolicyServiceClient::new(connect(&example).await);
    for _ in 0..2 {
        let status = client.after_remove_black(event("e1")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(!status.message().is_empty() && !status.message().contains('\n'), "{status:?}");
    }
}

async fn words_come_from_a_file(language: &'static Language) {
    let words = language.file("words");
    std::fs::write(&words, "# not this\n\nкАзино\r\n 赌场 \n").unwrap();
    let example = Example::with(language, &["--words", words.to_str().unwrap(), "--word", "poker"]).await;
    let gate = example.gate(&format!("example-file-{}", language.name)).await;
    for word in ["КАЗИНО", "去赌场吧", "Poker"] {
        assert_eq!(denied(post(&gate, "beforeSendSingleMsg", text(word)).await).0, 5001, "{word}");
    }
    for other in ["not this", "", " ", "#"] {
        assert_eq!(post(&gate, "beforeSendSingleMsg", text(other)).await, allowed(), "{other:?}");
    }
}

async fn what_is_wrong_at_the_start_is_said_in_a_sentence(language: &'static Language) {
    let missing = language.file("missing");
    let not_text = language.file("not-text");
    std::fs::write(&not_text, b"casino\n\xff\xfe\n").unwrap();
    let example = Example::start(language).await;
    let [missing, not_text] = [&missing, &not_text].map(|file| file.to_str().unwrap());
    let folder = std::env::temp_dir();
    for (args, about) in [
        (["--words", missing], missing),
        (["--words", not_text], not_text),
        (["--audit", folder.to_str().unwrap()], folder.to_str().unwrap()),
        (["--listen", &example.address], &example.address),
    ] {
        let (status, said) = language.fails(&args).await;
        assert_eq!(status.code(), Some(1), "{args:?}: {said}");
        let said: Vec<_> = said.lines().filter(|line| !line.starts_with("no words")).collect();
        // gRPC may have lines of its own about an address, before the sentence.
        let one = said.len() == 1 || args[0] == "--listen";
        assert!(one && said.last().is_some_and(|line| line.contains(about)), "{args:?}: {said:?}");
    }
    let (status, _) = language.fails(&["--nonsense"]).await;
    assert_eq!(status.code(), Some(2));
    assert_eq!(health(&example, "").await.unwrap(), ServingStatus::Serving, "the first one goes on");
}

async fn the_other_rpcs_are_unimplemented(language: &'static Language) {
    let example = Example::start(language).await;
    let gate = example.gate(&format!("example-others-{}", language.name)).await;
    for command in ["callbackBeforeAddBlackCommand", "callbackBeforeUserRegisterCommand", "callbackBeforeNewCommand"] {
        let reply = gate.post(command, "{}").await;
        assert_eq!(reply.headers["hookgate-outcome"], "failed-closed:unimplemented", "{command}");
    }
}

async fn health(example: &Example, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(connect(example).await).check(request).await.map(|answer| answer.into_inner().status())
}

async fn it_has_health_and_reflection(language: &'static Language) {
    let example = Example::start(language).await;
    assert_eq!(health(&example, "").await.unwrap(), ServingStatus::Serving);
    assert_eq!(health(&example, "no.such.Service").await.unwrap_err().code(), Code::NotFound);
    let request = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let mut asked = vec![request(MessageRequest::ListServices(String::new()))];
    let services = ["Message", "Relation", "Group"].map(|area| format!("openim.policy.v1.{area}PolicyService"));
    asked.extend(services.iter().map(|service| request(MessageRequest::FileContainingSymbol(service.clone()))));
    let answers = match reflect(&example, "v1", asked.clone()).await {
        Ok(answers) => answers,
        // All that gRPC for Python has. The messages are the same.
        Err(status) if status.code() == Code::Unimplemented => reflect(&example, "v1alpha", asked).await.unwrap(),
        Err(status) => panic!("{status:?}"),
    };
    let MessageResponse::ListServicesResponse(listed) = &answers[0] else { panic!("{:?}", answers[0]) };
    let listed: Vec<_> = listed.service.iter().map(|service| &service.name).collect();
    assert!(services.iter().all(|service| listed.contains(&service)), "{listed:?}");
    for answer in &answers[1..] {
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{answer:?}");
    }
}

async fn reflect(
    example: &Example,
    version: &str,
    asked: Vec<ServerReflectionRequest>,
) -> Result<Vec<MessageResponse>, Status> {
    let mut client = tonic::client::Grpc::new(connect(example).await).max_decoding_message_size(16 << 20);
    client.ready().await.unwrap();
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo").parse().unwrap();
    let codec = ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
    let answers = client.streaming(Request::new(tokio_stream::iter(asked)), path, codec).await?.into_inner();
    answers.map(|answer| answer.map(|answer| answer.message_response.unwrap())).collect().await
}

async fn odd_requests_do_it_no_harm(language: &'static Language) {
    let example = Example::start(language).await;
    let channel = connect(&example).await;
    let mut messages = MessagePolicyServiceClient::new(channel.clone());
    let message = |content: String| BeforeSendSingleMsgRequest {
        message: Some(ChatMessage { content_type: 101, content, ..ChatMessage::default() }),
        ..BeforeSendSingleMsgRequest::default()
    };
    let huge = format!("{{\"content\":\"{} casino\"}}", "a".repeat(5 << 20));
    for (content, code) in [
        (r#"{"content":"\u0000 casino"}"#.to_owned(), Some(5001)),
        (huge, Some(5001)),
        ("[".repeat(100_000), None),
        (format!("{{\"content\":\"x\",\"y\":{}", "[".repeat(100_000)), None),
        (r#"{"content":"\ud800"}"#.to_owned(), None),
    ] {
        let answer = messages.before_send_single_msg(message(content)).await.unwrap().into_inner();
        assert_eq!(answer.denial.map(|denial| denial.code), code);
    }
    messages.before_send_single_msg(BeforeSendSingleMsgRequest::default()).await.unwrap();
    GroupPolicyServiceClient::new(channel.clone())
        .before_create_group(BeforeCreateGroupRequest::default())
        .await
        .unwrap();

    // Callers in a hurry, callers that go away, and many at once. Those that give up have a connection of their own: an
    // HTTP/2 server may end one over which too many calls are given up.
    let hasty = MessagePolicyServiceClient::new(connect(&example).await);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..192 {
        let mut messages = if n % 3 == 2 { messages.clone() } else { hasty.clone() };
        calls.spawn(async move {
            let mut request = Request::new(message(format!("{{\"content\":\"{}\"}}", "a".repeat(100_000))));
            if n % 3 == 0 {
                request.set_timeout(Duration::from_millis(1));
            }
            let call = messages.before_send_single_msg(request);
            match n % 3 {
                0 => drop(call.await),
                1 => drop(tokio::time::timeout(Duration::from_micros(500), call).await),
                _ => assert!(call.await.unwrap().into_inner().denial.is_none()),
            }
        });
    }
    calls.join_all().await;
    let answer = messages.before_send_single_msg(message(r#"{"content":"casino"}"#.to_owned())).await.unwrap();
    assert_eq!(answer.into_inner().denial.unwrap().code, 5001);

    // What is no message to begin with does not get as far.
    let gate = example.gate(&format!("example-odd-{}", language.name)).await;
    let reply = gate.post("callbackBeforeSendSingleMsgCommand", "{\"content\":1}").await;
    assert_eq!(reply.headers["hookgate-outcome"], "refused");
    assert_eq!(denied(post(&gate, "beforeSendSingleMsg", text("casino")).await).0, 5001);
}

async fn hookgate_trigger_shows_the_denial(language: &'static Language) {
    let example = Example::with(language, &["--word", "spam"]).await;
    let gate = example.gate(&format!("example-trigger-{}", language.name)).await;
    // As docs/policies/README.md has it.
    let set = "message.content={\"content\":\"buy spam\"}";
    let to = format!("http://{}", gate.webhooks);
    let mut trigger = hookgate(&["trigger", "beforeSendSingleMsg", "--set", set, "--to", &to, "--exit-code"]);
    trigger.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).env("HOME", env!("CARGO_TARGET_TMPDIR"));
    let output = trigger.output().await.unwrap();
    assert_eq!(output.status.code(), Some(3), "stopped");
    let said = String::from_utf8(output.stdout).unwrap();
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies/README.md"));
    let line = said.lines().find(|line| line.starts_with("OpenIM 3.8.4")).unwrap();
    assert!(line.contains("errCode 5001") && manual.contains(line), "{line}");
}

async fn hookgate_verify_finds_nothing_wrong(language: &'static Language) {
    let example = Example::start(language).await;
    let output = hookgate(&["verify", "--policy", &example.url(), "--json"]).output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report:#}");
    let implemented = report["callbacks"].as_array().unwrap().iter().filter(|callback| callback["implemented"] == true);
    assert_eq!(implemented.count(), 9);
    assert_eq!((&report["totals"]["failed"], &report["totals"]["warnings"]), (&json!(0), &json!(0)), "{report:#}");
}

async fn it_stops_when_it_is_told(language: &'static Language) {
    let example = Example::start(language).await;
    // hookgate is connected all the time.
    let gate = example.gate(&format!("example-stops-{}", language.name)).await;
    assert_eq!(post(&gate, "beforeSendSingleMsg", text("hello")).await, allowed());
    assert_eq!(example.terminate().await.code(), Some(language.stopped));
}
