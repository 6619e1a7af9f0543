//! The time that a call has: until the deadline of whoever waits for it, else as long as its own `grpc-timeout` says.
//!
//! Until a call is sent it is given up when that is over; sent it is left to whoever waits for it.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::time::Instant;

tokio::task_local! {
    /// When a call is given up by whoever waits for it. A `grpc-timeout` counts from when it is read, which may be later than
    /// when it was written: a call would be sent that is late already.
    pub(in crate::policy) static DEADLINE: Instant;
}

/// When a call with these headers is too late to be sent, if ever.
pub(super) fn deadline(headers: &HeaderMap) -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok().or_else(|| Some(Instant::now() + told(headers)?))
}

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What a call says, if it says anything: digits and a unit (gRPC over HTTP/2, "Requests").
fn told(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count.checked_mul(3600)?),
        "M" => Duration::from_secs(count.checked_mul(60)?),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Has a call say that it has less time left.
pub(super) fn tell(headers: &mut HeaderMap, left: Duration) {
    let mut request = tonic::Request::new(());
    request.set_timeout(left);
    if let Some(mut value) = request.into_parts().0.into_headers().remove(GRPC_TIMEOUT) {
        // No other call will say the same.
        value.set_sensitive(true);
        headers.insert(GRPC_TIMEOUT, value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::{GRPC_TIMEOUT, tell, told};

    #[test]
    fn what_is_told_is_read() {
        let mut headers = HeaderMap::new();
        for nanos in [0, 1, 99_999_999, 100_000_000, 4_999_000_000, 3_600_000_000_000, 900_000_000_000_000_000] {
            let left = Duration::from_nanos(nanos);
            tell(&mut headers, left);
            let read = told(&headers).expect("a time");
            // Eight digits are what gRPC has for it.
            assert!(read <= left && left - read <= left / 10_000_000, "{left:?} {read:?}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(told(&headers), None);
        for value in ["", "m", "5", "5x", "-5m", "5 m", "1\u{e9}"] {
            headers.insert(GRPC_TIMEOUT, value.parse().expect("a header"));
            assert_eq!(told(&headers), None, "{value:?}");
        }
        headers.insert(GRPC_TIMEOUT, "3H".parse().expect("a header"));
        assert_eq!(told(&headers), Some(Duration::from_secs(10_800)));
    }
}
