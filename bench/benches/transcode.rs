//! The way of a webhook without its sockets: JSON to the request message, the response message to the reply.

#[allow(dead_code, unused_imports, reason = "the bodies alone")]
#[path = "../src/body.rs"]
mod body;

use std::hint::black_box;
use std::sync::Arc;

use body::Webhook;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hookgate::contract;
use hookgate::contract::proto::BeforeMsgModifyResponse;
use hookgate::contract::{Callback, Condition, Filter, Ids, Place, Texts, Wanted};
use prost::Message;

/// The callback of a webhook, and its body.
fn posted(webhook: &Webhook) -> (&'static Callback, &[u8]) {
    let callback = Callback::by_command(webhook.command).expect("a command of the table");
    (callback, webhook.body.as_bytes())
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for webhook in Webhook::all().expect("the fixtures are there") {
        let (callback, body) = posted(&webhook);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(webhook.name), body, |bencher, body| {
            bencher.iter(|| contract::transcode(callback.request, webhook.command, black_box(body)));
        });
    }
    group.finish();
}

fn reply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply, allow");
    for webhook in Webhook::all().expect("the fixtures are there") {
        let (callback, body) = posted(&webhook);
        group.bench_with_input(BenchmarkId::from_parameter(webhook.name), body, |bencher, body| {
            bencher.iter(|| callback.reply(black_box(&[]), body));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("reply, changed");
    let callback = Callback::by_command("callbackBeforeMsgModifyCommand").expect("a command of the table");
    for webhook in Webhook::all().expect("the fixtures are there") {
        let content = serde_json::json!({ "content": webhook.body }).to_string();
        let response = BeforeMsgModifyResponse { content: Some(content), ..Default::default() }.encode_to_vec();
        group.throughput(Throughput::Bytes(response.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(webhook.name), &response, |bencher, response| {
            bencher.iter(|| callback.reply(black_box(response), webhook.body.as_bytes()));
        });
    }
    group.finish();
}

/// A route's conditions that do not hold: each is looked at, one of them in a file of 100,000 IDs.
fn filter(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter");
    let ids: Arc<Ids> = Arc::new((0..100_000).map(|number| format!("group-{number}").into()).collect());
    for webhook in Webhook::all().expect("the fixtures are there") {
        let (callback, body) = posted(&webhook);
        let request = contract::transcode(callback.request, webhook.command, body).expect("a fixture").0;
        let texts = Texts { sets: vec![ids.clone()], prefixes: vec!["bot_".into()], ..Texts::default() };
        let is_not = |field: &str, wanted: Wanted| {
            let place = Place::find(callback.request, field)?;
            Some(Condition::Not(Filter(vec![Condition::Field(place, wanted)])))
        };
        let conditions = [
            is_not("content_type", Wanted::Numbers(vec![1000..=5000])),
            is_not("send_id", Wanted::Texts(texts.clone())),
            is_not("recv_id", Wanted::Texts(texts)),
            is_not("session_type", Wanted::Numbers(vec![9..=9])),
        ];
        let filter = Filter(conditions.into_iter().flatten().collect());
        assert_eq!(filter.matches(&request), Some(true), "every condition is looked at");
        group.bench_with_input(BenchmarkId::from_parameter(webhook.name), &*request, |bencher, request| {
            bencher.iter(|| filter.matches(black_box(request)));
        });
    }
    group.finish();
}

criterion_group!(benches, decode, reply, filter);
criterion_main!(benches);
