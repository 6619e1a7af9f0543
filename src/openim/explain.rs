//! Explanations of a reply: its effect in each OpenIM release, in words.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use strum::Display;

use super::{ClientError, Effect, Reading, Release, read};
use crate::contract::{Callback, Timing};

/// The reading of a reply that some releases of OpenIM share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Explanation {
    /// The releases, newest first.
    pub releases: Vec<&'static str>,
    /// The reading, in a word.
    pub verdict: Interpretation,
    /// The reading, in a sentence.
    pub sentence: String,
}

/// The effect of a reply on the operation that OpenIM asked about, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Interpretation {
    /// The operation goes on unchanged.
    Allowed,
    /// The operation goes on with changed fields.
    Changed,
    /// The operation is stopped, with the policy's words.
    Denied,
    /// The event has happened already; OpenIM ignores the reply.
    Told,
    /// The operation is stopped because OpenIM cannot read the reply.
    Unreadable,
    /// The operation goes on and harms the server or its data.
    Harmful,
}

/// Explains how each release that sends the callback reads the reply: newest first, those that agree together.
pub(crate) fn explain(callback: &Callback, request: &[u8], reply: &[u8]) -> Vec<Explanation> {
    let mut all: Vec<Explanation> = Vec::new();
    // A callback that no release sends is read as the newest would.
    let is_sent = |release: &Release| match callback.releases {
        [] => *release == Release::V3_8_4,
        releases => releases.contains(&release.as_str()),
    };
    for release in Release::ALL.into_iter().rev().filter(is_sent) {
        let (verdict, sentence) = describe(callback, read(callback, request, reply, release), release);
        match all.iter_mut().find(|other| other.verdict == verdict && other.sentence == sentence) {
            Some(other) => other.releases.push(release.as_str()),
            None => all.push(Explanation { releases: vec![release.as_str()], verdict, sentence }),
        }
    }
    all
}

fn describe(callback: &Callback, reading: Reading, release: Release) -> (Interpretation, String) {
    let is_event = callback.timing == Timing::After;
    match reading {
        _ if !release.heeds(callback.timing) => {
            (Interpretation::Told, "it has happened already; OpenIM ignores the reply".to_owned())
        }
        Reading::Allowed(effects) if effects.is_empty() && is_event => {
            (Interpretation::Told, "it has happened already; the reply changes nothing".to_owned())
        }
        Reading::Allowed(effects) if effects.is_empty() => (Interpretation::Allowed, "it goes on as it is".to_owned()),
        Reading::Allowed(effects) => {
            let value = |effect: &Effect| effect.value.as_ref().map_or("empty".to_owned(), Value::to_string);
            let changes = effects.iter().map(|effect| format!("{} becomes {}", effect.field, value(effect)));
            (Interpretation::Changed, changes.collect::<Vec<_>>().join(", "))
        }
        Reading::Denied(error) => (Interpretation::Denied, describe_error(&error, is_event)),
        Reading::Unreadable { told, why } => {
            let error = describe_error(&told, is_event);
            (Interpretation::Unreadable, format!("{error}: the reply cannot be read ({why})"))
        }
        Reading::Harmful { field, why } => (Interpretation::Harmful, format!("{field}: {why}")),
    }
}

/// Describes the error that the API client gets.
fn describe_error(error: &ClientError, is_event: bool) -> String {
    let ClientError { code, message, detail } = error;
    let mut sentence = match (code, is_event) {
        (0, _) => "the client gets errCode 0, a success, although it is stopped".to_owned(),
        (_, false) => format!("the client gets errCode {code}"),
        (_, true) => format!("it has happened already, but the client gets errCode {code}"),
    };
    if !message.is_empty() {
        let _ = write!(sentence, ", errMsg {}", Value::from(&**message));
    }
    if !detail.is_empty() && detail != message {
        let _ = write!(sentence, ", errDlt {}", Value::from(&**detail));
    }
    sentence
}
