//! One call over a connection, by the h2 crate: tonic above it knows gRPC, h2 below it HTTP/2.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body::Frame;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

/// What a connection takes calls with. Whoever waits for a free stream holds the lock, and the others wait for that: so
/// calls that were not sent when the connection ends are known, but for one that h2 may hold itself.
#[derive(Debug, Clone)]
pub(super) struct Calls(Arc<Mutex<SendRequest<Bytes>>>);

/// The peer has a stream for a call.
pub(super) struct FreeStream(OwnedMutexGuard<SendRequest<Bytes>>);

/// When a call's answer is too late: an extension of its request. Until it is sent it is given up then; sent it is left to
/// whoever waits for it.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Instant);

/// Of this time and more the policy is told whole milliseconds.
const ROUNDED: Duration = Duration::from_millis(100);

impl Deadline {
    /// What is left, as the policy is told it: never more than that. Whole milliseconds are the same for most calls, and
    /// HTTP/2 has one byte for what it has sent before.
    pub(in crate::policy) fn left(self) -> Duration {
        let left = self.0.saturating_duration_since(Instant::now());
        if left < ROUNDED { left } else { left - Duration::from_nanos(u64::from(left.subsec_nanos() % 1_000_000)) }
    }

    /// What the policy is told as `grpc-timeout`, where a call has waited and has less time than it had.
    pub(super) fn grpc_timeout(self) -> Option<HeaderValue> {
        let mut request = tonic::Request::new(());
        request.set_timeout(self.left());
        request.into_parts().0.into_headers().remove("grpc-timeout")
    }
}

impl Calls {
    pub(super) fn new(calls: SendRequest<Bytes>) -> Self {
        Self(Arc::new(Mutex::new(calls)))
    }

    /// Waits until the peer has a stream for a call. An error is the connection's end.
    pub(super) async fn free_stream(&self) -> Result<FreeStream, h2::Error> {
        let mut calls = self.0.clone().lock_owned().await;
        poll_fn(|cx| calls.poll_ready(cx)).await?;
        Ok(FreeStream(calls))
    }
}

impl FreeStream {
    /// Sends a call. An error is the connection's end; the call was not sent.
    pub(super) fn send(mut self, head: Parts, body: Bytes) -> Result<ResponseFuture, h2::Error> {
        let (response, mut stream) = self.0.send_request(Request::from_parts(head, ()), false)?;
        // h2 keeps what the peer's windows do not take yet; it is no more than a webhook's body.
        if let Err(error) = stream.send_data(body, true) {
            // The stream is at its end, and its response says why.
            tracing::debug!(%error, "a call's body was not taken");
        }
        Ok(response)
    }
}

/// A response's body: its data, then its trailers.
#[derive(Debug)]
pub struct ResponseBody {
    stream: RecvStream,
    has_trailers: bool,
}

impl ResponseBody {
    pub(super) fn of(response: Response<RecvStream>) -> Response<Self> {
        response.map(|stream| Self { stream, has_trailers: true })
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.has_trailers {
            return Poll::Ready(None);
        }
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // Of a stream that has ended there is nothing to release.
                drop(self.stream.flow_control().release_capacity(data.len()));
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => {}
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.has_trailers = false;
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        !self.has_trailers || self.stream.is_end_stream()
    }
}
