//! Watches a call from below tonic, which gives one code to several things that are not one: our timeout and the
//! policy's `CANCELLED`, an oversized reply and `OUT_OF_RANGE`, a mesh's HTTP 403 and the policy's `PERMISSION_DENIED`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use tonic::codegen::StdError;
use tonic::{Code, Status};

use crate::server::Transport;

/// An answer that no gRPC service gave.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotGrpc {
    #[error("the answer is HTTP status {0}, not gRPC")]
    Status(StatusCode),
    #[error("the answer's content type is not gRPC's")]
    ContentType,
}

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// What has been seen of a call's answer.
#[derive(Debug, Clone)]
pub(crate) struct Seen(Arc<AtomicI32>);

const NOTHING: i32 = -2;
const RESPONSE: i32 = -1;

impl Default for Seen {
    fn default() -> Self {
        Self(Arc::new(AtomicI32::new(NOTHING)))
    }
}

impl Seen {
    /// The status that the policy itself gave.
    pub(crate) fn status(&self) -> Option<Code> {
        let code = self.0.load(Ordering::Relaxed);
        (code > RESPONSE).then(|| Code::from_i32(code))
    }

    /// Whether a gRPC response has begun.
    pub(crate) fn response(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= RESPONSE
    }

    /// Looks at the head of a response, and has the rest watched.
    fn begin<B>(&self, mut response: Response<B>) -> Result<Response<Watched<B>>, StdError> {
        if response.status() != StatusCode::OK {
            return Err(NotGrpc::Status(response.status()).into());
        }
        let content_type = response.headers().get(header::CONTENT_TYPE);
        if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
            return Err(NotGrpc::ContentType.into());
        }
        self.note(response.headers_mut());
        Ok(response.map(|body| Watched { body, seen: self.clone() }))
    }

    /// Notes what the headers or trailers say, and takes out what is not for tonic.
    fn note(&self, headers: &mut HeaderMap) {
        let mut seen = RESPONSE;
        if let Some(code) = headers.get(STATUS) {
            seen = Code::from_bytes(code.as_bytes()) as i32;
            // tonic panics over details that are not base64, and nobody reads them.
            headers.remove(STATUS_DETAILS);
            // A message that cannot be decoded makes it another status, for tonic too.
            if headers.contains_key(MESSAGE) {
                seen = Status::from_header_map(headers).map_or(RESPONSE, |status| status.code() as i32);
            }
        }
        self.0.fetch_max(seen, Ordering::Relaxed);
    }
}

/// A transport for one call, whose answer is watched.
#[derive(Debug, Clone)]
pub(crate) struct Observed<T> {
    transport: T,
    seen: Seen,
}

impl<T> Observed<T> {
    /// And what will have been seen.
    pub(crate) fn new(transport: T) -> (Self, Seen) {
        let seen = Seen::default();
        (Self { transport, seen: seen.clone() }, seen)
    }
}

impl<T: Transport> tonic::codegen::Service<Request<tonic::body::Body>> for Observed<T> {
    type Response = Response<Watched<T::ResponseBody>>;
    type Error = StdError;
    type Future = Watching<T::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.transport.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Watching { call: self.transport.call(request), seen: self.seen.clone() }
    }
}

/// A call whose answer is watched.
pub(crate) struct Watching<F> {
    call: F,
    seen: Seen,
}

impl<F, B, E> Future for Watching<F>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin,
    E: Into<StdError>,
{
    type Output = Result<Response<Watched<B>>, StdError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.call).poll(cx));
        Poll::Ready(response.map_err(Into::into).and_then(|response| self.seen.begin(response)))
    }
}

/// A body whose trailers are watched.
pub(crate) struct Watched<B> {
    body: B,
    seen: Seen,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            self.seen.note(trailers);
        }
        polled
    }
}
