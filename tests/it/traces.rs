//! Traces, as a collector gets them: a real receiver of OTLP, and what the policy is told.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use hookgate::config::Config;
use hookgate::internals::observe::Traces;
use hookgate::internals::policy::{self, Channel};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;

use crate::support::collector::{CLIENT, Collector, SERVER, Seen};
use crate::support::program::{Running, configured};
use crate::support::refusing::{Act, Refusing};
use crate::support::{self, Gate, Policy, Reply, config};

const BEFORE: &str = "callbackBeforeSendSingleMsgCommand";
const AFTER: &str = "callbackAfterRemoveBlackCommand";

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// hookgate before a policy, and its traces.
async fn traced(url: &str, config: Config) -> (Gate, Traces) {
    let traces = Traces::start(&config.traces).unwrap();
    let channel = Channel::connect(url.parse().unwrap(), &config.channel, &config.policy_tls);
    let policy = policy::Policy::over(channel, config.limits.reply).traced(traces.clone());
    (Gate::with_policy(policy, config).await, traces)
}

/// As in every test, and traced.
fn sent_to(collector: &str) -> Config {
    let mut config = config();
    config.traces.endpoint = Some(collector.parse().unwrap());
    config
}

/// Posts what has these headers.
async fn post(gate: &Gate, command: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = http::Request::post(format!("http://{}/{command}", gate.address)).header("operationID", "op-7");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    gate.send(request.body(Full::new(Bytes::from_static(b"{}"))).unwrap()).await
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// What a span's child is told of it.
fn names(span: &Seen) -> String {
    format!("00-{}-{}-01", span.trace, span.id)
}

/// The spans exported, dropped by the queue, and failed.
fn counts(traces: &Traces) -> [u64; 3] {
    let counts = traces.counts().unwrap();
    [&counts.exported, &counts.queue_full, &counts.failed].map(|count| count.load(Relaxed))
}

#[tokio::test]
async fn a_callback_with_one_retry() {
    let collector = Collector::start().await;
    let policy = Refusing::start(&[Act::Reset(Reason::REFUSED_STREAM)]).await;
    let (gate, traces) = traced(&policy.url(), sent_to(&collector.url())).await;
    let reply = post(&gate, BEFORE, &[]).await;
    assert_eq!(reply.headers["hookgate-outcome"], "allow");
    gate.stop().await;

    let spans = collector.take();
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert_eq!(counts(&traces), [3, 0, 0]);
    let webhook = spans.iter().find(|span| span.kind == SERVER).unwrap();
    assert_eq!(webhook.name, "MessagePolicyService/BeforeSendSingleMsg");
    assert_eq!(webhook.parent, "");
    assert_eq!(webhook.service, "hookgate");
    assert_eq!(webhook.get("openim.operation_id"), "op-7");
    assert_eq!(webhook.get("openim.command"), BEFORE);
    assert_eq!(webhook.get("hookgate.outcome"), "allow");
    assert!(!webhook.failed);

    let mut attempts: Vec<_> = spans.iter().filter(|span| span.kind == CLIENT).collect();
    attempts.sort_by_key(|span| span.began);
    let calls = policy.calls();
    for (attempt, call) in attempts.iter().zip(&calls) {
        assert_eq!(attempt.name, "openim.policy.v1.MessagePolicyService/BeforeSendSingleMsg");
        assert_eq!((&attempt.trace, &attempt.parent), (&webhook.trace, &webhook.id));
        assert!(webhook.began <= attempt.began && attempt.ended <= webhook.ended);
        assert_eq!(attempt.get("rpc.system"), "grpc");
        assert_eq!(attempt.get("rpc.service"), "openim.policy.v1.MessagePolicyService");
        assert_eq!(attempt.get("rpc.method"), "BeforeSendSingleMsg");
        assert_eq!(attempt.get("openim.operation_id"), "op-7");
        // The policy's own span stands under this one.
        assert_eq!(call["traceparent"], names(attempt));
        let event_id = call["hookgate-event-id"].to_str().unwrap();
        assert_eq!((webhook.get("hookgate.event_id"), attempt.get("hookgate.event_id")), (event_id, event_id));
    }
    assert_eq!((attempts.len(), calls.len()), (2, 2));
    // What nobody has seen has a status all the same.
    assert_eq!(attempts.iter().map(|span| span.failed).collect::<Vec<_>>(), [true, false]);
    assert_ne!(attempts[0].get("rpc.grpc.status_code"), "0");
    assert_eq!(attempts[1].get("rpc.grpc.status_code"), "0");
}

#[tokio::test]
async fn a_caller_that_traces() {
    let collector = Collector::start().await;
    let policy = Policy::start(|_| Err(Status::internal("never shown: SECRET"))).await;
    // Even where no other webhook is.
    let mut config = sent_to(&collector.url());
    config.traces.sample = 0.0;
    let (gate, _) = traced(&policy.url(), config).await;
    post(&gate, BEFORE, &[("traceparent", &traceparent("01")), ("tracestate", "a=1%20"), ("tracestate", "b=2")]).await;
    post(&gate, BEFORE, &[]).await;
    gate.stop().await;

    let spans = collector.take();
    let [attempt, webhook] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!((webhook.kind, &*webhook.trace, &*webhook.parent), (SERVER, TRACE, CALLER));
    assert_eq!((&*attempt.trace, &attempt.parent), (TRACE, &webhook.id));
    assert_eq!((webhook.get("hookgate.outcome"), webhook.failed), ("failed-closed:error", true));
    assert_eq!((attempt.get("rpc.grpc.status_code"), attempt.failed), ("13", true));
    let calls = policy.take_calls();
    assert_eq!(calls[0].metadata("traceparent"), Some(&*names(attempt)));
    assert_eq!(calls[0].metadata("tracestate"), Some("a=1%20,b=2"));
    // The policy hears that the other one is not traced.
    assert!(calls[1].metadata("traceparent").unwrap().ends_with("-00"));
    assert!(!format!("{spans:?}").contains("SECRET"));
}

#[tokio::test]
async fn a_caller_that_does_not_trace() {
    let collector = Collector::start().await;
    let policy = Policy::allow().await;
    let (gate, _) = traced(&policy.url(), sent_to(&collector.url())).await;
    post(&gate, BEFORE, &[("traceparent", &traceparent("00")), ("tracestate", "a=1")]).await;
    // What makes no sense is no trace of anybody's.
    post(&gate, AFTER, &[("traceparent", "00-rubbish"), ("tracestate", "a=1")]).await;
    gate.stop().await;

    let calls = policy.take_calls();
    assert_eq!(calls[0].metadata("traceparent"), Some(&*traceparent("00")));
    assert_eq!(calls[0].metadata("tracestate"), Some("a=1"));
    let spans = collector.take();
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace != TRACE && span.get("openim.command") == AFTER));
    assert_eq!(calls[1].metadata("tracestate"), None);
}

#[tokio::test]
async fn without_a_collector_the_callers_goes_to_the_policy_as_it_came() {
    let policy = Policy::allow().await;
    let gate = Gate::start(&policy.url()).await;
    post(&gate, BEFORE, &[("traceparent", &traceparent("01")), ("tracestate", "a=1%20")]).await;
    post(&gate, AFTER, &[("traceparent", &traceparent("00"))]).await;
    post(&gate, BEFORE, &[]).await;
    post(&gate, BEFORE, &[("traceparent", &"1".repeat(1_000)), ("tracestate", &"1".repeat(1_000))]).await;
    let told = |call: support::Call| {
        let value = |name| call.metadata(name).map(str::to_owned);
        (value("traceparent"), value("tracestate"))
    };
    let told: Vec<_> = policy.take_calls().into_iter().map(told).collect();
    let expected = [
        (Some(traceparent("01")), Some("a=1%20".to_owned())),
        (Some(traceparent("00")), None),
        (None, None),
        // A gRPC server would end the connection over metadata that is too long.
        (None, None),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn an_event_that_is_delivered_behind_its_reply() {
    let collector = Collector::start().await;
    let answers = std::sync::Mutex::new(vec![Ok(Vec::new()), Err(Status::unavailable("not yet"))]);
    let (replied, was_replied) = watch::channel(false);
    let policy = Policy::start_async(move |_| {
        let answer = answers.lock().unwrap().pop().unwrap();
        let mut replied = was_replied.clone();
        Box::pin(async move {
            replied.wait_for(|replied| *replied).await.unwrap();
            answer
        })
    })
    .await;
    let mut config = sent_to(&collector.url());
    config.after.answer_within = Duration::ZERO;
    config.after.retry_min = Duration::from_millis(1);
    let (gate, _) = traced(&policy.url(), config).await;
    let reply = post(&gate, AFTER, &[]).await;
    assert_eq!(reply.headers["hookgate-outcome"], "accepted");
    replied.send_replace(true);
    gate.events.idle().await;
    gate.stop().await;

    let spans = collector.take();
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let webhook = spans.iter().find(|span| span.kind == SERVER).unwrap();
    assert_eq!(webhook.get("hookgate.outcome"), "accepted");
    let mut attempts: Vec<_> = spans.iter().filter(|span| span.kind == CLIENT).collect();
    attempts.sort_by_key(|span| span.began);
    for (attempt, number) in attempts.iter().zip(["1", "2"]) {
        assert_eq!((&attempt.trace, &attempt.parent), (&webhook.trace, &webhook.id));
        assert_eq!(attempt.get("hookgate.attempt"), number);
        assert_eq!(attempt.get("hookgate.event_id"), webhook.get("hookgate.event_id"));
        assert!(attempt.ended > webhook.ended);
    }
    assert_eq!(attempts.iter().map(|span| span.get("rpc.grpc.status_code")).collect::<Vec<_>>(), ["14", "0"]);
}

#[tokio::test]
async fn an_answer_that_comes_too_late() {
    let collector = Collector::start().await;
    let (policy, _asked, _release) = Policy::that_waits().await;
    let mut config = sent_to(&collector.url());
    config.budget = Duration::from_millis(500);
    let (gate, _) = traced(&policy.url(), config).await;
    let reply = post(&gate, BEFORE, &[]).await;
    // Whoever is the first to end the call: the policy's server knows the deadline too.
    assert_eq!(reply.headers["hookgate-outcome"], "failed-closed:deadline");
    // The policy sees the deadline and ends the call; its span ends then.
    let spans = collector.until(2).await;
    let attempt = spans.iter().find(|span| span.kind == CLIENT).unwrap();
    assert!(attempt.failed);
    assert_ne!(attempt.get("rpc.grpc.status_code"), "0");
    gate.stop().await;
}

#[tokio::test]
async fn the_program_sends_the_last_ones_before_it_ends() {
    let collector = Collector::start().await;
    let policy = Policy::allow().await;
    let yaml = format!("traces: {{endpoint: '{}'}}\ndrain: {{delay: 0s}}", collector.url());
    let program = Running::of(configured(&policy.url(), "traces-last", &yaml)).await;
    for _ in 0..10 {
        assert_eq!(program.post(BEFORE, "{}").await.status, 200);
    }
    program.signal("-TERM").await;
    assert_eq!(program.end().await.0, Some(0));
    let spans = collector.take();
    assert_eq!(spans.iter().filter(|span| span.kind == SERVER).count(), 10);
    assert_eq!(spans.iter().filter(|span| span.kind == CLIENT).count(), 10);
}

#[tokio::test]
async fn a_collector_that_is_down_or_hangs() {
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (down, hanging) = ("http://127.0.0.1:1".to_owned(), format!("http://{}", hangs.local_addr().unwrap()));
    for (collector, down) in [(down, true), (hanging, false)] {
        let policy = Policy::allow().await;
        let mut config = sent_to(&collector);
        config.drain.time = Duration::from_secs(if down { 60 } else { 1 });
        let (gate, traces) = traced(&policy.url(), config).await;
        for _ in 0..100 {
            assert_eq!(post(&gate, BEFORE, &[]).await.headers["hookgate-outcome"], "allow");
        }
        gate.stop().await;
        let [exported, queue_full, failed] = counts(&traces);
        assert_eq!((exported, queue_full), (0, 0));
        if down {
            assert_eq!(failed, 200);
        }
    }
}

#[tokio::test]
async fn spans_are_dropped_and_counted_while_the_queue_is_full() {
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let policy = Policy::allow().await;
    let mut config = sent_to(&format!("http://{}", hangs.local_addr().unwrap()));
    config.drain.time = Duration::from_secs(1);
    let (gate, traces) = traced(&policy.url(), config).await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let url = format!("http://{}/{BEFORE}", gate.address);
    let webhook = || http::Request::post(&url).body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    let mut spans = 0;
    while counts(&traces)[1] == 0 {
        let replies = join_all((0..64).map(|_| client.request(webhook()))).await;
        assert!(replies.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.status() == 200)));
        spans += 128;
    }
    let [exported, queue_full, failed] = counts(&traces);
    gate.stop().await;
    assert_eq!(exported, 0);
    assert!(spans - queue_full - failed > 8_000, "{spans} {queue_full} {failed}");
}

#[tokio::test]
async fn open_telemetry_s_own_variables_hold() {
    let collector = Collector::start().await;
    let policy = Policy::allow().await;
    let sampled = ["-00", "", "-01"];
    // The webhooks that are traced: of a caller that does not sample, of none, of one that samples.
    type Variables = &'static [(&'static str, &'static str)];
    let table: [(Variables, [bool; 3], &str); 11] = [
        (&[], [false, true, true], ""),
        (&[("OTEL_SDK_DISABLED", "TRUE")], [false; 3], "traces off variable=\"OTEL_SDK_DISABLED\""),
        (&[("OTEL_SDK_DISABLED", "false")], [false, true, true], ""),
        (&[("OTEL_TRACES_EXPORTER", "none")], [false; 3], "traces off variable=\"OTEL_TRACES_EXPORTER\""),
        (&[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_TRACES_SAMPLER", "")], [false, true, true], ""),
        (
            &[("OTEL_TRACES_EXPORTER", "zipkin")],
            [false, true, true],
            "variable ignored variable=\"OTEL_TRACES_EXPORTER\"",
        ),
        (&[("OTEL_TRACES_SAMPLER", "always_on")], [true; 3], ""),
        (&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")], [false, false, true], ""),
        (
            &[("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")],
            [false, false, true],
            "",
        ),
        (
            &[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "many")],
            [true; 3],
            "variable ignored variable=\"OTEL_TRACES_SAMPLER_ARG\" value=\"many\"",
        ),
        (
            &[("OTEL_TRACES_SAMPLER", "jaeger")],
            [false, true, true],
            "variable ignored variable=\"OTEL_TRACES_SAMPLER\"",
        ),
    ];
    for (variables, traced, logged) in table {
        let yaml = format!("traces: {{endpoint: {}}}", collector.url());
        let mut command = configured(&policy.url(), "otel-variables", &yaml);
        command.envs(variables.iter().copied());
        let hookgate = Running::of(command).await;
        for flags in sampled {
            let mut request = http::Request::post(format!("http://{}/{BEFORE}", hookgate.webhooks));
            if let Some(flags) = flags.strip_prefix('-') {
                request = request.header("traceparent", traceparent(flags));
            }
            support::send(request.header("operationID", format!("op{flags}")).body("{}".into()).unwrap()).await;
        }
        hookgate.signal("-INT").await;
        let (_, said) = hookgate.end().await;
        assert!(said.contains(logged), "{variables:?}: {said}");
        let spans = collector.take();
        let seen = sampled.map(|flags| {
            spans.iter().any(|span| span.kind == SERVER && span.get("openim.operation_id") == format!("op{flags}"))
        });
        assert_eq!(seen, traced, "{variables:?}");
    }
}
