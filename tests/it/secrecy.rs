//! No content and no secret in anything that hookgate says, at any level: markers are planted in every text of every
//! callback's body and in every secret, and looked for in all that comes out.

mod changes;
mod outbox;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use changes::CHANGE;
use hookgate::contract::Callback;
use hookgate::contract::{Field, Id, Kind, Message};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tonic::Status;

use crate::support::collector::Collector;
use crate::support::program::{ALL_LOGS, EVERYTHING_FREE, Running, configured, hookgate};
use crate::support::{Policy, Reply, denial, file, send};

/// In every text of a body that is the ID of a user or a group. The decision log alone may have it.
const ID: &str = "markedId";

/// In every other text of a body that may be shown by the built-in policy, and by nothing else.
const TEXT: &str = "markedText";

/// In every text of a body that is content: redacted, or unknown.
const CONTENT: &str = "markedContent";

/// In what the policy says to API clients.
const WORDS: &str = "markedWords";

/// In every secret: those that are right, and those of callers that may not call.
const SECRET: &str = "markedSecret";

/// The same at the start of a user and password, as OpenIM's client sends what stands in its url.
const SECRET_IN_BASE64: &str = "bWFya2VkU2VjcmV0";

/// Who calls: the path before the command, and the user and password.
type Caller = (&'static str, &'static str);

/// Knows all that the rules ask for.
const GOOD: Caller = ("markedSecretPath", "markedSecret:password");

/// Know the half of it, or what was true once.
const BAD: [Caller; 3] = [
    ("markedSecretPath", "markedSecret:other"),
    ("markedSecretOldPath", "markedSecret:password"),
    ("markedSecretPathAndMore", "markedSecretUser"),
];

/// The rules, with a second line each, which nobody knows.
fn access(name: &str) -> String {
    let passwords = file(&format!("{name}-passwords"), "markedSecret:password\nmarkedSecret:next");
    let paths = file(&format!("{name}-paths"), "markedSecretPath\nmarkedSecretNextPath");
    format!("access: {{passwords: {passwords}, paths: {paths}}}")
}

/// What the policy does.
const MODES: [&str; 9] = ["allow", "change", "deny", "refuse", "fail", "unavailable", "panic", "garble", "late"];

async fn policy() -> (Policy, Arc<AtomicUsize>) {
    let mode = Arc::new(AtomicUsize::new(0));
    let (now, calls) = (mode.clone(), AtomicUsize::new(0));
    let policy = Policy::start_async(move |call| {
        let mode = MODES[now.load(SeqCst)];
        // Every other time all changes at once, some of which are refused, else one of them.
        let call_number = calls.fetch_add(1, SeqCst);
        let only = (call_number % 2 == 1).then_some(call_number / 2);
        Box::pin(async move {
            match mode {
                _ if call.rpc.ends_with("Health/Check") => Err(Status::unimplemented("no health")),
                "allow" => Ok(Vec::new()),
                "change" => Ok(changes::response(&call.rpc, only)),
                "deny" => Ok(denial(5001, WORDS)),
                "refuse" => Err(Status::permission_denied(WORDS)),
                "fail" => Err(Status::internal("out of order")),
                "unavailable" => Err(Status::unavailable("elsewhere")),
                "panic" => panic!("the policy, not hookgate"),
                "garble" => Ok(vec![0xff, 0xff, 0xff]),
                _ => std::future::pending().await,
            }
        })
    })
    .await;
    (policy, mode)
}

fn marker(field: &Field) -> &'static str {
    match field.id {
        Some(Id::User | Id::Group) => ID,
        None if field.redact => CONTENT,
        None => TEXT,
    }
}

/// Replaces every text of a body by a marker of its kind, and adds content that the contract does not know. Says how
/// many were planted.
fn plant(message: &Message, body: &mut Value) -> usize {
    let Value::Object(members) = body else { return 0 };
    let mut planted = 0;
    for (name, value) in members.iter_mut() {
        let field = message.fields.iter().find(|field| field.json == name || field.aliases.contains(&&**name)).unwrap();
        let marker = marker(field);
        let entries = match value {
            Value::Array(entries) => entries.iter_mut().collect::<Vec<_>>(),
            single => vec![single],
        };
        for entry in entries {
            match field.kind {
                Kind::Message(inner) => planted += plant(inner, entry),
                Kind::String if field.name != "callback_command" && entry.is_string() => {
                    planted += 1;
                    *entry = format!("{marker}-{}-{planted}", field.json).into();
                }
                _ => {}
            }
        }
    }
    members.insert("fieldOfTomorrow".to_owned(), json!({"deep": [CONTENT, {"deeper": CONTENT}]}));
    planted + 2
}

/// Bodies of a callback with markers: one that is right, and some that are refused.
fn bodies(callback: &Callback) -> Vec<String> {
    let mut body: Value = serde_json::from_str(callback.example).unwrap();
    assert!(plant(callback.request, &mut body) > 2, "{} has no text", callback.command);
    let right = body.to_string();
    let mut wrong = vec![right[..right.len() - 3].to_owned(), format!("\"{CONTENT}\""), format!("{right} {CONTENT}")];
    let fields = body.as_object().unwrap();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "fieldOfTomorrow") {
        let mut odd = fields.clone();
        // A text where a number should be, and a list where a text should be; where null stood it may be right.
        let field = callback.request.fields.iter().find(|field| field.json == name).unwrap();
        odd[name] = if value.is_string() { json!([CONTENT]) } else { marker(field).into() };
        wrong.push(Value::from(odd).to_string());
        wrong.push(right.replacen('{', &format!("{{\"{name}\":\"{CONTENT}\","), 1));
    }
    wrong.insert(0, right);
    wrong
}

/// Posts a body with every secret: the caller's, and those that OpenIM's url may have besides.
async fn post(address: std::net::SocketAddr, (path, password): Caller, command: &str, body: String) -> Reply {
    let url = format!("http://{address}/{path}/{command}?token=markedSecretQuery&key=markedSecretKey");
    let request = http::Request::post(url)
        .header("operationID", "op-7")
        .header("authorization", format!("Basic {}", STANDARD.encode(password)))
        .body(Full::from(body));
    send(request.unwrap()).await
}

/// Posts every body of every callback, and of a command that is not known; gives the replies.
async fn post_all(hookgate: &Running) -> Vec<Reply> {
    let mut posts = JoinSet::new();
    let mut replies = Vec::new();
    let callbacks = Callback::all().iter().flat_map(|callback| {
        let commands = [callback.command].into_iter().chain(callback.older_commands.iter().copied());
        commands.flat_map(|command| bodies(callback).into_iter().map(move |body| (command, body)))
    });
    let unknown = format!("{{\"content\":\"{CONTENT}\",\"sendID\":\"{ID}\"}}");
    let others = ["callbackBeforeTomorrowCommand", "callbackAfterTomorrowCommand", "nowhere"];
    let all: Vec<_> = callbacks.chain(others.map(|command| (command, unknown.clone()))).collect();
    for (command, body) in all {
        posts.spawn(post(hookgate.webhooks, GOOD, command, body));
        if posts.len() >= 50 {
            replies.extend(posts.join_next().await.map(Result::unwrap));
        }
    }
    replies.extend(posts.join_all().await);
    replies
}

#[track_caller]
fn lacks(what: &str, text: &str, markers: &[&str]) {
    for marker in markers {
        if let Some(place) = text.find(marker) {
            let line = text[..place].rfind('\n').map_or(0, |start| start + 1);
            let end = text[place..].find('\n').map_or(text.len(), |end| place + end);
            panic!("{what} has {marker}: {}", &text[line..end]);
        }
    }
}

/// What is in secrets, and these.
fn secrets_and(others: &[&'static str]) -> Vec<&'static str> {
    [&[SECRET, SECRET_IN_BASE64], others].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_webhook_is_in_anything_that_hookgate_says() {
    let (policy, mode) = policy().await;
    let collector = Collector::start().await;
    let yaml = "budget: 1s\ndecisions: {to: stdout}\nchannel: {breaker_failures: 1000000}\n\
                after: {answer_within: 0s, attempts: 2, retry_max: 100ms}\ndrain: {time: 3s}";
    let yaml = format!("log: {ALL_LOGS}\n{yaml}\n{}\ntraces: {{endpoint: '{}'}}", access("secrecy"), collector.url());
    let mut hookgate = Running::of(configured(&policy.url(), "secrecy", &yaml)).await;
    let mut stdout = hookgate.child.stdout.take().unwrap();
    let decisions = tokio::spawn(async move {
        let mut text = String::new();
        stdout.read_to_string(&mut text).await.unwrap();
        text
    });
    let of_webhooks = secrets_and(&[ID, TEXT, CONTENT, CHANGE]);
    let of_everybody = secrets_and(&[ID, TEXT, CONTENT, CHANGE, WORDS]);
    let mut spans = 0;
    for (place, name) in MODES.iter().enumerate() {
        mode.store(place, SeqCst);
        for reply in post_all(&hookgate).await {
            let text = String::from_utf8_lossy(&reply.body);
            let head = format!("{:?}", reply.headers);
            lacks("a head", &head, &of_everybody);
            lacks("a reply", &text, &secrets_and(&[]));
            // An allow hands back the webhook's own values where OpenIM would lose them.
            if reply.json()["nextCode"] == 1 {
                lacks(&format!("a denial ({name})"), &text, &of_webhooks);
            }
        }
        for caller in BAD {
            for callback in Callback::all().iter().step_by(10) {
                let right = bodies(callback).swap_remove(0);
                let reply = post(hookgate.webhooks, caller, callback.command, right).await;
                assert_eq!(reply.status, 401);
                let text = format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body));
                lacks("a reply to a stranger", &text, &of_everybody);
            }
        }
        for span in collector.take() {
            lacks("a span", &span.whole, &of_everybody);
            spans += 1;
        }
        for path in ["/status", "/metrics", "/readyz", "/outbox"] {
            let told = hookgate.ask(path).await;
            lacks(path, &String::from_utf8_lossy(&told.body), &of_everybody);
        }
    }
    let status = hookgate.status().await;
    hookgate.signal("-INT").await;
    let (code, said) = hookgate.end().await;
    assert_eq!(code, Some(0));
    let decisions = decisions.await.unwrap();
    for span in collector.take() {
        lacks("a span", &span.whole, &of_everybody);
        spans += 1;
    }
    assert!(spans > Callback::all().len(), "{spans} spans");
    // What is looked through is all there, and of every kind.
    assert!(!said.contains("lines dropped"), "the proof needs all of it");
    for part in [
        "TRACE",
        "DEBUG",
        "INFO",
        "WARN",
        "webhook denied",
        "webhook failed closed",
        "webhook refused",
        "event dead-lettered",
        "caller refused",
    ] {
        assert!(said.contains(part), "the log has no {part}");
    }
    let outcomes = ["allow", "changed", "deny", "accepted", "undelivered", "refused", "failed-closed:error"];
    let failures = ["failed-closed:unavailable", "failed-closed:deadline", "failed-closed:invalid_reply"];
    for outcome in outcomes.iter().chain(&failures) {
        assert!(decisions.contains(&format!("\"outcome\":\"{outcome}\"")), "no decision was {outcome}");
    }
    assert!(decisions.contains(ID));
    for reason in ["password", "path"] {
        assert!(status["callers_refused"][reason].as_u64() > Some(0), "{}", status["callers_refused"]);
    }
    assert_eq!(status["callbacks"].as_object().unwrap().len(), Callback::all().len() + 1);
    lacks("the log", &said, &of_everybody);
    lacks("the decision log", &decisions, &secrets_and(&[TEXT, CONTENT, CHANGE, WORDS]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_built_in_policy_shows_calls_without_their_content() {
    for format in ["text", "json"] {
        let options = ["--log", ALL_LOGS, "--log-format", format];
        let hookgate = Running::of(hookgate(&[&EVERYTHING_FREE[..], &options].concat())).await;
        post_all(&hookgate).await;
        hookgate.signal("-INT").await;
        let (code, said) = hookgate.end().await;
        assert_eq!(code, Some(0));
        assert!(said.contains(ID) && said.contains(TEXT), "it shows calls");
        lacks("the log", &said, &secrets_and(&[CONTENT]));
    }
}
