//! What the releases of OpenIM make of a reply, in words.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::contract::{Callback, Timing};
use crate::openim::{self, ClientError, Effect, Reading, Release};

/// What some releases of OpenIM do after a reply.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlook {
    /// The releases, newest first.
    pub releases: Vec<&'static str>,
    /// What they do, in a word.
    pub verdict: Verdict,
    /// What they do, in a sentence.
    pub sentence: String,
}

/// What OpenIM does after a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The operation goes on as it is.
    Allowed,
    /// It goes on changed.
    Changed,
    /// It is stopped, with the policy's words.
    Denied,
    /// The event has happened; nobody looks at the reply.
    Told,
    /// It is stopped, because the reply cannot be read.
    Unreadable,
    /// It goes on and does harm.
    Harmful,
}

impl Verdict {
    /// `allowed`, `changed` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Changed => "changed",
            Self::Denied => "denied",
            Self::Told => "told",
            Self::Unreadable => "unreadable",
            Self::Harmful => "harmful",
        }
    }
}

/// What each release that sends the callback makes of the reply, newest first; those that agree stand together.
pub fn outlook(callback: &Callback, request: &[u8], reply: &[u8]) -> Vec<Outlook> {
    let mut all: Vec<Outlook> = Vec::new();
    for release in Release::ALL.into_iter().rev() {
        // What no release sends is read as the newest would.
        let never_sent = callback.releases.is_empty() && release == Release::V3_8_4;
        if !never_sent && !callback.releases.contains(&release.as_str()) {
            continue;
        }
        let (verdict, sentence) = describe(callback, openim::read(callback, request, reply, release), release);
        match all.iter_mut().find(|outlook| outlook.verdict == verdict && outlook.sentence == sentence) {
            Some(outlook) => outlook.releases.push(release.as_str()),
            None => all.push(Outlook { releases: vec![release.as_str()], verdict, sentence }),
        }
    }
    all
}

fn describe(callback: &Callback, reading: Reading, release: Release) -> (Verdict, String) {
    let event = callback.timing == Timing::After;
    match reading {
        _ if !release.heeds(callback.timing) => {
            (Verdict::Told, "it has happened already; OpenIM ignores the reply".to_owned())
        }
        Reading::Allowed(effects) if effects.is_empty() && event => {
            (Verdict::Told, "it has happened already; the reply changes nothing".to_owned())
        }
        Reading::Allowed(effects) if effects.is_empty() => (Verdict::Allowed, "it goes on as it is".to_owned()),
        Reading::Allowed(effects) => (Verdict::Changed, effects.iter().map(effect).collect::<Vec<_>>().join(", ")),
        Reading::Denied(told) => (Verdict::Denied, client(&told, event)),
        Reading::Unreadable { told, why } => {
            (Verdict::Unreadable, format!("{}: the reply cannot be read ({why})", client(&told, event)))
        }
        Reading::Harmful { field, why } => (Verdict::Harmful, format!("{field}: {why}")),
    }
}

fn effect(effect: &Effect) -> String {
    match &effect.value {
        Some(value) => format!("{} becomes {value}", effect.field),
        None => format!("{} becomes empty", effect.field),
    }
}

/// What the API client reads.
fn client(told: &ClientError, event: bool) -> String {
    let ClientError { code, message, detail } = told;
    let mut sentence = match (code, event) {
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
