//! A line of the decision log.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use percent_encoding::percent_decode_str;

use super::fields::Shown;
use crate::contract::{Callback, Metadata, metadata};

/// A verdict, or the end of an event that never got one. Its members with empty values are omitted from the line.
#[derive(Debug, Serialize)]
pub(crate) struct Decided<'a> {
    #[serde(flatten, serialize_with = "callback_and_rpc")]
    pub(crate) callback: &'static Callback,
    /// The command as OpenIM sent it.
    pub(crate) command: Cow<'a, str>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) operation_id: Cow<'a, str>,
    /// Empty if the webhook was refused before an ID was made.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) event_id: &'a str,
    /// The value of the `hookgate-outcome` header, or `undelivered`.
    pub(crate) outcome: &'static str,
    /// True on a line that follows the line of the event's webhook: the verdict came after the reply to OpenIM, or none came.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) late: bool,
    /// The reason for which the event was not delivered.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) reason: &'static str,
    /// The error code of a denial.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) code: Option<i32>,
    /// The JSON names of changed fields.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) changes: &'a [&'static str],
    /// The failure rule that decided, with the class of the failure: `deadline=allow`.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) rule: String,
    /// The cause, if there was no verdict. Holds none of the policy's own text.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) cause: Cow<'a, str>,
    /// The route by which the policy was not asked.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) route: &'a str,
    /// The named policy that denied or failed, or that was asked alone and changed something; of a late line the one that was told.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) policy: &'a str,
    /// The named policies that were asked, with what each made of the webhook.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) policies: Vec<PolicyPart<'a>>,
    /// The comparison of a shadow's verdict with the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shadow: Option<ShadowLine<'a>>,
    /// The number of attempts so far; 0 if there was none, or the number is not known yet.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) attempt: u32,
    /// The phases of the call by name, with their durations.
    #[serde(flatten, serialize_with = "microseconds")]
    pub(crate) took: Vec<(&'static str, Duration)>,
    /// The encoded request message, if the body could be decoded.
    #[serde(skip)]
    pub(crate) request: Option<&'a [u8]>,
}

/// The part of a named policy in a decision.
#[derive(Debug, Serialize)]
pub(crate) struct PolicyPart<'a> {
    pub(crate) policy: &'a str,
    /// The outcome, as if it were asked alone.
    pub(crate) outcome: &'static str,
    pub(crate) took_us: u64,
}

/// A comparison of a shadow's verdict with the reply.
#[derive(Debug, Serialize)]
pub(crate) struct ShadowLine<'a> {
    pub(crate) difference: &'static str,
    pub(crate) live: Side<'a>,
    pub(crate) shadow: Side<'a>,
    /// The JSON names of the fields that are changed otherwise.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) fields: &'a [String],
}

/// A side of a comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Side<'a> {
    /// The outcome; of a shadow without a verdict the class of its failure.
    pub(crate) outcome: &'static str,
    /// The error code of a denial.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) code: Option<i32>,
    /// The JSON names of changed fields.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) changes: &'a [&'static str],
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    decided: &'a Decided<'a>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<'a> Decided<'a> {
    /// The row of what comes after the reply to a webhook with this metadata; `request` is its encoded message.
    pub(crate) fn late(callback: &'static Callback, metadata: &'a Metadata, request: &'a [u8]) -> Self {
        // As it was before it became metadata.
        let plain = |text: &'a str| percent_decode_str(text).decode_utf8_lossy();
        Self {
            callback,
            command: plain(metadata.shown_command()),
            operation_id: plain(metadata.get(&metadata::OPERATION_ID)),
            event_id: metadata.get(&metadata::EVENT_ID),
            outcome: "",
            late: true,
            reason: "",
            code: None,
            changes: &[],
            rule: String::new(),
            cause: Cow::default(),
            route: "",
            policy: "",
            policies: Vec::new(),
            shadow: None,
            attempt: 0,
            took: Vec::new(),
            request: Some(request),
        }
    }

    /// Returns true for an unchanged allow, an accepted event and what was skipped, of which `decisions.allows` may keep a sample.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.outcome, "allow" | "accepted" | "skipped")
    }

    /// Returns true if the event is in a sample of this share. The end of its ID, which is random, decides: all lines of an
    /// event are in the sample or none, on every replica.
    pub(super) fn is_sampled(&self, share: f64) -> bool {
        let end = self.event_id.get(self.event_id.len().saturating_sub(8)..);
        let random = end.and_then(|end| u32::from_str_radix(end, 16).ok());
        share >= 1.0 || random.is_none_or(|random| f64::from(random) < share * 2_f64.powi(32))
    }

    /// Returns the line, with its line feed.
    pub(super) fn line(&self, shown: &Shown) -> Vec<u8> {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let fields = self.request.map(|request| shown.members(request)).unwrap_or_default();
        let mut line = Vec::with_capacity(640);
        // Writing to memory cannot fail.
        let written = serde_json::to_writer(&mut line, &Line { time, decided: self, fields });
        debug_assert!(written.is_ok());
        line.push(b'\n');
        line
    }
}

fn callback_and_rpc<S: Serializer>(callback: &&'static Callback, to: S) -> Result<S::Ok, S::Error> {
    let names = [("callback", callback.config_key), ("rpc", callback.service_and_method())];
    to.collect_map(names.into_iter().filter(|(_, name)| !name.is_empty()))
}

fn microseconds<S: Serializer>(took: &[(&str, Duration)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(took.iter().map(|(phase, took)| (phase, took.as_micros())))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
