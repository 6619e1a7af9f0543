//! Outlier detection, as in Envoy and gRPC: ejects an address that fails its calls fast. With few calls in flight it would
//! be picked for most of them.
//!
//! Failures are calls that end with `UNAVAILABLE`, `INTERNAL`, `UNKNOWN`, `RESOURCE_EXHAUSTED` or `DATA_LOSS`, with HTTP
//! 429 or 5xx and no `grpc-status`, or with a reset of their stream; and a connection that breaks during calls, once.
//! `CANCELLED` and `DEADLINE_EXCEEDED` do not count, as they are slow, nor does a response that is not one message. Any other
//! status is a success. [`FAILURES`] in a row eject.
//!
//! An ejected address is picked only if no other of the same or better health is ready. After [`FIRST`], doubled each time up
//! to [`LONGEST`], it gets one call at a time; the first success ends the ejection.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Code;

use super::Error;
use crate::policy::CallError;
use crate::policy::grpc::NotGrpc;

/// Failures in a row that eject an address.
pub(super) const FAILURES: u32 = 5;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

/// The outlier detection of an address.
#[derive(Debug, Default)]
pub(super) struct Outlier {
    failures: AtomicU32,
    ejected: Mutex<Ejected>,
}

#[derive(Debug, Default)]
struct Ejected {
    until: Option<Instant>,
    /// Duration of this ejection, or of the last one.
    time: Duration,
}

impl Outlier {
    /// Records the result of a call.
    pub(super) fn record(&self, result: &Result<Bytes, CallError>) {
        match result {
            Err(CallError::Status(code, _)) => match code {
                Code::Unavailable | Code::Internal | Code::Unknown | Code::ResourceExhausted | Code::DataLoss => {
                    self.fail()
                }
                Code::Cancelled | Code::DeadlineExceeded => {}
                _ => self.succeed(),
            },
            Err(CallError::NotGrpc(NotGrpc::Status(http)))
                if *http == StatusCode::TOO_MANY_REQUESTS || http.is_server_error() =>
            {
                self.fail()
            }
            Err(
                CallError::Channel(Error::NotProcessed(error) | Error::Interrupted(error)) | CallError::CutOff(error),
            ) => {
                let slow = matches!(error.reason(), Some(h2::Reason::CANCEL | h2::Reason::NO_ERROR));
                if error.is_reset() && error.is_remote() && !slow {
                    self.fail();
                }
            }
            Err(_) => {}
            Ok(_) => self.succeed(),
        }
    }

    /// Records a failure.
    pub(super) fn fail(&self) {
        // Cannot overflow: failures are not counted after an ejection.
        if self.failures.load(Relaxed) < FAILURES && self.failures.fetch_add(1, Relaxed) + 1 < FAILURES {
            return;
        }
        let (now, ejected) = (Instant::now(), &mut *self.ejected.lock());
        // A call that began before the ejection does not prolong it.
        if ejected.until.is_none_or(|until| until <= now) {
            ejected.time = (ejected.time * 2).clamp(FIRST, LONGEST);
            ejected.until = Some(now + ejected.time);
        }
    }

    fn succeed(&self) {
        if self.failures.load(Relaxed) > 0 && self.failures.swap(0, Relaxed) >= FAILURES {
            *self.ejected.lock() = Ejected::default();
        }
    }

    /// Returns true if the address is ejected, while this number of calls is in flight.
    pub(super) fn is_ejected(&self, in_flight: usize) -> bool {
        self.failures.load(Relaxed) >= FAILURES
            && (in_flight > 0 || self.ejected.lock().until.is_some_and(|until| Instant::now() < until))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::{FAILURES, FIRST, LONGEST, Outlier};

    #[tokio::test(start_paused = true)]
    async fn it_comes_back_after_a_bounded_time_with_one_call_at_a_time() {
        let outlier = Outlier::default();
        (0..FAILURES).for_each(|_| outlier.fail());
        let mut time = FIRST;
        for _ in 0..10 {
            advance(time - Duration::from_millis(1)).await;
            assert!(outlier.is_ejected(0), "before {time:?}");
            // A call in flight does not prolong it.
            outlier.fail();
            advance(Duration::from_millis(1)).await;
            assert!(!outlier.is_ejected(0) && outlier.is_ejected(1), "after {time:?}");
            outlier.fail();
            time = (time * 2).min(LONGEST);
        }
        advance(time).await;
        outlier.succeed();
        assert!(!outlier.is_ejected(1));
    }
}
