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
    /// The JSON names of the fields whose value is lost to an empty one.
    pub emptied: Vec<&'static str>,
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
        let reading = read(callback, request, reply, release);
        let emptied = match &reading {
            Reading::Allowed(effects) => {
                effects.iter().filter(|effect| effect.empties()).map(|effect| effect.field).collect()
            }
            _ => Vec::new(),
        };
        let (verdict, sentence) = describe(callback, request, reading, release);
        match all.iter_mut().find(|other| other.verdict == verdict && other.sentence == sentence) {
            Some(other) => other.releases.push(release.as_str()),
            None => all.push(Explanation { releases: vec![release.as_str()], verdict, sentence, emptied }),
        }
    }
    all
}

fn describe(callback: &Callback, request: &[u8], reading: Reading, release: Release) -> (Interpretation, String) {
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
            (Interpretation::Changed, effects.iter().map(describe_effect).collect::<Vec<_>>().join(", "))
        }
        Reading::Denied(error) => (Interpretation::Denied, describe_error(callback, request, &error)),
        Reading::Unreadable { told, why } => {
            let error = describe_error(callback, request, &told);
            let why = if error.contains(&*why) { String::new() } else { format!(" ({why})") };
            (Interpretation::Unreadable, format!("{error}: OpenIM cannot read the reply{why}"))
        }
        Reading::Harmful { field, why } => (Interpretation::Harmful, format!("{field}: {why}")),
    }
}

fn describe_effect(effect: &Effect) -> String {
    let Effect { field, value, instead_of } = effect;
    let now = match value {
        Some(value) if !effect.empties() || value.is_number() || value.is_boolean() => value.to_string(),
        _ => "empty".to_owned(),
    };
    match instead_of {
        _ if !effect.empties() => format!("{field} becomes {now}"),
        Some(own) => format!("{field} becomes {now} instead of {own}"),
        None => format!("{field} becomes {now}, whatever it was"),
    }
}

/// Describes the error that the API client gets, or the effect of one that it does not get.
fn describe_error(callback: &Callback, request: &[u8], error: &ClientError) -> String {
    let ClientError { code, message, detail } = error;
    // OpenIM asks these callbacks outside of the API client's call.
    if callback.fails_open {
        let effect = callback.denial_damage(request).unwrap_or(callback.fail_closed_breaks);
        return format!("the client that sent the message does not see errCode {code}: {effect}");
    }
    let mut sentence = match (code, callback.timing) {
        (0, _) => "the client gets errCode 0, a success, although it is stopped".to_owned(),
        (_, Timing::Before) => format!("the client gets errCode {code}"),
        (_, Timing::After) => format!("it has happened already, but the client gets errCode {code}"),
    };
    if !message.is_empty() {
        let _ = write!(sentence, ", errMsg {}", Value::from(&**message));
    }
    if !detail.is_empty() && detail != message {
        let _ = write!(sentence, ", errDlt {}", Value::from(&**detail));
    }
    sentence
}
