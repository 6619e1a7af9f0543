//! Deadlines of calls: a call that has not been sent by then never is; one that was sent is left to its caller.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

tokio::task_local! {
    /// The deadline of the call that the task makes.
    pub(in crate::policy) static DEADLINE: Instant;
}

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Writes the time that is left as `grpc-timeout` (gRPC over HTTP/2, "Requests"): at most eight digits, and a unit. Most
/// calls get the same whole milliseconds, which HPACK encodes in a byte; `sensitive` keeps a rare value out of its table.
pub(in crate::policy) fn set_grpc_timeout(headers: &mut HeaderMap, left: Duration, sensitive: bool) {
    let (number, unit) = match left.as_millis() {
        0..100 => (left.as_micros() as u64, b"u"),
        millis @ 100..100_000_000 => (millis as u64, b"m"),
        _ => (left.as_secs().min(99_999_999), b"S"),
    };
    let mut digits = itoa::Buffer::new();
    let text = [digits.format(number).as_bytes(), unit].concat();
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(sensitive);
        headers.insert(GRPC_TIMEOUT, value);
    }
}
