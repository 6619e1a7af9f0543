//! A webhook's body, no larger than the limit and no later than the deadline.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use tokio::time::{Instant, timeout_at};

use crate::error::Refusal;

/// Reads the whole body, of at most `limit` bytes.
pub(super) async fn read(
    body: impl Body<Data = Bytes> + Unpin,
    limit: usize,
    deadline: Instant,
) -> Result<Bytes, Refusal> {
    timeout_at(deadline, read_within(body, limit)).await.unwrap_or(Err(Refusal::Late))
}

/// Reads the body to its end and keeps nothing of it; says whether it got there, as far as `read` goes. What is left of
/// a body would be taken for the next request.
pub(super) async fn skip(body: impl Body<Data = Bytes> + Unpin, limit: usize, deadline: Instant) -> bool {
    timeout_at(deadline, skip_within(body, limit)).await.unwrap_or(false)
}

async fn skip_within(mut body: impl Body<Data = Bytes> + Unpin, limit: usize) -> bool {
    let mut total = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(frame) = frame else { return false };
        total += frame.data_ref().map_or(0, Bytes::len);
        if total > 2 * limit {
            break;
        }
    }
    total <= limit
}

/// A body over the limit is read on for at most as much again: a client that is still sending reads no reply.
async fn read_within(mut body: impl Body<Data = Bytes> + Unpin, limit: usize) -> Result<Bytes, Refusal> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limit).min(limit);
    let mut whole = BytesMut::new();
    let mut total = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|_| Refusal::CutShort)?.into_data() else { continue };
        total += data.len();
        if whole.is_empty() && body.is_end_stream() && total <= limit {
            return Ok(data);
        }
        if total <= limit {
            if whole.is_empty() {
                whole.reserve(announced);
            }
            whole.extend_from_slice(&data);
        } else if total > 2 * limit {
            break;
        }
    }
    if total > limit { Err(Refusal::TooLarge(limit)) } else { Ok(whole.freeze()) }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::time::Duration;

    use axum::body::{Body, Bytes};
    use tokio::time::Instant;
    use tokio_stream::iter;

    use super::skip;

    struct Piece {
        bytes: [u8; 100],
        _alive: Arc<()>,
    }

    impl AsRef<[u8]> for Piece {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }

    #[tokio::test]
    async fn what_is_skipped_is_not_kept() {
        for (pieces, limit, whole) in [(10, 1000, true), (10, 999, false), (30, 1000, false)] {
            let alive = Arc::new(());
            let made = alive.clone();
            let body = Body::from_stream(iter((0..pieces).map(move |_| {
                // The test's, this one, and no piece before.
                assert_eq!(Arc::strong_count(&made), 2);
                Ok::<_, Infallible>(Bytes::from_owner(Piece { bytes: [0; 100], _alive: made.clone() }))
            })));
            let later = Instant::now() + Duration::from_secs(600);
            assert_eq!(skip(body, limit, later).await, whole, "{pieces} {limit}");
            assert_eq!(Arc::strong_count(&alive), 1);
        }
    }
}
