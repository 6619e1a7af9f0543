//! Every callback against its fixture, one test named after each command.
//!
//! A fixture tells stories in four parts: what the webhook sends, what the policy sees, what it says, what the webhook
//! reads. The judge of the middle two is prost-reflect over the embedded descriptors, so that the tables under test
//! never judge themselves. Two more tests see to it that the stories leave no field of the contract out.

#[path = "it/support/mod.rs"]
#[allow(dead_code, reason = "tests/it uses the rest")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hookgate::contract::Callback;
use libtest_mimic::{Arguments, Failed, Trial};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, SerializeOptions, Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use support::{Gate, Policy, Reply};

/// The fixture of the rpc that takes unknown commands; the others are named after their command.
const FALLBACK: &str = "fallback";

/// What `tests/fixtures/<command>.json` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    stories: Vec<Story>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    /// What it shows.
    story: String,
    /// The command to post to, where the row has none: in the fallback's stories.
    command: Option<String>,
    /// The query of the URL.
    query: Option<String>,
    /// The body, as it stands in the fixture.
    webhook_sends: Box<RawValue>,
    /// The rpc's request as protobuf JSON.
    policy_sees: serde_json::Value,
    /// gRPC metadata that comes with it, as far as the story is about that.
    #[serde(default)]
    policy_sees_metadata: BTreeMap<String, String>,
    /// The rpc's response as protobuf JSON.
    policy_says: serde_json::Value,
    /// The reply, whole.
    webhook_reads: serde_json::Value,
}

fn main() {
    let callbacks = callbacks().map(|(name, callback)| Trial::test(name, move || tell(name, callback)));
    let contract = [
        Trial::test("every_callback_has_a_fixture_and_every_fixture_a_callback", fixtures_and_callbacks_are_the_same),
        Trial::test("every_field_that_a_policy_can_see_is_in_a_story", || {
            every_field_is_told(|callback| support::method(callback.rpc).input(), |story| &story.policy_sees)
        }),
        Trial::test("every_field_that_a_policy_can_say_is_in_a_story", || {
            every_field_is_told(|callback| support::method(callback.rpc).output(), |story| &story.policy_says)
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), callbacks.chain(contract).collect()).exit();
}

/// Every row of the table, the fallback's too, with the name of its fixture.
fn callbacks() -> impl Iterator<Item = (&'static str, &'static Callback)> {
    let rows = Callback::all().iter().map(|callback| (callback.command, callback));
    rows.chain([(FALLBACK, Callback::fallback())])
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn stories(name: &str) -> Result<Vec<Story>, Failed> {
    let file = format!("{name}.json");
    let text = fs::read_to_string(fixtures().join(&file)).map_err(|error| format!("{file}: {error}"))?;
    let fixture: Fixture = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    Ok(fixture.stories)
}

/// Plays all stories of a callback, each on today's command and on the older ones.
fn tell(name: &str, callback: &'static Callback) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut failures = Vec::new();
    for story in stories(name)? {
        let own = story.command.as_deref().unwrap_or(callback.command);
        for command in callback.older_commands.iter().copied().chain([own]) {
            if let Err(difference) = runtime.block_on(play(&story, callback, command)) {
                failures.push(format!("{command}: {}\n{difference}", story.story));
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n").into()) }
}

async fn play(story: &Story, callback: &Callback, command: &str) -> Result<(), String> {
    let rpc = support::method(callback.rpc);
    let sees = message(rpc.input(), &story.policy_sees)?;
    let says = message(rpc.output(), &story.policy_says)?.encode_to_vec();
    let policy = Policy::start(move |_| Ok(says.clone())).await;
    let gate = Gate::start(&policy.url()).await;

    let query = story.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    // OpenIM ends its bodies with a newline since 3.7.
    let body = format!("{}\n", story.webhook_sends);
    let reply = gate.post(&format!("/{command}{query}"), body).await;

    let calls = policy.take_calls();
    let [call] = calls.as_slice() else {
        return Err(format!("the policy was asked {} times, and the webhook read {reply:?}", calls.len()));
    };
    same("the rpc", callback.rpc, &call.rpc)?;
    if call.request() != sees {
        return Err(differ("what the policy sees", &json(&sees), &json(&call.request())));
    }
    same("the command in the metadata", command, call.metadata("openim-command").unwrap_or_default())?;
    for (key, value) in &story.policy_sees_metadata {
        same(key, value, call.metadata(key).unwrap_or_default())?;
    }
    check_reply(&reply, &story.webhook_reads)
}

/// OpenIM looks at the body alone; the rest is for whoever stands between.
fn check_reply(reply: &Reply, reads: &serde_json::Value) -> Result<(), String> {
    let body = std::str::from_utf8(&reply.body).map_err(|error| error.to_string())?;
    if reply.json() != *reads {
        return Err(differ("what the webhook reads", &reads.to_string(), body));
    }
    let verdict = ["actionCode", "errCode", "errMsg", "errDlt", "nextCode"];
    let verdict = verdict.map(|name| format!("\"{name}\":{}", reads[name])).join(",");
    if !body.starts_with(&format!("{{{verdict}")) {
        return Err(differ("how the reply begins", &verdict, body));
    }
    if !is_compact(body) {
        return Err(format!("the reply is not compact: {body}"));
    }
    same("the status", "200 OK", &reply.status.to_string())?;
    let content_type = reply.headers.get("content-type").map(|value| value.as_bytes()).unwrap_or_default();
    same("the content type", "application/json", &String::from_utf8_lossy(content_type))
}

/// Whether no white space stands between the tokens of a JSON text.
fn is_compact(json: &str) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    json.chars().all(|character| {
        if character == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = character == '\\' && !escaped;
        in_string || !character.is_whitespace()
    })
}

fn fixtures_and_callbacks_are_the_same() -> Result<(), Failed> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(fixtures())? {
        files.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    let rows: BTreeSet<_> = callbacks().map(|(name, _)| format!("{name}.json")).collect();
    let without_fixture: Vec<_> = rows.difference(&files).collect();
    let without_callback: Vec<_> = files.difference(&rows).collect();
    if without_fixture.is_empty() && without_callback.is_empty() {
        return Ok(());
    }
    Err(format!("fixtures missing: {without_fixture:?}; fixtures of no callback: {without_callback:?}").into())
}

/// A field that has its default in all stories could be lost unnoticed.
fn every_field_is_told(
    descriptor: impl Fn(&Callback) -> MessageDescriptor,
    part: impl Fn(&Story) -> &serde_json::Value,
) -> Result<(), Failed> {
    let mut untold = Vec::new();
    for (name, callback) in callbacks() {
        let descriptor = descriptor(callback);
        let mut fields = BTreeSet::new();
        insert_fields(&descriptor, "", &mut fields);
        for story in stories(name)? {
            remove_told(&message(descriptor.clone(), part(&story))?, "", &mut fields);
        }
        untold.extend(fields.iter().map(|field| format!("{} {field}", descriptor.name())));
    }
    if untold.is_empty() { Ok(()) } else { Err(format!("in no story: {untold:#?}").into()) }
}

/// The fields of a message and of the messages that it holds, as in `message.send_id`.
fn insert_fields(descriptor: &MessageDescriptor, prefix: &str, fields: &mut BTreeSet<String>) {
    for field in descriptor.fields() {
        let path = format!("{prefix}{}", field.name());
        if let (Kind::Message(inner), false) = (field.kind(), field.is_map()) {
            insert_fields(&inner, &format!("{path}."), fields);
        }
        fields.insert(path);
    }
}

fn remove_told(message: &DynamicMessage, prefix: &str, fields: &mut BTreeSet<String>) {
    for (field, value) in message.fields() {
        let path = format!("{prefix}{}", field.name());
        let entries = value.as_list().unwrap_or(std::slice::from_ref(value));
        for inner in entries.iter().filter_map(Value::as_message) {
            remove_told(inner, &format!("{path}."), fields);
        }
        if *value != Value::default_value_for_field(&field) {
            fields.remove(&path);
        }
    }
}

fn message(descriptor: MessageDescriptor, json: &serde_json::Value) -> Result<DynamicMessage, String> {
    let name = descriptor.name().to_owned();
    DynamicMessage::deserialize(descriptor, json).map_err(|error| format!("the fixture holds no {name}: {error}"))
}

/// A message as a fixture would show it.
fn json(message: &DynamicMessage) -> String {
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut out = serde_json::Serializer::pretty(Vec::new());
    message.serialize_with_options(&mut out, &options).expect("a message has a JSON form");
    String::from_utf8(out.into_inner()).expect("JSON is UTF-8")
}

fn same(what: &str, expected: &str, actual: &str) -> Result<(), String> {
    if expected == actual { Ok(()) } else { Err(differ(what, expected, actual)) }
}

fn differ(what: &str, expected: &str, actual: &str) -> String {
    format!("{what}\n  expected: {expected}\n  actual:   {actual}")
}
