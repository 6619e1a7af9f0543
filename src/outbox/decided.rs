//! What the decision log has of an event after the reply to its webhook.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::Reason;
use super::entry::Entry;
use crate::contract::{LOWEST_CODE, Reply};
use crate::failure::Failure;
use crate::observe::decisions::{Decided, Late};

impl Entry {
    /// The verdict, which came after the reply.
    pub(super) fn answered_late(&self, reply: &Reply) -> Decided<'_> {
        // Nobody is told the code that stands for none.
        let code = match reply {
            Reply::Deny(denial) => Some(denial.code(0)).filter(|code| *code >= LOWEST_CODE),
            Reply::Allow { .. } => None,
        };
        let outcome = if let Reply::Deny(_) = reply { "deny" } else { "allow" };
        Decided { outcome, code, ..self.decided(Late::Verdict) }
    }

    /// That there will be none.
    pub(super) fn undelivered<'a>(&'a self, reason: Reason, failure: Option<&'a Failure>) -> Decided<'a> {
        let cause = failure.map(|failure| format!("{}: {}", failure.class, failure.cause_in_our_words()).into());
        Decided { outcome: "undelivered", cause, ..self.decided(Late::Undelivered(reason.as_str())) }
    }

    fn decided(&self, late: Late) -> Decided<'_> {
        Decided {
            callback: self.callback,
            command: plain(self.command()),
            operation_id: plain(self.operation_id()),
            event_id: self.event_id(),
            request: Some(self.message()),
            outcome: "",
            code: None,
            changes: &[],
            rule: None,
            cause: None,
            late: Some(late),
            attempt: self.attempts,
            took: vec![("took_us", self.arrived.elapsed())],
        }
    }
}

/// As it was before it became metadata.
fn plain(metadata: &str) -> Cow<'_, str> {
    percent_decode_str(metadata).decode_utf8_lossy()
}
