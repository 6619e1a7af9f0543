//! How After events are delivered, and kept.

use std::path::PathBuf;
use std::time::Duration;

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::{COUNT, Kind, SIZE, TIME, TIME_OR_NONE, TIMES, parts, quoted, show_list, show_time};

/// How After events are delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct After {
    /// How long the reply to OpenIM waits for the policy's verdict.
    pub answer_within: Duration,
    /// How often an event is tried at most.
    pub attempts: u32,
    /// How old an event gets at most.
    pub age: Duration,
    /// The pause before the second attempt; it doubles from there on.
    pub retry_min: Duration,
    /// The longest pause between two attempts.
    pub retry_max: Duration,
    /// How many events are kept at most.
    pub events: usize,
    /// How many bytes of events are kept at most.
    pub bytes: usize,
    /// How many events of one rpc are delivered at a time.
    pub concurrency: usize,
    /// The longest time that nothing of an rpc is tried because the policy keeps failing.
    pub pause_max: Duration,
    /// The pauses of an event before its second attempt, its third, …; the last one is that of all further ones. Where
    /// there are none, they go from `retry_min` to `retry_max`.
    pub schedule: Vec<Duration>,
    /// When what is written is forced onto the disk.
    pub sync: SyncRule,
    /// What becomes of an event that comes when no more may be kept.
    pub when_full: WhenFull,
    /// How long an undelivered event is kept for whoever looks for it.
    pub dead_age: Duration,
    /// How many bytes of undelivered events are kept so.
    pub dead_bytes: usize,
}

/// When what is written to the outbox is forced onto the disk (fsync), so that a power failure cannot take it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncRule {
    /// Before the reply that depends on it.
    Each,
    /// So long after it was written at most.
    Within(Duration),
    /// When the system likes.
    Off,
}

/// What becomes of an event that comes when no more may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused, and counted.
    Refuse,
    /// The oldest undelivered events that are kept for whoever looks for them make room; it is refused if that is not
    /// enough.
    DropDead,
}

impl After {
    /// As long as memory lasts.
    pub fn in_memory() -> Self {
        Self {
            answer_within: Duration::from_millis(50),
            attempts: 50,
            age: Duration::from_secs(3600),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(10),
            events: 200_000,
            bytes: 256 << 20,
            concurrency: 32,
            pause_max: Duration::from_secs(10),
            schedule: Vec::new(),
            sync: SyncRule::Within(Duration::from_millis(10)),
            when_full: WhenFull::Refuse,
            dead_age: Duration::from_secs(30 * 24 * 3600),
            dead_bytes: 1 << 30,
        }
    }

    /// With a disk there is room for days.
    pub fn on_disk() -> Self {
        Self {
            attempts: 1_000,
            age: Duration::from_secs(3 * 24 * 3600),
            retry_max: Duration::from_secs(600),
            events: 20_000_000,
            bytes: 10 << 30,
            ..Self::in_memory()
        }
    }
}

pub(super) fn rows() -> Vec<Setting<Draft>> {
    vec![
        row(
            "data",
            FOLDER,
            |d| &mut d.config.data,
            "A directory for After events, which then survive a crash; without it they are in memory alone",
        )
        .everyday("DIR"),
        row(
            "after.answer_within",
            TIME_OR_NONE,
            |d| &mut d.config.after.answer_within,
            "How long the reply to an After callback waits for the policy's verdict",
        ),
        row(
            "after.sync",
            SYNC,
            |d| &mut d.config.after.sync,
            "With data: when what is written is forced onto the disk: each (before the reply), a time within which, as in 10ms, or off",
        ),
        row(
            "after.schedule",
            PAUSES,
            |d| &mut d.config.after.schedule,
            "The pauses between an event's attempts, as in 1s,10s,1m,1h, the last one again and again; in place of after.retry_min and after.retry_max",
        ),
        row(
            "after.pause_max",
            TIME,
            |d| &mut d.config.after.pause_max,
            "The longest time that no event of an rpc is tried because the policy keeps failing",
        ),
        row(
            "after.when_full",
            WHEN_FULL,
            |d| &mut d.config.after.when_full,
            "With data: what happens when no more may be kept: refuse (the newest is lost) or drop_dead (undelivered ones make room)",
        ),
        row(
            "after.dead_age",
            TIME,
            |d| &mut d.config.after.dead_age,
            "With data: how long an undelivered event is kept for hookgate outbox",
        ),
        row(
            "after.dead_bytes",
            SIZE,
            |d| &mut d.config.after.dead_bytes,
            "With data: how many bytes of undelivered events are kept for hookgate outbox",
        ),
        row("after.attempts", TIMES, |d| &mut d.config.after.attempts, "How often an After event is tried at most"),
        row("after.age", TIME, |d| &mut d.config.after.age, "How old an After event gets at most"),
        row(
            "after.retry_min",
            TIME,
            |d| &mut d.config.after.retry_min,
            "The pause before the second attempt; it doubles from there on",
        ),
        row("after.retry_max", TIME, |d| &mut d.config.after.retry_max, "The longest pause between two attempts"),
        row("after.events", COUNT, |d| &mut d.config.after.events, "How many After events are kept at most"),
        row("after.bytes", SIZE, |d| &mut d.config.after.bytes, "How many bytes of After events are kept at most"),
        row(
            "after.concurrency",
            COUNT,
            |d| &mut d.config.after.concurrency,
            "How many After events of one rpc are delivered at a time",
        ),
    ]
}

/// A directory, if any.
const FOLDER: Kind<Option<PathBuf>> = Kind {
    list: false,
    read: |text| if text.is_empty() { Err("expected a directory".to_owned()) } else { Ok(Some(text.into())) },
    show: |folder| folder.as_ref().map(|folder| quoted(&folder.display().to_string())),
};

/// When what is written is forced onto the disk.
const SYNC: Kind<SyncRule> = Kind {
    list: false,
    read: |text| match text {
        "each" => Ok(SyncRule::Each),
        // As YAML 1.1 has it, off is false.
        "off" | "false" => Ok(SyncRule::Off),
        time => match (TIME.read)(time) {
            Ok(time) if time <= Duration::from_secs(60) => Ok(SyncRule::Within(time)),
            _ => Err(format!("{text:?}: expected each, off, or a time of a minute at most, as in 10ms")),
        },
    },
    show: |rule| {
        Some(match rule {
            SyncRule::Each => "each".to_owned(),
            SyncRule::Within(time) => show_time(*time),
            SyncRule::Off => "\"off\"".to_owned(),
        })
    },
};

/// A list of pauses.
const PAUSES: Kind<Vec<Duration>> = Kind {
    list: true,
    read: |text| parts(text).map(TIME.read).collect(),
    show: |pauses| show_list(pauses.iter().map(|pause| show_time(*pause))),
};

/// What happens when no more may be kept.
const WHEN_FULL: Kind<WhenFull> = Kind {
    list: false,
    read: |text| match text {
        "refuse" => Ok(WhenFull::Refuse),
        "drop_dead" => Ok(WhenFull::DropDead),
        _ => Err(format!("{text:?}: expected refuse or drop_dead")),
    },
    show: |rule| {
        Some(match rule {
            WhenFull::Refuse => "refuse".to_owned(),
            WhenFull::DropDead => "drop_dead".to_owned(),
        })
    },
};
