//! `/status`: a JSON object about everything that an operator may want to see.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::{PolicySources, Sources, origin};
use crate::config::{Config, days_until};
use crate::observe::counters::Outcome;
use crate::observe::failures::LastFailure;
use crate::outbox::{Backlog, Counts, Reason};

/// Returns the object. The messages of statuses that the policy gave to calls, which may quote content, are for this machine
/// alone.
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
    let events =
        |of: &PolicySources| after_events(&of.events.backlog(), &of.events.counts(), &of.events.failures(quotes));
    match &*sources.policies {
        [only] if !sources.are_named() => {
            (status["policy"], status["after_events"]) = (policy(only), events(only));
        }
        named => {
            let named = named.iter().enumerate().map(|(index, of)| {
                let mut status = policy(of);
                status["decides"] = config.decides(index).into();
                status["name"] = json!(*of.name);
                let verdicts =
                    Outcome::all().map(|outcome| (outcome.as_str().to_owned(), of.counters.counted(outcome)));
                let verdicts = verdicts.filter(|(_, count)| *count > 0).map(|(outcome, count)| (outcome, count.into()));
                status["verdicts"] = Value::Object(verdicts.collect());
                status["after_events"] = events(of);
                status
            });
            status["policies"] = named.collect();
        }
    }
    let guards = sources.guards.report(&config);
    if !guards.is_empty() {
        status["guards"] = json!(guards);
    }
    status["decisions"] = json!({
        "on": sources.decisions.is_on(),
        "written": decisions.written.load(Relaxed),
        "left_out": decisions.dropped.load(Relaxed),
    });
    status["drift"] = json!(sources.status.names.report(config.openim.enables.as_ref()));
    Json(status)
}

/// Returns the state of a policy, as its client sees it.
fn policy(of: &PolicySources) -> Value {
    let health = of.health.borrow().clone();
    json!({
        "url": of.channel.url().to_string(),
        "ready": health.is_ready(),
        "state": health.to_string(),
        "channel": of.channel.status(),
    })
}

/// Returns the expiry of each certificate in use.
fn certificates(config: &Config) -> Value {
    let certificates = config.certificates().map(|(name, expires)| {
        let time = humantime::format_rfc3339_seconds(expires).to_string();
        (name.into_owned(), json!({ "expires": time, "days": days_until(expires) }))
    });
    Value::Object(certificates.collect())
}

fn after_events(backlog: &Backlog, counts: &Counts, failures: &BTreeMap<&str, LastFailure>) -> Value {
    let rpcs = backlog.rpcs.iter().map(|rpc| (rpc.rpc.to_owned(), json!(rpc)));
    let undelivered = Reason::ALL.map(|reason| (reason.as_str().to_owned(), counts.undelivered(reason).into()));
    json!({
        "backlog": backlog,
        "rpcs": rpcs.collect::<Map<_, _>>(),
        "failures": failures,
        "disk": backlog.disk,
        "cluster": backlog.cluster,
        "delivered": counts.delivered,
        "retried": counts.retried,
        "undelivered": Map::from_iter(undelivered),
    })
}
