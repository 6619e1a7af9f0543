//! Compares the reading of bodies with that of Go's encoding/json.
//!
//! hookgate may refuse more than Go, for the reasons of [`STRICTER`]. What it takes, Go takes, with the same value in each
//! field.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate::contract::Callback;
use hookgate::contract::{self, DecodedMessage, Field, Kind, Label, Value as Wire};
use hookgate::openim::{self, Reading, Release};
use serde_json::{Value, json};

/// Bodies that Go takes and hookgate refuses, by a part of the refusal: two readings of one body, what Go mends in
/// silence, and what no Go program writes.
const STRICTER: [&str; 10] = [
    // One of two values.
    "appears twice",
    // C ends a key there.
    "contains NUL",
    // Go puts U+FFFD in the place of bad UTF-8 and of half a surrogate pair.
    "invalid unicode code point",
    "lone leading surrogate",
    "unexpected end of hex escape",
    // Go's bound is 10,000.
    "recursion limit exceeded",
    "is nested too deep",
    // Of a field that Go does not look at.
    "number out of range",
    // Go leaves the whole request, or the entry of a list, at zero.
    "not null",
    // Where the text of a number is -0: see `has_minus_zero`.
    "not a number with a fraction",
];

/// The program that reads JSON as Go does.
pub struct Go {
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _child: Child,
}

/// The program, started once. None where Go is not installed.
pub fn running() -> Option<&'static Go> {
    static GO: LazyLock<Option<Go>> = LazyLock::new(Go::start);
    GO.as_ref()
}

impl Go {
    fn start() -> Option<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/go/main.go");
        // cargo-fuzz builds from fuzz/ itself.
        let source = if source.exists() { source } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("go/main.go") };
        let program: PathBuf = std::env::temp_dir().join(format!("hookgate-encoding-json-{}", std::process::id()));
        let built = Command::new("go").arg("build").arg("-o").args([&program, &source]).status();
        match built {
            Ok(status) if status.success() => {}
            Ok(status) => panic!("go build: {status}"),
            Err(_) => return None,
        }
        let mut child =
            Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it was built");
        std::fs::remove_file(&program).expect("it is running");
        let (mut input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        writeln!(input, "{}", types()).expect("it reads");
        Some(Self { talk: Mutex::new((input, BufReader::new(output))), _child: child })
    }

    /// Asks Go for its reading of a body as the type at a place of [`types`].
    pub fn ask(&self, place: usize, body: &[u8]) -> Value {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let (input, output) = &mut *talk;
        writeln!(input, "{place} {}", STANDARD.encode(body)).expect("it reads");
        let mut line = String::new();
        output.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

/// The types of every request, then of every reply, in the order of the table.
fn types() -> Value {
    let requests = Callback::all().iter().map(|callback| fields(callback.request.fields));
    let replies = Callback::all().iter().map(|callback| {
        let code = |name| json!({"names": [name], "kind": "int32", "label": "plain"});
        let text = |name| json!({"names": [name], "kind": "string", "label": "plain"});
        let verdict = [code("actionCode"), code("nextCode"), code("errCode"), text("errMsg"), text("errDlt")];
        let request = |json: &&str| callback.request.fields.iter().find(|field| field.json == *json).map(field);
        let echoed = callback.response.echo_only.iter().filter_map(request);
        let changes = callback.response.fields.iter().skip(1).map(field);
        verdict.into_iter().chain(echoed).chain(changes).collect()
    });
    requests.chain(replies).collect()
}

fn fields(of: &[Field]) -> Value {
    of.iter().map(field).collect()
}

fn field(of: &Field) -> Value {
    let (kind, inner) = match of.kind {
        Kind::Bool => ("bool", None),
        Kind::Int32 => ("int32", None),
        Kind::Int64 => ("int64", None),
        Kind::Uint32 => ("uint32", None),
        Kind::CodePoint => ("code_point", None),
        Kind::String => ("string", None),
        Kind::Message(message) => ("message", Some(fields(message.fields))),
        // The JSON is the list or map that it wraps.
        Kind::Bare(wrapper) => {
            let mut wrapped = field(&wrapper.fields[0]);
            wrapped["names"] = json!([of.json]);
            return wrapped;
        }
    };
    let label = match of.label {
        Label::Plain => "plain",
        Label::Optional => "optional",
        Label::Repeated => "repeated",
        Label::Map => "map",
    };
    let names: Vec<_> = [&of.json].into_iter().chain(of.aliases).collect();
    json!({"names": names, "kind": kind, "label": label, "fields": inner})
}

/// Panics if hookgate reads in a request what Go does not.
pub fn compare_request(callback: &'static Callback, body: &[u8], go: &Value) {
    let case = || format!("{} {}\nGo: {go}", callback.command, body.escape_ascii());
    match contract::transcode(callback.request, callback.command, body) {
        Ok((message, drift)) => {
            assert_eq!(go["ok"], true, "taken: {}", case());
            assert_eq!(go["twice"], false, "{}", case());
            assert_eq!(go["unknown"], drift.unknown.count > 0, "unknown fields: {}", case());
            let record = DecodedMessage::decode(callback.request, &message).expect("what was written reads back");
            assert_eq!(go["value"], object(&record), "{}", case());
        }
        Err(refusal) => {
            let refusal = refusal.to_string();
            let is_stricter = STRICTER.iter().any(|reason| refusal.contains(reason))
                && (!refusal.contains("a fraction") || has_minus_zero(body));
            assert!(go["ok"] == false || is_stricter, "refused, {refusal}: {}", case());
        }
    }
}

/// -0 is a whole number to Go and a fraction to serde_json.
fn has_minus_zero(body: &[u8]) -> bool {
    body.windows(2).any(|two| two == b"-0")
}

/// Panics if `openim` judges a reply otherwise than Go reads it.
pub fn compare_reply(callback: &Callback, reply: &[u8], go: &Value) {
    let reading = openim::read(callback, b"{}", reply, Release::V3_8);
    let case = || format!("{} {}\nGo: {go}\njudged: {reading:?}", callback.command, reply.escape_ascii());
    assert_eq!(go["ok"] == false, matches!(reading, Reading::Unreadable { .. }), "{}", case());
    let code = |name: &str| go["value"][name].as_i64().unwrap_or_default();
    let denies = go["ok"] == true && code("actionCode") == 0 && code("nextCode") == 1;
    assert_eq!(denies, matches!(reading, Reading::Denied(_)), "{}", case());
}

/// A message as the Go program shows it: without what is the same as nothing.
fn object(record: &DecodedMessage<'_>) -> Value {
    let fields = record.message.fields.iter().zip(&record.values);
    let there = fields.filter_map(|(field, value)| Some((field.json.to_owned(), value_of(value.as_ref()?))));
    Value::Object(there.collect())
}

fn value_of(value: &Wire<'_>) -> Value {
    match value {
        Wire::Bool(value) => (*value).into(),
        Wire::Int(value) => (*value).into(),
        Wire::Text(text) => (*text).into(),
        Wire::Message(record) => object(record),
        Wire::List(entries) => entries.iter().map(value_of).collect(),
        Wire::Map(entries) => entries.iter().map(|(key, value)| ((*key).to_owned(), value_of(value))).collect(),
    }
}
