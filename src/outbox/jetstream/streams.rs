//! The streams and their consumers: made where they are not there, checked where they are, never altered.
//!
//! | stream | subjects | retention |
//! |---|---|---|
//! | NAME | `NAME.events.PARTITION.RPC.ID` | work queue: events with an order |
//! | NAME-later | `NAME.later.RPC.RUN.ID` | work queue: parked ones, and those without an order that wait |
//! | NAME-dead | `NAME.dead.REASON.RPC.RUN.ID` | dead letters, up to an age and a size |
//!
//! A partition has one consumer that gives one event at a time; so has the stream of later ones for each rpc that has any,
//! with no bound on those in hand, since an event that waits for its time counts as one.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::api::{Api, ApiError, code};
use super::check::{Config, PARTITIONS, POLICY, check, check_consumer, check_server};
use super::names::Names;
use crate::config;
use crate::outbox::first_number;

/// Time within which JetStream hears of an event in hand, or gives it to another copy.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(5);

/// Time within which a message that is published twice is kept once.
const DUPLICATES: Duration = Duration::from_secs(120);

/// The reason for which there are no streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unmade {
    /// The configuration does not fit what is there: the setting, and a sentence.
    Mistake(&'static str, String),
    /// The servers do not answer, or not yet.
    NotNow(String),
}

impl Unmade {
    /// Returns the sentence for `/status`.
    pub(super) fn problem(self) -> String {
        match self {
            Self::Mistake(setting, what) => format!("{setting}: {what}"),
            Self::NotNow(what) => what,
        }
    }
}

/// A stream, as its leader tells of it.
#[derive(Debug, Clone, Deserialize)]
struct Info {
    config: Config,
}

/// The counts of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Held {
    /// Messages, which `/status` calls events.
    #[serde(rename(deserialize = "messages"), alias = "events")]
    pub events: u64,
    /// Their bytes, once.
    pub bytes: u64,
    /// The time of the oldest, in milliseconds since 1970; none if there is none.
    #[serde(default, rename(deserialize = "first_ts"), deserialize_with = "milliseconds", skip_serializing)]
    pub oldest: Option<u64>,
}

/// Reads a time of JetStream's as milliseconds since 1970. Of a stream without a message it is before that.
fn milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let time = humantime::parse_rfc3339_weak(&String::deserialize(from)?).ok();
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(since.and_then(|since| u64::try_from(since.as_millis()).ok()))
}

impl Names {
    /// The configurations of the streams.
    fn configs(&self, settings: &config::After, policy: &str) -> [Config; 3] {
        let nats = &settings.nats;
        let metadata = BTreeMap::from([
            (PARTITIONS.to_owned(), nats.partitions.to_string()),
            (POLICY.to_owned(), policy.to_owned()),
        ]);
        let events = Config {
            name: self.events.clone(),
            subjects: vec![format!("{}.events.>", self.prefix)],
            retention: "workqueue".to_owned(),
            storage: "file".to_owned(),
            discard: "new".to_owned(),
            num_replicas: nats.replicas,
            max_bytes: i64::try_from(settings.bytes).unwrap_or(i64::MAX),
            max_msgs: i64::try_from(settings.events).unwrap_or(i64::MAX),
            // hookgate ends what is too old, and keeps it as a dead letter; the server would drop it without a word.
            max_age: 0,
            duplicate_window: u64::try_from(DUPLICATES.as_nanos()).unwrap_or(u64::MAX),
            metadata,
            // Numbers rise over streams that were lost, and over those of a machine that went before.
            first_seq: Some(first_number()),
            max_msg_size: None,
            persist_mode: None,
            deny_delete: false,
            no_ack: false,
        };
        let later = Config {
            name: self.later.clone(),
            subjects: vec![format!("{}.later.>", self.prefix)],
            first_seq: None,
            ..events.clone()
        };
        let dead = Config {
            name: self.dead.clone(),
            subjects: vec![format!("{}.dead.>", self.prefix)],
            retention: "limits".to_owned(),
            discard: "old".to_owned(),
            max_bytes: i64::try_from(settings.dead_bytes).unwrap_or(i64::MAX),
            max_msgs: -1,
            max_age: u64::try_from(settings.dead_age.as_nanos()).unwrap_or(u64::MAX),
            duplicate_window: u64::try_from(DUPLICATES.min(settings.dead_age).as_nanos()).unwrap_or(u64::MAX),
            ..later.clone()
        };
        [events, later, dead]
    }
}

/// Makes the streams and the consumers of the partitions, or checks those that are there. Returns what is worth a warning.
pub(super) async fn ensure(
    api: &Api,
    names: &Names,
    settings: &config::After,
    policy: &str,
) -> Result<Vec<String>, Unmade> {
    check_server(&api.client.server_info().version)?;
    let mut warnings = Vec::new();
    for config in names.configs(settings, policy) {
        let found: Info = match info(api, &config.name).await {
            Err(error) if error.is(code::NO_STREAM) => create(api, &config).await?,
            found => found.map_err(|error| unmade(&config.name, settings, &error))?,
        };
        check(&config, &found.config, &mut warnings)?;
    }
    for partition in 0..settings.nats.partitions {
        let (consumer, filter) = (Names::partition(partition), names.event(partition, "*", "*"));
        ensure_consumer(api, &names.events, &consumer, &filter, 1)
            .await
            .map_err(|error| unmade(&names.events, settings, &error))?;
    }
    Ok(warnings)
}

async fn info(api: &Api, stream: &str) -> Result<Info, ApiError> {
    api.ask(&format!("STREAM.INFO.{stream}"), &Value::Null).await
}

/// Returns the counts of a stream.
pub(super) async fn held(api: &Api, stream: &str) -> Result<Held, ApiError> {
    #[derive(Deserialize)]
    struct Body {
        state: Held,
    }
    api.ask::<Body>(&format!("STREAM.INFO.{stream}"), &Value::Null).await.map(|body| body.state)
}

/// Returns the time of a server in milliseconds since 1970, if it tells that.
pub(super) async fn server_time(api: &Api, stream: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "milliseconds")]
        ts: Option<u64>,
    }
    api.ask::<Body>(&format!("STREAM.INFO.{stream}"), &Value::Null).await.ok()?.ts
}

async fn create(api: &Api, config: &Config) -> Result<Info, Unmade> {
    let created = api.ask(&format!("STREAM.CREATE.{}", config.name), &json!(config)).await;
    match created {
        // Another copy has made it meanwhile; what it made is checked.
        Err(error) if error.is(code::STREAM_EXISTS) => {
            info(api, &config.name).await.map_err(|error| Unmade::NotNow(error.to_string()))
        }
        Err(error) => Err(cannot_create(config, &error)),
        Ok(info) => Ok(info),
    }
}

fn cannot_create(config: &Config, error: &ApiError) -> Unmade {
    let Config { name, num_replicas, max_bytes, .. } = config;
    match error {
        ApiError::Refused { code: code::REPLICAS_WITHOUT_CLUSTER, .. } => Unmade::Mistake(
            "after.nats.replicas",
            format!("{num_replicas} copies of each event take a cluster, and this is a single server; 1 works with it"),
        ),
        ApiError::Refused { code: code::NO_PEERS | code::NO_STORAGE, description } => Unmade::NotNow(format!(
            "the cluster has no room for the stream {name}: {num_replicas} nodes must have {max_bytes} bytes free within \
             max_file_store each, as a stream reserves its size ({description})"
        )),
        // Subjects of another stream.
        ApiError::Refused { code: 10065, description } => Unmade::Mistake(
            "after.nats.name",
            format!("the subjects of {name} belong to another stream ({description}); another name keeps them apart"),
        ),
        error => Unmade::NotNow(format!("the stream {name} cannot be made: {error}")),
    }
}

fn unmade(stream: &str, settings: &config::After, error: &ApiError) -> Unmade {
    match error {
        ApiError::Refused { code, description } if code::NOT_ENABLED.contains(code) => {
            Unmade::Mistake("after.store", format!("JetStream is not enabled there: {description}"))
        }
        // A filter that overlaps with another consumer's, or a consumer that is another's.
        ApiError::Refused { code: 10099 | 10100 | 10105 | code::CONSUMER_EXISTS, description } => Unmade::Mistake(
            "after.nats.partitions",
            format!(
                "the stream {stream} has other consumers than those of {} partitions ({description})",
                settings.nats.partitions
            ),
        ),
        error => Unmade::NotNow(format!("the stream {stream} cannot be asked: {error}")),
    }
}

/// Makes a consumer that gives this many events at a time, -1 for any number; or finds it as it is.
pub(super) async fn ensure_consumer(
    api: &Api,
    stream: &str,
    consumer: &str,
    filter: &str,
    pending: i64,
) -> Result<(), ApiError> {
    match api.ask::<Value>(&format!("CONSUMER.INFO.{stream}.{consumer}"), &Value::Null).await {
        Err(error) if error.is(code::NO_CONSUMER) => {}
        found => return check_consumer(consumer, &found?["config"], filter, pending),
    }
    let config = json!({
        "stream_name": stream,
        "config": {
            "durable_name": consumer,
            "name": consumer,
            "filter_subject": filter,
            "ack_policy": "explicit",
            "ack_wait": ACK_WAIT.as_nanos() as u64,
            "max_deliver": -1,
            "max_ack_pending": pending,
            "max_waiting": 2048,
            "deliver_policy": "all",
            "replay_policy": "instant",
        },
    });
    api.ask::<Value>(&format!("CONSUMER.CREATE.{stream}.{consumer}.{filter}"), &config).await.map(drop)
}

/// Returns the names of a stream's consumers.
pub(super) async fn consumers(api: &Api, stream: &str) -> Result<Vec<String>, ApiError> {
    #[derive(Deserialize)]
    struct Page {
        #[serde(default)]
        consumers: Option<Vec<String>>,
        total: usize,
    }
    let mut names = Vec::new();
    loop {
        let page: Page = api.ask(&format!("CONSUMER.NAMES.{stream}"), &json!({ "offset": names.len() })).await?;
        let found = page.consumers.unwrap_or_default();
        if found.is_empty() {
            return Ok(names);
        }
        names.extend(found);
        if names.len() >= page.total {
            return Ok(names);
        }
    }
}
