//! A verdict as a line.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::{Duration, SystemTime};

use super::fields::Shown;
use crate::config::Rule;
use crate::contract;
use crate::contract::Callback;
use crate::failure::Class;

/// What there is to say of a verdict, or of the end of an event that got none.
#[derive(Debug)]
pub(crate) struct Decided<'a> {
    pub(crate) callback: &'static Callback,
    /// The command as posted.
    pub(crate) command: Cow<'a, str>,
    pub(crate) operation_id: Cow<'a, str>,
    /// Empty where the webhook was refused before it had one.
    pub(crate) event_id: &'a str,
    /// The encoded request, where the body was one.
    pub(crate) request: Option<&'a [u8]>,
    /// As the `hookgate-outcome` header has it; of an event that ends undelivered `undelivered`.
    pub(crate) outcome: &'static str,
    /// The code of a denial.
    pub(crate) code: Option<i32>,
    /// The JSON names of what was changed.
    pub(crate) changes: &'a [&'static str],
    /// The rule that decided, and for which class of failure.
    pub(crate) rule: Option<(Class, Rule)>,
    /// Why there was no verdict, without a word of the policy's.
    pub(crate) cause: Option<Cow<'a, str>>,
    /// What follows the reply of an After event.
    pub(crate) late: Option<Late>,
    /// How often the policy was asked by then; none where it was not, or that is not known yet.
    pub(crate) attempt: u32,
    /// The parts of its way, and how long each took.
    pub(crate) took: Vec<(&'static str, Duration)>,
}

/// What a line says that is about an event whose webhook has a line of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Late {
    /// The verdict came after the reply.
    Verdict,
    /// It ended undelivered, for this reason.
    Undelivered(&'static str),
}

impl Decided<'_> {
    /// Whether it is the ordinary case, of which a share is enough.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.outcome, "allow" | "accepted")
    }

    /// Whether it is in the share of events that are written. All lines of an event are or are not, on every hookgate:
    /// the end of its ID is random.
    pub(super) fn is_among(&self, share: f64) -> bool {
        let end = self.event_id.get(self.event_id.len().saturating_sub(8)..);
        let random = end.and_then(|end| u32::from_str_radix(end, 16).ok());
        share >= 1.0 || random.is_none_or(|random| f64::from(random) < share * 2_f64.powi(32))
    }

    /// The line, with its line feed.
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
            line.text("rule", &format!("{class}={}", rule.as_str()));
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

/// A line that grows. What is empty is left out.
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
