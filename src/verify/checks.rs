//! The table of checks. The run, its reports, the help and the tests read it.

use tonic::Code;

use super::requests::{Fill, ODD_TEXT, content_types, huge, undeniable};
use crate::contract::Callback;

/// A check: a row of the table.
#[derive(Debug)]
pub struct Check {
    /// Name, as in `null-laden`.
    pub name: &'static str,
    /// Purpose, in a sentence.
    pub purpose: &'static str,
    /// Description of the request.
    pub sent: &'static str,
    /// Procedure.
    pub(super) how: How,
    /// True if OpenIM sends no such request, so that a refusal of it is no fault.
    pub(super) is_made_up: bool,
    /// Statuses that are a warning.
    pub(super) warns_at: &'static [Code],
    /// Hint for every status, in place of that for the status.
    pub(super) hint: Option<&'static str>,
}

/// Procedure of a check. It sends the callback's example where it does not say what.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    /// Connects.
    Connection,
    /// Calls `grpc.health.v1`.
    Health,
    /// Calls server reflection.
    Reflection,
    /// Counts the callbacks that are not `UNIMPLEMENTED`.
    Implemented,
    /// Calls once, with the JSON body that this makes.
    Once(fn(&Callback) -> String),
    /// Calls once for each label and JSON body that this makes.
    Each(fn(&Callback) -> Vec<(String, String)>),
    /// Calls once for each of the requests that the user has.
    Own,
    /// Delivers one event twice.
    Twice,
    /// Cancels calls, then calls once.
    AfterCancelled,
    /// Makes calls with a deadline of 1 ms, then calls once.
    AfterDeadline,
    /// Makes 64 calls at once.
    AtOnce,
}

const TWICE: &str = "answer a second delivery as the first: hookgate delivers at least once, by design";

pub(super) const CONNECTION: Check = Check {
    name: "connection",
    purpose: "The policy is reached and speaks HTTP/2.",
    sent: "a connection",
    how: How::Connection,
    is_made_up: false,
    warns_at: &[],
    hint: None,
};

pub(super) const LIFELIKE: Check = Check {
    name: "lifelike",
    purpose: "A webhook as OpenIM sends it is answered.",
    sent: "a lifelike request",
    how: How::Once(|callback| callback.example.to_owned()),
    ..CONNECTION
};

impl Check {
    /// The webhooks of the user's are answered.
    pub const REQUESTS: Self = Self {
        name: "requests",
        purpose: "The webhooks of --requests are answered.",
        sent: "a webhook of --requests",
        how: How::Own,
        ..LIFELIKE
    };

    /// At least one callback is answered.
    pub const IMPLEMENTED: Self = Self {
        name: "implemented",
        purpose: "At least one callback is not UNIMPLEMENTED.",
        sent: "a lifelike call of each rpc",
        how: How::Implemented,
        ..CONNECTION
    };

    /// Checks of the service as a whole, in the order of the report.
    pub const OF_SERVICE: &[Self] = &[
        CONNECTION,
        Self {
            name: "health",
            purpose: "grpc.health.v1 says SERVING; hookgate follows it.",
            sent: "grpc.health.v1 Check",
            how: How::Health,
            ..CONNECTION
        },
        Self {
            name: "reflection",
            purpose: "Server reflection lists the services: grpcurl needs no files.",
            sent: "ListServices of grpc.reflection.v1, or v1alpha",
            how: How::Reflection,
            ..CONNECTION
        },
        Self::IMPLEMENTED,
    ];

    /// Checks of every callback that is implemented, in the order in which they are run.
    pub const OF_CALLBACK: &[Self] = &[
        LIFELIKE,
        Self::REQUESTS,
        Self {
            name: "empty",
            purpose: "A request without any field does no harm. OpenIM sends none.",
            sent: "a request without any field",
            how: How::Once(|_| "{}".to_owned()),
            is_made_up: true,
            ..LIFELIKE
        },
        Self {
            name: "huge",
            purpose: "A large webhook, of 1 MiB, is answered.",
            sent: "a request near 1 MiB: every text long, 500 entries in every list",
            how: How::Once(huge),
            warns_at: &[Code::InvalidArgument],
            ..LIFELIKE
        },
        Self {
            name: "unicode",
            purpose: "Texts from all over Unicode are answered.",
            sent: "every text with emoji, right-to-left, combining marks, NUL, U+FFFD, U+2028",
            how: How::Once(|callback| Fill { text: Some(ODD_TEXT), entries: 2, ..Fill::default() }.body(callback)),
            ..LIFELIKE
        },
        Self {
            name: "null-laden",
            purpose: "Fields that OpenIM may send as null may be absent.",
            sent: "a lifelike request, with every list, optional field and optional group absent",
            how: How::Once(|callback| Fill { nulls: true, ..Fill::default() }.body(callback)),
            ..LIFELIKE
        },
        Self {
            name: "unknown-fields",
            purpose: "Fields that a newer OpenIM adds do not make a call fail.",
            sent: "a lifelike request with unknown_fields, of nested objects too",
            how: How::Once(|callback| Fill { unknown: true, entries: 1, ..Fill::default() }.body(callback)),
            ..LIFELIKE
        },
        Self {
            name: "content-types",
            purpose: "A message of each common type is answered and keeps its type.",
            sent: "lifelike messages of each common content type",
            how: How::Each(content_types),
            ..LIFELIKE
        },
        Self {
            name: "must-allow",
            purpose: "Requests whose denial damages OpenIM's data are allowed.",
            sent: "requests whose denial damages OpenIM's data",
            how: How::Each(undeniable),
            ..LIFELIKE
        },
        Self {
            name: "duplicate",
            purpose: "An event that comes again, with the same ID, is answered too.",
            sent: "a lifelike event twice, with one hookgate-event-id",
            how: How::Twice,
            hint: Some(TWICE),
            ..LIFELIKE
        },
        Self {
            name: "cancelled",
            purpose: "Cancelled calls do not affect later ones.",
            sent: "calls cancelled in mid-flight, then a lifelike request",
            how: How::AfterCancelled,
            ..LIFELIKE
        },
        Self {
            name: "deadline",
            purpose: "Calls that run out of time do not affect later ones.",
            sent: "calls with a deadline of 1 ms, then a lifelike request",
            how: How::AfterDeadline,
            ..LIFELIKE
        },
        Self {
            name: "concurrent",
            purpose: "64 calls at once are all answered.",
            sent: "64 lifelike requests at once",
            how: How::AtOnce,
            ..LIFELIKE
        },
    ];

    /// Returns every check.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        Self::OF_SERVICE.iter().chain(Self::OF_CALLBACK)
    }

    /// Returns true if the webhooks of the user's are all that these checks send to callbacks.
    pub fn are_own(checks: &[&Self]) -> bool {
        let mut of_callback = checks.iter().filter(|check| Self::OF_CALLBACK.contains(check)).peekable();
        of_callback.peek().is_some() && of_callback.all(|check| **check == Self::REQUESTS)
    }
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
