//! `/status`: a JSON object about everything that an operator may want to see.

use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use super::Sources;
use crate::config::{Config, days_until};
use crate::outbox::{Backlog, Counts, Reason};

pub(super) async fn status(State(sources): State<Sources>) -> Json<Value> {
    let config = sources.config.now();
    let decisions = sources.decisions.counts();
    let mut status = sources.status.report();
    status["certificates"] = certificates(&config);
    status["stopping"] = sources.stopping.is_cancelled().into();
    status["configuration"] = json!(sources.reloads.counts());
    status["policy"] = json!({
        "url": sources.channel.url().to_string(),
        "ready": sources.health.borrow().is_ready(),
        "state": sources.health.borrow().to_string(),
        "channel": sources.channel.status(),
    });
    status["after_events"] = after_events(&sources.events.backlog(), &sources.events.counts());
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

fn after_events(backlog: &Backlog, counts: &Counts) -> Value {
    let rpcs = backlog.rpcs.iter().map(|rpc| (rpc.rpc.to_owned(), json!(rpc)));
    let undelivered = Reason::ALL.map(|reason| (reason.as_str().to_owned(), counts.undelivered(reason).into()));
    json!({
        "backlog": backlog,
        "rpcs": rpcs.collect::<Map<_, _>>(),
        "disk": backlog.disk,
        "delivered": counts.delivered,
        "retried": counts.retried,
        "undelivered": Map::from_iter(undelivered),
    })
}
