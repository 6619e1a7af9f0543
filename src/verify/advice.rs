//! Advice on a call that failed: the fault in a few words, and what to change.

use std::borrow::Cow;
use std::time::Duration;

use tonic::Code;

use super::judge::Call;
use crate::contract::Timing;
use crate::failure::{Class, Failure, code_name, is_taken_for_denial};

/// The name of a fault, and advice to the author of the policy.
pub(super) type Advice = (Cow<'static, str>, &'static str);

/// Time before the deadline from which an answer about a deadline is taken for one about this deadline.
const NEAR: Duration = Duration::from_millis(300);

const NOT_A_VERDICT: &str = "answer OK, with a denial to deny; any other status but PERMISSION_DENIED is a failure, \
                             and the operator's rule decides";
const DENIES: &str = "if this is a denial, answer OK with a denial in the response, or PERMISSION_DENIED: any other \
                      status is a failure, and the operator's rule decides, which may be to allow";
const REFUSES_EVENT: &str = "answer OK to an event that the policy has no use for: after any status but OK, \
                             PERMISSION_DENIED and UNIMPLEMENTED hookgate delivers it again";
const UNCAUGHT: &str = "look for the exception, or the error that has no status, in the policy's log; catch it and answer \
                        OK, with a denial to deny: without a verdict the operator's rule decides";
const UNCAUGHT_AT_EVENT: &str = "look for the exception, or the error that has no status, in the policy's log; catch it and \
                                 answer OK: after it hookgate delivers the event again";
const OWN_DEADLINE: &str = "something that the policy calls has a shorter deadline than the policy, or the server sets one: \
                            derive it from the call's own deadline (grpc-timeout), and decide without that answer";
/// The name of the fault, whether the policy's server gives up at the call's deadline or only hookgate does.
const NO_ANSWER: &str = "no answer in time";
const LATE: &str = "answer within the budget; what takes longer is done behind the answer";
const RECEIVE_LIMIT: &str =
    "raise the receive limit of the gRPC server above 1 MiB (4 MiB is the default of most libraries)";
const OVERLOADED: &str =
    "raise the server's limit of concurrent calls or its queue; hookgate bounds its calls by limits.calls";
const CREDENTIALS: &str = "leave hookgate's calls out of the interceptor that wants credentials: hookgate proves itself by a \
                           client certificate only (policy_tls)";
const AWAY: &str = "see that the policy is up, and that its proxy reaches it; if it cannot decide without something else \
                    that is away, this is the right answer";
const UNIMPLEMENTED: &str = "it answers other requests of this rpc: answer OK, with a denial to deny";
const DISCONNECTED: &str = "the policy closed or reset the connection, or its process ended: look at its log";
const NOT_GRPC: &str = "something that is no gRPC service answers in its place";

/// Beginnings of the texts that gRPC libraries give a status for an uncaught exception: Python, asyncio, Java, C#, Node.js,
/// C++, recovery interceptors in Go.
const OF_EXCEPTIONS: [&str; 8] = [
    "Exception calling application",
    "Unexpected <class",
    "Application error processing RPC",
    "Exception was thrown by handler",
    "Server method handler threw error",
    "Unexpected error in RPC handling",
    "internal error",
    "panic",
];

/// Parts of the texts of libraries about a message that is too long.
const OF_RECEIVE_LIMITS: [&str; 4] = ["larger than", "exceeds", "too large", "too big"];

/// Returns the advice on a failure other than an invalid reply. `text` is the status's own.
pub(super) fn on_failure(failure: &Failure, text: &str, call: &Call<'_>) -> Advice {
    match (failure.status, failure.class) {
        (Some(code), _) => on_status(code, text, call),
        (None, Class::Deadline) => (NO_ANSWER.into(), LATE),
        (None, _) if is_disconnect(failure) => ("the call was cut off".into(), DISCONNECTED),
        (None, _) => ("an answer that is not gRPC".into(), NOT_GRPC),
    }
}

fn on_status(code: Code, text: &str, call: &Call<'_>) -> Advice {
    let name = code_name(code);
    let is_event = call.request.callback.timing == Timing::After;
    let uncaught = if is_event { UNCAUGHT_AT_EVENT } else { UNCAUGHT };
    let is_exception = OF_EXCEPTIONS.iter().any(|beginning| text.starts_with(beginning));
    let is_too_long = call.request.is_huge() || OF_RECEIVE_LIMITS.iter().any(|part| text.contains(part));
    match code {
        Code::Unknown => ("an uncaught exception: UNKNOWN".into(), uncaught),
        Code::Internal if is_exception => ("an uncaught exception: INTERNAL".into(), uncaught),
        Code::ResourceExhausted | Code::OutOfRange if is_too_long => {
            (format!("{name} over the size of a request").into(), RECEIVE_LIMIT)
        }
        Code::ResourceExhausted => (name.into(), OVERLOADED),
        Code::DeadlineExceeded | Code::Cancelled if call.elapsed + NEAR < call.budget => {
            (format!("{name} before the call's deadline").into(), OWN_DEADLINE)
        }
        Code::DeadlineExceeded | Code::Cancelled => (NO_ANSWER.into(), LATE),
        Code::Unauthenticated => (name.into(), CREDENTIALS),
        Code::Unavailable => (name.into(), AWAY),
        Code::Unimplemented => ("UNIMPLEMENTED for some requests".into(), UNIMPLEMENTED),
        code if is_taken_for_denial(code) && !is_event => (format!("{name} for a denial").into(), DENIES),
        code if is_taken_for_denial(code) => (format!("{name} to an event").into(), REFUSES_EVENT),
        _ if is_event => (name.into(), REFUSES_EVENT),
        _ => (name.into(), NOT_A_VERDICT),
    }
}

/// Returns true if there was no connection, or it broke.
pub(super) fn is_disconnect(failure: &Failure) -> bool {
    failure.class == Class::Unavailable && failure.status.is_none() && !failure.not_grpc
}
