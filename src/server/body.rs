//! A webhook's body, no larger than the limit, no later than the deadline, and within the bound of memory.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::failure::{Class, Failure};
use crate::memory::{Memory, NoRoom, SMALL, Share};
use crate::server::Refusal;

/// Maximum bytes allocated for an announced body before any of it has arrived.
const ANNOUNCED: usize = 1 << 20;

/// Copies of a whole body in memory: as it came, as a message, and as the message is written to the policy.
const COPIES: usize = 3;

/// The limits for reading a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// Maximum bytes of one body.
    pub(super) body: usize,
    /// The counter of all bodies together.
    pub(super) memory: &'a Memory,
    /// Maximum bytes of all bodies together.
    pub(super) all: usize,
}

/// A whole body, and its share of the memory; `None` for a small one.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) share: Option<Share>,
}

/// Reason for which a body was not read to a message.
#[derive(Debug)]
pub(super) enum BodyError {
    /// OpenIM would not send it.
    Refused(Refusal),
    /// There was no room for it, or no time.
    Failed(Failure),
}

impl From<Refusal> for BodyError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoRoom(no_room) => no_room.into(),
            refusal => Self::Refused(refusal),
        }
    }
}

impl From<NoRoom> for BodyError {
    fn from(no_room: NoRoom) -> Self {
        Self::Failed(Failure::because(Class::Overloaded, no_room.to_string()).unasked())
    }
}

/// Reads the whole body.
pub(super) async fn read(
    body: impl Body<Data = Bytes> + Unpin,
    bounds: Bounds<'_>,
    deadline: Instant,
) -> Result<Whole, BodyError> {
    timeout_at(deadline, read_within(body, bounds)).await.unwrap_or(Err(Refusal::Late.into()))
}

/// Reads a body to its end and keeps nothing of it. Returns false if it is much larger than `limit`, late or cut short: the
/// rest of it would be taken for the next request.
pub(super) async fn skip(body: impl Body<Data = Bytes> + Unpin, limit: usize, deadline: Instant) -> bool {
    timeout_at(deadline, skip_within(body, limit)).await.unwrap_or(false)
}

async fn skip_within(mut body: impl Body<Data = Bytes> + Unpin, limit: usize) -> bool {
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        total += frame.data_ref().map_or(0, Bytes::len);
        if total > 2 * limit {
            break;
        }
    }
    total <= limit
}

/// Reads up to twice the limit of a body that is too large: a client that is still sending reads no reply.
async fn read_within(mut body: impl Body<Data = Bytes> + Unpin, bounds: Bounds<'_>) -> Result<Whole, BodyError> {
    let limit = bounds.body;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limit).min(limit).min(ANNOUNCED);
    let mut kept: Option<(BytesMut, Share)> = None;
    let (mut total, mut room) = (0, Ok(()));
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| Refusal::CutShort)?.into_data().unwrap_or_default();
        total += data.len();
        if total > 2 * limit {
            break;
        }
        if total > limit || room.is_err() {
            kept = None;
            continue;
        }
        if kept.is_none() && body.is_end_stream() {
            return one_piece(data, bounds);
        }
        let (whole, share) =
            kept.get_or_insert_with(|| (BytesMut::with_capacity(announced.max(data.len())), bounds.memory.share()));
        whole.extend_from_slice(&data);
        if share.grow(data.len(), bounds.all).is_err() {
            (kept, room) = (None, Err(NoRoom));
        }
    }
    if total > limit {
        return Err(Refusal::TooLarge(limit).into());
    }
    room?;
    let Some((whole, mut share)) = kept else {
        return Ok(Whole { bytes: Bytes::new(), share: None });
    };
    share.grow((COPIES - 1) * total, bounds.all)?;
    Ok(Whole { bytes: whole.freeze(), share: Some(share) })
}

fn one_piece(bytes: Bytes, bounds: Bounds<'_>) -> Result<Whole, BodyError> {
    if bytes.len() <= SMALL {
        return Ok(Whole { bytes, share: None });
    }
    let mut share = bounds.memory.share();
    share.grow(COPIES * bytes.len(), bounds.all)?;
    Ok(Whole { bytes, share: Some(share) })
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
                // The test's and this one; no piece before is alive.
                assert_eq!(Arc::strong_count(&made), 2);
                Ok::<_, Infallible>(Bytes::from_owner(Piece { bytes: [0; 100], _alive: made.clone() }))
            })));
            let later = Instant::now() + Duration::from_secs(600);
            assert_eq!(skip(body, limit, later).await, whole, "{pieces} {limit}");
            assert_eq!(Arc::strong_count(&alive), 1);
        }
    }
}
