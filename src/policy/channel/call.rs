//! One call over a connection: the layer between tonic, which knows gRPC, and h2, which knows HTTP/2.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::request::Parts;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tonic::body::Body;

use super::Error;
use super::subchannel::InFlight;

/// The sending half of a connection. A call that waits for a free stream holds the lock and others wait for the lock, not
/// in h2: so if the connection ends, all but one of them are known not to have been sent.
#[derive(Debug, Clone)]
pub(super) struct CallSender(Arc<Mutex<SendRequest<Bytes>>>);

/// The sending half while the peer has a stream for one call.
pub(super) struct ReadySender(OwnedMutexGuard<SendRequest<Bytes>>);

impl CallSender {
    pub(super) fn new(send: SendRequest<Bytes>) -> Self {
        Self(Arc::new(Mutex::new(send)))
    }

    /// Waits until the peer has a stream for a call. Fails if the connection has ended.
    pub(super) async fn ready_sender(&self) -> Result<ReadySender, h2::Error> {
        let mut sender = self.0.clone().lock_owned().await;
        poll_fn(|cx| sender.poll_ready(cx)).await?;
        Ok(ReadySender(sender))
    }
}

impl ReadySender {
    /// Sends a call. Fails if the connection has ended; then the call was not sent.
    pub(super) fn send(mut self, head: Parts, body: Bytes) -> Result<ResponseFuture, h2::Error> {
        let (response, mut stream) = self.0.send_request(Request::from_parts(head, ()), false)?;
        // h2 buffers what the peer's flow control does not allow yet; that is at most a webhook's body.
        if let Err(error) = stream.send_data(body, true) {
            // The stream has ended, and its response says why.
            tracing::debug!(reason = ?error.reason(), "request body not sent");
        }
        Ok(response)
    }
}

/// Collects a call's message, which tonic gives in one piece.
pub(super) async fn message(mut body: Body) -> Result<Bytes, Error> {
    let mut message = Bytes::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(Error::NoMessage)?.into_data() else { continue };
        message = if message.is_empty() { data } else { [message, data].concat().into() };
    }
    Ok(message)
}

/// Waits for the response of a call, which ends with the response's body. `in_flight` is `None` for health checks.
pub(super) async fn response(
    mut response: ResponseFuture,
    in_flight: Option<InFlight>,
) -> Result<Response<ResponseBody>, h2::Error> {
    let response = poll_fn(|cx| {
        let polled = Pin::new(&mut response).poll(cx);
        if let (Poll::Pending, Some(in_flight)) = (&polled, &in_flight) {
            in_flight.pending();
        }
        polled
    });
    let result = response.await;
    match (&result, &in_flight) {
        (Ok(response), Some(InFlight { subchannel })) => {
            subchannel.count_response();
            subchannel.outlier.record_head(response.status(), response.headers());
        }
        (Err(error), Some(InFlight { subchannel })) => subchannel.outlier.record_error(error),
        (_, None) => {}
    }
    Ok(result?.map(|stream| ResponseBody { stream, has_trailers: true, in_flight }))
}

/// A response's body: its data, then its trailers.
#[derive(Debug)]
pub struct ResponseBody {
    stream: RecvStream,
    has_trailers: bool,
    in_flight: Option<InFlight>,
}

impl ResponseBody {
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // Fails only if the stream has ended, which then needs no window.
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
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.has_trailers {
            return Poll::Ready(None);
        }
        let polled = self.poll_stream(cx);
        if let Some(in_flight) = &self.in_flight {
            match &polled {
                Poll::Pending => in_flight.pending(),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        in_flight.subchannel.outlier.record_trailers(trailers);
                    }
                }
                Poll::Ready(Some(Err(error))) => in_flight.subchannel.outlier.record_error(error),
                Poll::Ready(None) => {}
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        !self.has_trailers || self.stream.is_end_stream()
    }
}
