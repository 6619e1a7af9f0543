//! The table of checks. The run, its reports, the help and the tests read it.

use tonic::Code;

use super::report::Outcome;
use super::requests::{Fill, ODD_TEXT, huge};
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
    /// Makes the JSON body of the webhook.
    pub(super) body: fn(&Callback) -> String,
    /// Statuses with their own outcome and hint.
    pub(super) statuses: &'static [(Code, Outcome, &'static str)],
    /// Hint for every other status.
    pub(super) hint: &'static str,
}

/// Procedure of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Connects.
    Connection,
    /// Calls `grpc.health.v1`.
    Health,
    /// Calls server reflection.
    Reflection,
    /// Counts the callbacks that are not `UNIMPLEMENTED`.
    Implemented,
    /// Calls once.
    Once,
    /// Delivers one event twice.
    Twice,
    /// Cancels calls, then calls once.
    AfterCancelled,
    /// Makes calls with a deadline of 1 ms, then calls once.
    AfterDeadline,
    /// Makes 64 calls at once.
    AtOnce,
}

const NOT_A_VERDICT: &str = "answer OK, with a denial to deny; any other status but PERMISSION_DENIED is a failure, \
                             and the operator's rule decides";
const TWICE: &str = "answer a second delivery as the first: hookgate delivers at least once, by design";
const RECEIVE_LIMIT: &str =
    "raise the receive limit of the gRPC server above 1 MiB (4 MiB is the default of most libraries)";
const INVALID_ARGUMENT: (Code, Outcome, &str) = (
    Code::InvalidArgument,
    Outcome::Warning,
    "a failure all the same: answer OK with a denial if this is to be denied",
);

pub(super) const CONNECTION: Check = Check {
    name: "connection",
    purpose: "The policy is reached and speaks HTTP/2.",
    sent: "a connection",
    how: How::Connection,
    body: |_| String::new(),
    statuses: &[],
    hint: NOT_A_VERDICT,
};

pub(super) const LIFELIKE: Check = Check {
    name: "lifelike",
    purpose: "A webhook as OpenIM sends it is answered.",
    sent: "a lifelike request",
    how: How::Once,
    body: |callback| callback.example.to_owned(),
    ..CONNECTION
};

impl Check {
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
            purpose: "Server reflection lists the services, so that grpcurl needs no files.",
            sent: "ListServices of grpc.reflection.v1, or v1alpha",
            how: How::Reflection,
            ..CONNECTION
        },
        Self::IMPLEMENTED,
    ];

    /// Checks of every callback that is implemented, in the order in which they are run.
    pub const OF_CALLBACK: &[Self] = &[
        LIFELIKE,
        Self {
            name: "empty",
            purpose: "A request without any field is answered.",
            sent: "a request without any field",
            body: |_| "{}".to_owned(),
            statuses: &[INVALID_ARGUMENT],
            ..LIFELIKE
        },
        Self {
            name: "huge",
            purpose: "A large webhook, of 1 MiB, is answered.",
            sent: "a request near 1 MiB: every text long, 500 entries in every list",
            body: huge,
            statuses: &[
                INVALID_ARGUMENT,
                (Code::ResourceExhausted, Outcome::Failed, RECEIVE_LIMIT),
                // Some libraries call a message over their limit out of range.
                (Code::OutOfRange, Outcome::Failed, RECEIVE_LIMIT),
            ],
            ..LIFELIKE
        },
        Self {
            name: "unicode",
            purpose: "Texts from all over Unicode are answered.",
            sent: "every text with emoji, right-to-left, combining marks, NUL, U+FFFD, U+2028",
            body: |callback| Fill { text: Some(ODD_TEXT), entries: 2, ..Fill::default() }.body(callback),
            ..LIFELIKE
        },
        Self {
            name: "null-laden",
            purpose: "Fields that OpenIM may send as null may be absent.",
            sent: "a lifelike request, with every list, optional field and optional group absent",
            body: |callback| Fill { nulls: true, ..Fill::default() }.body(callback),
            ..LIFELIKE
        },
        Self {
            name: "unknown-fields",
            purpose: "Fields that a newer OpenIM adds do not make a call fail.",
            sent: "a lifelike request with unknown_fields, of nested objects too",
            body: |callback| Fill { unknown: true, entries: 1, ..Fill::default() }.body(callback),
            ..LIFELIKE
        },
        Self {
            name: "duplicate",
            purpose: "An event that comes again, with the same hookgate-event-id, is answered as well.",
            sent: "a lifelike event twice, with one hookgate-event-id",
            how: How::Twice,
            hint: TWICE,
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
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
