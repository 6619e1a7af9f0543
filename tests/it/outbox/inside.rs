//! The events as hookgate itself has them, without the program around them: for what takes exact moments.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hookgate::config::{After, Config};
use hookgate::contract::{Callback, Metadata, metadata, transcode};
use hookgate::internals::observe::Decisions;
use hookgate::internals::outbox::{Delivery, Event, Events};
use hookgate::internals::policy::{Channel, Policy};
use prost::Message as _;
use rusqlite::Connection;

use super::gate::{GROUP, LONG, directory};

/// An event of a group.
pub fn event(group: &str, id: &str) -> Event {
    padded(group, id, 0)
}

/// The same, with so many bytes of content.
pub fn padded(group: &str, id: &str, pad: usize) -> Event {
    let mut metadata = Metadata::default();
    metadata.insert(metadata::COMMAND, GROUP);
    metadata.insert(metadata::EVENT_ID, id);
    let callback_command = "x".repeat(pad);
    let request = hookgate::contract::proto::AfterSendGroupMsgRequest {
        group_id: group.to_owned(),
        callback_command,
        ..Default::default()
    };
    let callback = Callback::by_command(GROUP).unwrap();
    Event { callback, message: Bytes::from(request.encode_to_vec()), metadata, budget: LONG, ordered: true }
}

/// An event of any After callback, of this group and user.
pub fn of(command: &str, key: &str, id: &str) -> Event {
    let callback = Callback::by_command(command).unwrap();
    let body = serde_json::json!({"callbackCommand": command, "groupID": key, "userID": key}).to_string();
    let message = transcode(callback.request, command, body.as_bytes()).unwrap().0;
    let mut metadata = Metadata::default();
    metadata.insert(metadata::COMMAND, command);
    metadata.insert(metadata::EVENT_ID, id);
    Event { callback, message, metadata, budget: LONG, ordered: true }
}

/// Attempts soon and often.
pub fn settings() -> After {
    After {
        answer_within: Duration::ZERO,
        attempts: 1_000,
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(10),
        pause_max: Duration::from_millis(5),
        events: 1_000_000,
        bytes: 10 << 30,
        age: Duration::from_secs(72 * 3_600),
        ..After::default()
    }
}

/// An attempt, and none after it for hours.
pub fn patient() -> After {
    let hours = Duration::from_secs(3 * 3_600);
    After { retry_min: hours, retry_max: hours, pause_max: hours, ..settings() }
}

/// The policy at this address.
pub fn policy(url: &str) -> Policy<Channel> {
    let channel = Channel::connect(url.parse().unwrap(), &Config::default().channel, &Default::default());
    Policy::over(channel, 1_000)
}

/// The events before this policy, in this directory.
pub fn on_disk(url: &str, settings: &After, data: &Path) -> Events {
    Events::on_disk(policy(url), settings, Decisions::default(), data).unwrap()
}

/// Has an event taken, and does not wait for its reply; gives that if it is there.
pub async fn hand_over(events: &Events, event: Event) -> Option<Delivery> {
    let mut delivery = pin!(events.deliver(event));
    std::future::poll_fn(|cx| match delivery.as_mut().poll(cx) {
        Poll::Ready(delivery) => Poll::Ready(Some(delivery)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// A directory of this name as that one would be found after a crash at this moment.
pub fn crashed(data: &Path, name: &str) -> PathBuf {
    let copy = directory(name);
    std::fs::create_dir_all(&copy).unwrap();
    for file in ["outbox.db", "outbox.db-wal"] {
        std::fs::copy(data.join(file), copy.join(file)).unwrap();
    }
    copy
}

/// Makes the disk hang: while this is held, whoever writes to the outbox waits, for SQLite's patience of five seconds.
pub fn hold(data: &Path) -> Connection {
    let connection = Connection::open(data.join("outbox.db")).unwrap();
    connection.busy_timeout(LONG).unwrap();
    connection.execute_batch("begin immediate").unwrap();
    connection
}

/// Waits until something holds of the events.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let held = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, held).await.unwrap_or_else(|_| panic!("{what}"));
}
