//! A line of the decision log.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::{Duration, SystemTime};

use super::fields::Shown;
use crate::config::Rule;
use crate::contract;
use crate::contract::Callback;
use crate::failure::Class;

/// A verdict, or the end of an event that never got one.
#[derive(Debug)]
pub(crate) struct Decided<'a> {
    pub(crate) callback: &'static Callback,
    /// The command as OpenIM sent it.
    pub(crate) command: Cow<'a, str>,
    pub(crate) operation_id: Cow<'a, str>,
    /// Empty if the webhook was refused before an ID was made.
    pub(crate) event_id: &'a str,
    /// The encoded request message, if the body could be decoded.
    pub(crate) request: Option<&'a [u8]>,
    /// The value of the `hookgate-outcome` header, or `undelivered`.
    pub(crate) outcome: &'static str,
    /// The error code of a denial.
    pub(crate) code: Option<i32>,
    /// The JSON names of changed fields.
    pub(crate) changes: &'a [&'static str],
    /// The failure rule that decided, with the class of the failure.
    pub(crate) rule: Option<(Class, Rule)>,
    /// The cause, if there was no verdict. Holds none of the policy's own text.
    pub(crate) cause: Option<Cow<'a, str>>,
    /// Set on a line that follows the line of the event's webhook.
    pub(crate) late: Option<Late>,
    /// The number of attempts so far; 0 if there was none, or the number is not known yet.
    pub(crate) attempt: u32,
    /// The phases of the call by name, with their durations.
    pub(crate) took: Vec<(&'static str, Duration)>,
}

/// The reason for another line after that of the event's webhook.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Late {
    /// The verdict came after the reply to OpenIM.
    Verdict,
    /// The event was not delivered, for this reason.
    Undelivered(&'static str),
}

impl Decided<'_> {
    /// Returns true for an unchanged allow and an accepted event, of which `decisions.allows` may keep a sample.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.outcome, "allow" | "accepted")
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
        let mut line = Line(Vec::with_capacity(640));
        line.0.push(b'{');
        contract::write_name(0, "time", &mut line.0);
        contract::write_text(&humantime::format_rfc3339_millis(SystemTime::now()).to_string(), &mut line.0);
        line.text("callback", self.callback.config_key);
        line.text("rpc", self.callback.service_and_method());
        line.text("command", &self.command);
        line.text("operation_id", &self.operation_id);
        line.text("event_id", self.event_id);
        line.text("outcome", self.outcome);
        if let Some(late) = self.late {
            line.plain("late", true);
            if let Late::Undelivered(reason) = late {
                line.text("reason", reason);
            }
        }
        if let Some(code) = self.code {
            line.plain("code", code);
        }
        if !self.changes.is_empty() {
            contract::write_name(1, "changes", &mut line.0);
            for (index, change) in self.changes.iter().enumerate() {
                line.0.push(if index == 0 { b'[' } else { b',' });
                contract::write_text(change, &mut line.0);
            }
            line.0.push(b']');
        }
        if let Some((class, rule)) = self.rule {
            line.text("rule", &format!("{class}={rule}"));
        }
        line.text("cause", self.cause.as_deref().unwrap_or_default());
        if self.attempt > 0 {
            line.plain("attempt", self.attempt);
        }
        for (part, took) in &self.took {
            line.plain(part, took.as_micros());
        }
        if let Some(request) = self.request {
            shown.write(request, &mut line.0);
        }
        line.0.extend_from_slice(b"}\n");
        line.0
    }
}

/// A JSON object being written. Empty texts are omitted.
struct Line(Vec<u8>);

impl Line {
    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            contract::write_name(1, name, &mut self.0);
            contract::write_text(text, &mut self.0);
        }
    }

    fn plain(&mut self, name: &str, value: impl Display) {
        contract::write_name(1, name, &mut self.0);
        self.0.extend_from_slice(value.to_string().as_bytes());
    }
}
