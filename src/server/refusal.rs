//! Requests that are refused before the policy is asked.

use http::StatusCode;

use crate::contract::Malformed;
use crate::failure::Class;
use crate::memory::NoRoom;
use crate::observe::counters::NotWebhook;
use crate::observe::rejected::Reason;

/// A request that OpenIM would not send. Its sentence goes to the client and to the log: it names what was wrong and
/// repeats no content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The caller may not call.
    #[error("{}", .0.sentence())]
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
    /// Returns what becomes of the request: the HTTP status, the class of failure if it could not be read whole, the counter if
    /// it names no callback, and whether the connection is closed, as the rest of the request would be taken for the next one.
    fn row(&self) -> (StatusCode, Option<Class>, NotWebhook, bool) {
        use NotWebhook::{HeadTooLarge, NoCallback, NoPost};
        match self {
            // The next connection may come with another certificate.
            Self::Caller(reason) => (status_of(*reason), None, NoCallback, *reason == Reason::Certificate),
            Self::NotFound => (StatusCode::NOT_FOUND, None, NoCallback, false),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, None, NoPost, false),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Some(Class::Overloaded), NoCallback, true),
            Self::HeadTooLarge(_) => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Some(Class::Overloaded), HeadTooLarge, true)
            }
            Self::NoRoom(_) => (StatusCode::SERVICE_UNAVAILABLE, Some(Class::Overloaded), NoCallback, true),
            Self::Late => (StatusCode::REQUEST_TIMEOUT, Some(Class::Deadline), NoCallback, true),
            Self::CutShort => (StatusCode::BAD_REQUEST, None, NoCallback, true),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, None, NoCallback, false),
        }
    }

    /// The HTTP status of the reply.
    pub(crate) fn status(&self) -> StatusCode {
        self.row().0
    }

    /// Class of failure of a request that could not be read whole; `None` for requests that OpenIM never sends and callers
    /// that may not call.
    pub(crate) fn class(&self) -> Option<Class> {
        self.row().1
    }

    /// The counter of a refused request that names no callback.
    pub(super) fn not_webhook(&self) -> NotWebhook {
        self.row().2
    }

    /// Returns true if the reply closes the connection.
    pub(super) fn closes(&self) -> bool {
        self.row().3
    }
}

fn status_of(reason: Reason) -> StatusCode {
    match reason {
        Reason::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
        Reason::PlainHttp | Reason::NotHttp | Reason::Http2 | Reason::ProxyProtocol => StatusCode::BAD_REQUEST,
        _ => StatusCode::UNAUTHORIZED,
    }
}
