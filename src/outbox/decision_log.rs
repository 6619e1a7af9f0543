//! Rows of the decision log about an event, after the reply to its webhook.

use super::Reason;
use super::entry::{Entry, Kept};
use crate::contract::{LOWEST_CODE, Reply};
use crate::failure::Failure;
use crate::observe::decisions::Decided;

impl Entry {
    /// The verdict, which came after the reply.
    pub(super) fn answered_late(&self, reply: &Reply) -> Decided<'_> {
        // Nobody is told the code that stands for none.
        let code = match reply {
            Reply::Deny(denial) => Some(denial.code(0)).filter(|code| *code >= LOWEST_CODE),
            Reply::Allow { .. } => None,
        };
        let outcome = if let Reply::Deny(_) = reply { "deny" } else { "allow" };
        Decided { outcome, code, ..self.decided() }
    }

    /// Returns the row of an event that ended undelivered.
    pub(super) fn undelivered<'a>(&'a self, reason: Reason, failure: Option<&'a Failure>) -> Decided<'a> {
        let cause = failure.map(|failure| format!("{}: {}", failure.class, failure.cause_in_our_words()));
        let cause = cause.unwrap_or_default().into();
        Decided { outcome: "undelivered", reason: reason.as_str(), cause, ..self.decided() }
    }

    fn decided(&self) -> Decided<'_> {
        let Kept { callback, metadata, message, arrived, .. } = &*self.event;
        Decided {
            attempt: self.progress.attempts,
            took: vec![("took_us", arrived.elapsed())],
            ..Decided::late(callback, metadata, message)
        }
    }
}
