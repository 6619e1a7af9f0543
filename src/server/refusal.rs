//! Requests that are refused before the policy is asked.

use crate::contract::Malformed;
use crate::failure::Class;
use crate::memory::NoRoom;
use crate::observe::counters::NotWebhook;
use crate::observe::rejected::Reason;

/// A request that OpenIM would not send. The text is for both: it names what was wrong and repeats no content.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The caller may not call.
    #[error("{}", .0.told())]
    Caller(Reason),
    /// The path and query name no callback.
    #[error("no callback has this path: the last part must be a callback command")]
    NotFound,
    /// Not a POST.
    #[error("a webhook is a POST")]
    Method,
    /// The body is larger than the limit, in bytes.
    #[error("the body is larger than {0} bytes (limits.body)")]
    TooLarge(usize),
    /// The head is larger than the limit, in bytes, or has more fields than hyper takes.
    #[error("the head of the request is larger than {0} bytes (limits.head) or has more than 100 fields")]
    HeadTooLarge(usize),
    /// There was no room for the head.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The body did not arrive within the budget.
    #[error("the body did not arrive in time")]
    Late,
    /// The body ended before its announced end.
    #[error("the body ended early")]
    CutShort,
    /// The body is not what the callback carries.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Refusal {
    /// The counter of a refused request that names no callback.
    pub(super) fn not_webhook(&self) -> NotWebhook {
        match self {
            Self::Method => NotWebhook::NoPost,
            Self::HeadTooLarge(_) => NotWebhook::HeadTooLarge,
            _ => NotWebhook::NoCallback,
        }
    }

    /// Class of failure of a request that could not be read whole; `None` for requests that nobody would send and callers that may
    /// not call.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::TooLarge(_) | Self::HeadTooLarge(_) | Self::NoRoom(_) => Some(Class::Overloaded),
            Self::Late => Some(Class::Deadline),
            Self::CutShort | Self::Caller(_) | Self::NotFound | Self::Method | Self::Malformed(_) => None,
        }
    }
}
