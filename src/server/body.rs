//! A webhook's body, no larger than the limit and no later than the deadline.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use crate::error::Refusal;

/// Reads the whole body, of at most `limit` bytes.
pub(super) async fn read(body: Body, limit: usize, deadline: Instant) -> Result<Bytes, Refusal> {
    timeout_at(deadline, read_within(body, limit)).await.unwrap_or(Err(Refusal::Late))
}

/// A body over the limit is read on for at most as much again: a client that is still sending reads no reply.
async fn read_within(mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
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
