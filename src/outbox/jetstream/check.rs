//! Checks of streams and consumers that are found against what they should be. Nothing is altered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::{ApiError, code};
use super::streams::{ACK_WAIT, Unmade};

/// The oldest servers that will do, of each minor version. Those before them empty a stream whose numbers do not begin at 1 when
/// they start (nats-server, pull request 6753).
const OLDEST_SERVERS: [(u64, u64, u64); 3] = [(2, 10, 29), (2, 11, 4), (2, 12, 0)];

/// The key of a stream's metadata that holds the number of its partitions.
pub(super) const PARTITIONS: &str = "hookgate-partitions";

/// The key of a stream's metadata that holds the URL of the policy of whoever made it.
pub(super) const POLICY: &str = "hookgate-policy";

/// The configuration of a stream, as far as it is made and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Config {
    pub(super) name: String,
    pub(super) subjects: Vec<String>,
    pub(super) retention: String,
    pub(super) storage: String,
    pub(super) discard: String,
    pub(super) num_replicas: usize,
    pub(super) max_bytes: i64,
    pub(super) max_msgs: i64,
    /// Nanoseconds.
    pub(super) max_age: u64,
    pub(super) duplicate_window: u64,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
    /// Only to make it: the sequence of the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_msg_size: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) persist_mode: Option<String>,
    #[serde(default)]
    pub(super) deny_delete: bool,
    #[serde(default)]
    pub(super) no_ack: bool,
}

pub(super) fn check_server(version: &str) -> Result<(), Unmade> {
    // Such as 2.15.2, or 2.16.0-dev.
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u64>().unwrap_or(0));
    let found = [(); 3].map(|()| parts.next().unwrap_or(0));
    let is_known = OLDEST_SERVERS.iter().rfind(|(major, minor, _)| [*major, *minor] <= [found[0], found[1]]);
    if version.is_empty() || is_known.is_some_and(|(major, minor, patch)| found >= [*major, *minor, *patch]) {
        return Ok(());
    }
    let oldest = OLDEST_SERVERS.map(|(major, minor, patch)| format!("{major}.{minor}.{patch}")).join(", ");
    Err(Unmade::Mistake(
        "after.store",
        format!(
            "the server is nats-server {version}, which can lose a stream when it starts; {oldest} or newer ones work"
        ),
    ))
}

/// Checks what is there against what is meant.
pub(super) fn check(meant: &Config, found: &Config, warnings: &mut Vec<String>) -> Result<(), Unmade> {
    let name = &meant.name;
    let other = "it may be another hookgate's: after.nats.name gives each deployment streams of its own";
    let wrong = |setting, what: String| Err(Unmade::Mistake(setting, format!("the stream {name} {what}; {other}")));
    if let Some(partitions) =
        found.metadata.get(PARTITIONS).filter(|found| Some(*found) != meant.metadata.get(PARTITIONS))
    {
        return wrong("after.nats.partitions", format!("has {partitions} partitions, and their number is fixed"));
    }
    if !found.metadata.contains_key(PARTITIONS) {
        return wrong("after.nats.name", "was not made by hookgate".to_owned());
    }
    if found.subjects != meant.subjects {
        return wrong("after.nats.name", format!("has the subjects {}", found.subjects.join(", ")));
    }
    if found.retention != meant.retention || found.discard != meant.discard || found.no_ack || found.deny_delete {
        let Config { retention, discard, .. } = found;
        return wrong("after.nats.name", format!("has other rules (retention {retention}, discard {discard})"));
    }
    if found.storage != "file" {
        return wrong("after.store", format!("is kept in {}, and a restart of the nodes would lose it", found.storage));
    }
    if found.persist_mode.as_deref() == Some("async") {
        return wrong("after.store", "confirms events before they are written (persist_mode async)".to_owned());
    }
    if found.num_replicas != meant.num_replicas {
        let (found, meant) = (found.num_replicas, meant.num_replicas);
        let what = format!("has {found} replicas in place of {meant}; nats stream edit --replicas changes them");
        return wrong("after.nats.replicas", what);
    }
    if meant.max_age == 0 && found.max_age != 0 {
        return wrong(
            "after.nats.name",
            "has a max_age, and the servers would delete events without a word".to_owned(),
        );
    }
    if let (Some(of), Some(ours)) = (found.metadata.get(POLICY), meant.metadata.get(POLICY))
        && of != ours
    {
        warnings.push(format!(
            "the stream {name} was made for the policy {of}, and this hookgate asks {ours}: if that is another deployment, give \
             it another after.nats.name, or each gets events of the other"
        ));
    }
    if let Some(size) = found.max_msg_size.filter(|size| *size > 0) {
        warnings.push(format!("the stream {name} takes no event of more than {size} bytes (max_msg_size)"));
    }
    for (what, found, meant) in [
        ("max_bytes", found.max_bytes, meant.max_bytes),
        ("max_msgs", found.max_msgs, meant.max_msgs),
        ("max_age", found.max_age as i64, meant.max_age as i64),
        ("duplicate_window", found.duplicate_window as i64, meant.duplicate_window as i64),
    ] {
        if found != meant {
            warnings.push(format!("the stream {name} has {what} {found} in place of {meant}; what it has applies"));
        }
    }
    Ok(())
}

/// Checks a consumer that is there.
pub(super) fn check_consumer(name: &str, found: &Value, filter: &str, pending: i64) -> Result<(), ApiError> {
    let ack_wait = u64::try_from(ACK_WAIT.as_nanos()).unwrap_or(u64::MAX);
    let is_same = found["filter_subject"] == filter
        && found["max_ack_pending"].as_i64() == Some(pending)
        && found["ack_wait"].as_u64() == Some(ack_wait)
        && found["ack_policy"] == "explicit"
        // Any of these would leave an event undelivered.
        && found["max_deliver"].as_i64().is_none_or(|most| most <= 0)
        && found["backoff"].as_array().is_none_or(Vec::is_empty)
        && found["inactive_threshold"].as_i64().is_none_or(|time| time == 0);
    if is_same {
        return Ok(());
    }
    // As the servers say it where a consumer is made anew otherwise.
    let description = format!("the consumer {name} has other settings than hookgate gives it");
    Err(ApiError::Refused { code: code::CONSUMER_EXISTS, description })
}
