//! Delivery and storage of After events.

use std::time::Duration;

use async_nats::ServerAddr;

use super::{Nats, settings};
use crate::config::address::nats_url;
use crate::config::value::{Kind, count, count32, parse_time, show_time, size, time, time_or_zero};

settings! {
    /// Delivery and storage of After events.
    pub struct After("after"), |config| config.after;

    /// Maximum time that the reply to an After callback waits for the policy's verdict; then it is an allow, and delivery goes
    /// on.
    answer_within: Duration = Duration::from_millis(50), time_or_zero(), needs_restart = true;

    /// Only with --data: when written events are forced to disk (fsync): each (before the reply), within a time such as 10ms,
    /// or off (when the operating system does it).
    sync: SyncRule = SyncRule::Within(Duration::from_millis(10)), sync_rule(), needs = "data", needs_restart = true;

    /// Pauses between the attempts of an event, as in 1s,10s,1m,1h; the last one is used for all further attempts.
    /// Replaces after.retry_min and after.retry_max for the attempts of an event; the pauses of an rpc still begin with
    /// after.retry_min.
    schedule: Vec<Duration> = Vec::new(), time().list(), needs_restart = true;

    /// Longest pause of all deliveries of an rpc while the policy keeps failing.
    pause_max: Duration = Duration::from_secs(10), time(), needs_restart = true;

    /// Only with --data: what happens to a new event when after.events or after.bytes is reached: refuse rejects it, drop_dead
    /// evicts the oldest dead letters first.
    when_full: WhenFull = WhenFull::Refuse, Kind::plain("refuse or drop_dead", "refuse or drop_dead"), needs = "data",
        needs_restart = true;

    /// Only with --data or after.store: how long a dead letter is kept for hookgate outbox.
    dead_age: Duration = Duration::from_secs(30 * 24 * 3600), time(), needs = "data", needs_restart = true;

    /// Only with --data or after.store: maximum bytes of dead letters kept for hookgate outbox. Those of rpcs that the policy
    /// does not implement have a tenth of it (with after.store there is one bound for all).
    dead_bytes: usize = 1 << 30, size(), needs = "data", needs_restart = true;

    /// Order of events with one key (a conversation, a group, a user): key delivers them one after another, none as they come.
    /// callbacks.NAME.order sets it for one callback.
    order: Order = Order::Key, Kind::plain("key or none", "key or none"), needs_restart = true;

    /// Time for which failing events of a key may hold up the events behind them, while the policy answers others. Then the
    /// failing event is parked: it is retried by itself, and the others go on. 0s: after the first failure.
    hold: Duration = Duration::from_secs(30), time_or_zero(), needs_restart = true;

    /// Maximum number of attempts to deliver an event.
    attempts: u32 = 50, count32(), default_on_disk = "1000", needs_restart = true;

    /// Maximum age of an event; an older one is given up: a dead letter with --data or after.store, otherwise dropped and counted.
    age: Duration = Duration::from_secs(3600), time(), default_on_disk = "72h", needs_restart = true;

    /// Pause before the second attempt; it doubles with each further one.
    retry_min: Duration = Duration::from_millis(100), time(), needs_restart = true;

    /// Longest pause between two attempts.
    retry_max: Duration = Duration::from_secs(10), time(), default_on_disk = "10m", needs_restart = true;

    /// Maximum number of events kept.
    events: usize = 200_000, count(), default_on_disk = "20000000", needs_restart = true;

    /// Maximum bytes of events kept; with after.store 1GiB unless set, of each of its two streams and of the spill. Dead letters
    /// have a limit of their own, after.dead_bytes.
    bytes: usize = 256 << 20, size(), default_on_disk = "10GiB", needs_restart = true;

    /// Maximum number of events of one rpc that are delivered at a time.
    concurrency: usize = 32, count(), needs_restart = true;

    /// Servers of a NATS JetStream cluster that keeps the events of several hookgates, as in nats://a:4222,nats://b:4222;
    /// tls:// asks for TLS. Without it the events are on this machine: in --data, or in memory. With it --data is where events
    /// wait while the cluster takes none.
    store: Vec<ServerAddr> = Vec::new(), nats_url().list(), needs_restart = true;

    /// Maximum time that the reply to an After callback waits for the cluster to take the event; then it is kept in --data,
    /// or in memory, until the cluster does.
    store_within: Duration = Duration::from_millis(250), time(), needs = "after.store", needs_restart = true;

    fields:
    /// The streams of `store`, and the login.
    nats: Nats = Nats::default();
}

/// The rule for forcing written events to disk (fsync), so that a power failure cannot lose them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncRule {
    /// Before the reply that depends on it.
    Each,
    /// Within this time after the write.
    Within(Duration),
    /// Left to the system.
    Off,
}

/// The handling of a new event at a storage limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum WhenFull {
    /// Refusal: the new event is counted as lost.
    Refuse,
    /// The oldest dead letters are evicted to make room; the event is refused if that is not enough.
    DropDead,
}

/// The order in which the events of a callback are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Order {
    /// Events with one key are delivered one after another.
    Key,
    /// No event waits for another.
    None,
}

fn sync_rule() -> Kind<SyncRule> {
    let read = |text: &str| match text {
        "each" => Ok(SyncRule::Each),
        // As YAML 1.1 has it, off is false.
        "off" | "false" => Ok(SyncRule::Off),
        text => match parse_time(text) {
            Ok(time) if time <= Duration::from_secs(60) => Ok(SyncRule::Within(time)),
            _ => Err(format!("{text:?}: expected each, off, or a time of a minute at most, as in 10ms")),
        },
    };
    let print = |rule: &SyncRule| match rule {
        SyncRule::Each => "each".to_owned(),
        SyncRule::Within(time) => show_time(*time),
        SyncRule::Off => "\"off\"".to_owned(),
    };
    Kind::new("each, off or time", read, print)
}
