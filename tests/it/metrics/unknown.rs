//! Commands and fields that this build does not know: by name, and never more names than there is room for.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hookgate::contract::Callback;
use hookgate::contract::UnknownFields;
use hookgate::internals::observe::drift::{LONGEST_NAME, MOST_COMMANDS, MOST_FIELDS, NameCounters, OTHER};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use tokio::task::JoinSet;

use super::Scrape;
use crate::support::Policy;
use crate::support::program::{Running, configured};

const RPC: &str = "GroupPolicyService/BeforeCreateGroup";
const COMMAND: &str = "callbackBeforeCreateGroupCommand";

#[tokio::test]
async fn by_name() {
    let policy = Policy::allow().await;
    let program = Running::of(configured(&policy.url(), "metrics-unknown", "")).await;
    for _ in 0..2 {
        program.post(COMMAND, r#"{"color":1,"initMemberList":[{"userID":"a","mood":{}},{"mood":0}]}"#).await;
    }
    program.post("callbackBeforeTomorrowCommand", "{}").await;
    let scrape = Scrape::of(&program).await;
    let field = |name| scrape.get("unknown_fields", &[("rpc", RPC), ("field", name)]);
    assert_eq!(field("color"), Some(2.0));
    assert_eq!(field("initMemberList[].mood"), Some(4.0));
    assert_eq!(scrape.count("unknown_fields"), 2);
    assert_eq!(scrape.get("unknown_commands", &[("command", "callbackBeforeTomorrowCommand")]), Some(1.0));
    assert_eq!(scrape.count("unknown_commands"), 1);
}

#[tokio::test]
async fn ten_thousand_names_are_a_hundred_and_others() {
    const MANY: usize = 10_000;
    let policy = Policy::allow().await;
    let program = Running::of(configured(&policy.url(), "metrics-cardinality", "")).await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let webhooks = program.webhooks;
    let post = move |path: String, body: String| {
        let client = client.clone();
        async move {
            let request = http::Request::post(format!("http://{webhooks}/{path}")).body(Full::from(body)).unwrap();
            let reply = client.request(request).await.unwrap();
            assert_eq!(reply.status(), 200);
            reply.into_body().collect().await.unwrap();
        }
    };
    // A few at a time.
    let mut posts = JoinSet::new();
    for nth in 0..MANY {
        if posts.len() == 16 {
            posts.join_next().await.unwrap().unwrap();
        }
        posts.spawn(post(format!("callbackBeforeMadeUp{nth}Command"), "{}".to_owned()));
    }
    posts.join_all().await;
    for tenth in 0..10 {
        let mut body = "{".to_owned();
        for nth in 0..MANY / 10 {
            write!(body, r#""field{}":0,"#, tenth * MANY / 10 + nth).unwrap();
        }
        post(COMMAND.to_owned(), body.trim_end_matches(',').to_owned() + "}").await;
    }
    let scrape = Scrape::of(&program).await;
    assert_eq!(scrape.count("unknown_commands"), MOST_COMMANDS + 1);
    let others = (MANY - MOST_COMMANDS) as f64;
    assert_eq!(scrape.get("unknown_commands", &[("command", OTHER)]), Some(others));
    assert_eq!(scrape.count("unknown_fields"), MOST_FIELDS + 1);
    let others = (MANY - MOST_FIELDS) as f64;
    assert_eq!(scrape.get("unknown_fields", &[("rpc", RPC), ("field", OTHER)]), Some(others));
    // Whatever the callers say, it is all of one rpc.
    assert_eq!(
        scrape.get("callbacks", &[("rpc", "FallbackPolicyService/UnknownCallback"), ("outcome", "allow")]),
        Some(MANY as f64)
    );
}

#[test]
fn names_are_cut_and_cleaned() {
    let counters = NameCounters::default();
    let now = SystemTime::now();
    let millis = now.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    counters.count_unknown_command(&"é".repeat(LONGEST_NAME), millis);
    counters.count_unknown_command("callback\u{1b}[31m\n", millis);
    let report = counters.report(None);
    let names: Vec<_> = report.unknown_commands.into_iter().map(|command| command.name).collect();
    assert_eq!(names, ["callback?[31m?".to_owned(), "é".repeat(LONGEST_NAME / 2)]);

    let callback = Callback::by_command(COMMAND).unwrap();
    let paths = ["a[3].b[44].c", "a[5].b[6].c", r#"a[7]["[8] \"x"]"#, OTHER].map(str::to_owned);
    counters.count_unknown_fields(callback, &UnknownFields { paths: paths.to_vec(), count: 4 }, millis);
    counters.count_unknown_fields(
        callback,
        &UnknownFields { paths: vec!["x".to_owned(); 1_000], count: 2_000 },
        millis + 2_000,
    );
    let report = counters.report(None);
    let fields: Vec<_> = report.unknown_fields.iter().map(|field| (field.name.clone(), field.count)).collect();
    // Of a body so many fields have a path.
    let expected = [("a[].b[].c", 2), (r#"a[]["[8] \"x"]"#, 1), ("x", 1_000), (OTHER, 1_001)];
    assert_eq!(fields, expected.map(|(name, count)| (name.to_owned(), count)));
    let seconds = |first: u64, last: u64| {
        [first, last].map(|more| humantime::format_rfc3339_seconds(now + Duration::from_secs(more)).to_string())
    };
    let times = report.unknown_fields.into_iter().map(|field| [field.first_seen, field.last_seen]);
    assert_eq!(times.collect::<Vec<_>>(), [seconds(0, 0), seconds(0, 0), seconds(2, 2), seconds(0, 2)]);
}
