//! `/status`: a JSON object about everything that an operator may want to see.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::{Sources, origin};
use crate::config::{Config, days_until};
use crate::observe::failures::LastFailure;
use crate::outbox::{Backlog, Counts, Disk, Reason};

/// Returns the object. The policy's own words about its failures, which may quote content, are for this machine alone.
pub(super) async fn status(
    State(sources): State<Sources>,
    Extension(peer): Extension<Option<IpAddr>>,
    uri: Uri,
    headers: HeaderMap,
) -> Json<Value> {
    let config = sources.config.now();
    let decisions = sources.decisions.counts();
    let quotes = origin::is_local(&config, peer, &uri, &headers).is_ok();
    let mut status = sources.status.report(quotes);
    status["certificates"] = certificates(&config);
    status["stopping"] = sources.stopping.is_cancelled().into();
    status["configuration"] = json!(sources.reloads.counts());
    status["policy"] = json!({
        "url": sources.channel.url().to_string(),
        "ready": sources.health.borrow().is_ready(),
        "state": sources.health.borrow().to_string(),
        "channel": sources.channel.status(),
    });
    let failures = sources.events.failures(quotes);
    status["after_events"] = after_events(&sources.events.backlog(), &sources.events.counts(), &failures);
    status["decisions"] = json!({
        "on": sources.decisions.is_on(),
        "written": decisions.written.load(Relaxed),
        "left_out": decisions.dropped.load(Relaxed),
    });
    status["drift"] = json!(sources.status.names.report(config.openim.enables.as_ref()));
    Json(status)
}

/// Returns the expiry of each certificate in use.
fn certificates(config: &Config) -> Value {
    let certificates = config.certificates().map(|(name, expires)| {
        let time = humantime::format_rfc3339_seconds(expires).to_string();
        (name.to_owned(), json!({ "expires": time, "days": days_until(expires) }))
    });
    Value::Object(certificates.collect())
}

fn after_events(backlog: &Backlog, counts: &Counts, failures: &BTreeMap<&str, LastFailure>) -> Value {
    let rpcs = backlog.rpcs.iter().map(|rpc| {
        let members = json!({
            "waiting": rpc.waiting,
            "in_flight": rpc.in_flight,
            "oldest_ms": rpc.oldest.map(milliseconds),
            "paused_ms": rpc.paused.map(milliseconds),
        });
        (rpc.rpc.to_owned(), members)
    });
    let undelivered = Reason::ALL.map(|reason| (reason.as_str().to_owned(), counts.undelivered(reason).into()));
    json!({
        "backlog": {
            "events": backlog.events,
            "bytes": backlog.bytes,
            "oldest_ms": backlog.oldest.map(milliseconds),
        },
        "rpcs": rpcs.collect::<Map<_, _>>(),
        "failures": failures,
        "disk": backlog.disk.as_ref().map(disk),
        "delivered": counts.delivered,
        "retried": counts.retried,
        "undelivered": Map::from_iter(undelivered),
    })
}

fn disk(disk: &Disk) -> Value {
    json!({
        "dead": disk.dead,
        "dead_bytes": disk.dead_bytes,
        "unimplemented_bytes": disk.unimplemented_bytes,
        "unimplemented_evicted": disk.unimplemented_evicted,
        "file_bytes": disk.file_bytes,
        "unwritten_bytes": disk.unwritten_bytes,
        "stopped": disk.stopped,
        "unreadable": disk.unreadable,
        "commits": disk.commits.iter().sum::<u64>(),
        "commit_ms": milliseconds(disk.commit_time),
    })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
