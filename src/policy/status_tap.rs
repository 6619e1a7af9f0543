//! Watches a call from below tonic, which gives one code to several things that are not one: our timeout and the
//! policy's `CANCELLED`, an oversized reply and `OUT_OF_RANGE`, a mesh's HTTP 403 and the policy's `PERMISSION_DENIED`.
//!
//! The status decides, wherever it stands and whatever its text looks like. A status that is not OK beats OK,
//! `PERMISSION_DENIED` beats every other, and different failures make `UNKNOWN`. OK counts behind the message alone, and
//! only over HTTP 200 and `application/grpc`. A `grpc-status` is read beside any other HTTP status, as gRPC's table says
//! (http-grpc-status-mapping.md); an answer without one is read by its HTTP status.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use percent_encoding::percent_decode;
use tonic::codegen::StdError;
use tonic::{Code, Status};

use crate::failure::Class;
use crate::policy::Transport;

/// An answer that no gRPC service gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotGrpc {
    #[error("the answer is HTTP status {0}, not gRPC")]
    Status(StatusCode),
    #[error("the answer's content type is not gRPC's")]
    ContentType,
}

impl NotGrpc {
    /// HTTP 404, as HTTP routers answer for a service that is not registered.
    pub(crate) const NOT_FOUND: Self = Self::Status(StatusCode::NOT_FOUND);

    /// Class of the failure, by gRPC's table; but a 403 is no denial, as a mesh says it, not the policy.
    pub(crate) fn class(self) -> Class {
        match self {
            Self::NOT_FOUND => Class::Unimplemented,
            Self::Status(
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT,
            ) => Class::Unavailable,
            Self::Status(_) | Self::ContentType => Class::Error,
        }
    }
}

/// Ends a call whose status has come in the head of the response: nothing behind it can change a denial.
#[derive(Debug, thiserror::Error)]
#[error("PERMISSION_DENIED in the head of the response")]
struct DeniedInHead;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC: &[u8] = b"application/grpc";

/// What has been seen of a call's answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatusTap(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    /// The code of the status so far, or one of the two below.
    status: AtomicI32,
    /// The HTTP status; 0 before the head.
    http: AtomicU16,
    /// The text of the status. It is locked only where there is one.
    message: Mutex<String>,
}

const NOTHING: i32 = -2;
const RESPONSE: i32 = -1;

impl Default for Parts {
    fn default() -> Self {
        Self { status: AtomicI32::new(NOTHING), http: AtomicU16::new(0), message: Mutex::default() }
    }
}

impl StatusTap {
    /// The status that the policy itself gave.
    pub(crate) fn status(&self) -> Option<Code> {
        let code = self.0.status.load(Ordering::Relaxed);
        (code > RESPONSE).then(|| Code::from_i32(code))
    }

    /// The status that the policy itself gave, if it is not OK.
    pub(crate) fn failure(&self) -> Option<Code> {
        self.status().filter(|code| *code != Code::Ok)
    }

    /// The text of the status, decoded for people: bytes that are no text are replaced by U+FFFD.
    pub(crate) fn message(&self) -> String {
        self.0.message.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns true if a gRPC response has begun: it has a `grpc-status`, or is of `application/grpc`.
    pub(crate) fn response(&self) -> bool {
        self.0.status.load(Ordering::Relaxed) >= RESPONSE
    }

    /// The HTTP status of a response that has no status of gRPC's that counts.
    fn not_grpc(&self) -> Option<NotGrpc> {
        let http = StatusCode::from_u16(self.0.http.load(Ordering::Relaxed)).ok()?;
        (http != StatusCode::OK && self.status().is_none()).then_some(NotGrpc::Status(http))
    }

    /// Looks at the head of a response, takes out what is not for tonic, and has the rest watched.
    fn begin<B>(&self, mut response: Response<B>) -> Result<Response<TapBody<B>>, StdError> {
        let http = response.status();
        let is_grpc = is_grpc(response.headers().get(header::CONTENT_TYPE));
        let headers = response.headers_mut();
        // OK in the head is of no use: it is known behind the message alone that this was all of it.
        let failure = status_in(headers).filter(|code| *code != Code::Ok);
        match failure {
            None if !is_grpc && http == StatusCode::OK => return Err(NotGrpc::ContentType.into()),
            None if !is_grpc => return Err(NotGrpc::Status(http).into()),
            None => self.0.status.store(RESPONSE, Ordering::Relaxed),
            Some(code) => _ = self.note(code, headers),
        }
        self.0.http.store(http.as_u16(), Ordering::Relaxed);
        if failure == Some(Code::PermissionDenied) {
            return Err(DeniedInHead.into());
        }
        // tonic would end with a status in the head, whatever is behind it, and with a compression that it did not offer.
        headers.remove(STATUS);
        headers.remove(ENCODING);
        Ok(response.map(|body| TapBody { body, seen: self.clone() }))
    }

    /// Looks at the trailers, and leaves tonic the code alone: it panics over details that are not base64, and takes a
    /// message that is not UTF-8 for another status.
    fn end(&self, trailers: &mut HeaderMap) {
        let Some(code) = status_in(trailers) else { return };
        let is_ok_by_http = self.0.http.load(Ordering::Relaxed) == StatusCode::OK.as_u16();
        let counts = code != Code::Ok || is_ok_by_http || self.failure().is_some();
        let code = counts.then(|| self.note(code, trailers));
        trailers.clear();
        match code {
            Some(Code::Ok) => drop(trailers.insert(STATUS, HeaderValue::from_static("0"))),
            Some(code) => drop(trailers.insert(STATUS, HeaderValue::from(code as i32))),
            None => {}
        }
    }

    /// Notes a status; gives what it is together with those before it.
    fn note(&self, code: Code, headers: &HeaderMap) -> Code {
        let joined = self.status().map_or(code, |before| both(before, code));
        self.0.status.store(joined as i32, Ordering::Relaxed);
        if joined == code
            && code != Code::Ok
            && let Some(message) = headers.get(MESSAGE)
        {
            let message = percent_decode(message.as_bytes()).decode_utf8_lossy().into_owned();
            *self.0.message.lock().unwrap_or_else(PoisonError::into_inner) = message;
        }
        joined
    }
}

/// The answer to a call that ended with this status, if it is none of gRPC's.
pub(crate) fn not_grpc(status: &Status, seen: &StatusTap) -> Option<NotGrpc> {
    cause::<NotGrpc>(status).copied().or_else(|| seen.not_grpc())
}

/// An error of this type under a status.
pub(super) fn cause<E: std::error::Error + 'static>(status: &Status) -> Option<&E> {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// Returns true if a content type is gRPC's over HTTP/2; `application/grpc-web` is another one.
fn is_grpc(content_type: Option<&HeaderValue>) -> bool {
    let Some((kind, rest)) = content_type.and_then(|value| value.as_bytes().split_at_checked(GRPC.len())) else {
        return false;
    };
    kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The status of a block of header fields: in one field, in several, or in one that several were joined to.
fn status_in(headers: &HeaderMap) -> Option<Code> {
    let values = headers.get_all(STATUS).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(code_of).reduce(both)
}

/// A code as other implementations read it, `07` too; but OK is `0` and nothing else.
fn code_of(value: &[u8]) -> Code {
    match value.trim_ascii() {
        b"0" => Code::Ok,
        value => match std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()) {
            None | Some(0) => Code::Unknown,
            Some(code) => Code::from_i32(code),
        },
    }
}

/// The status of an answer that has two.
fn both(one: Code, other: Code) -> Code {
    match (one, other) {
        _ if one == other => one,
        (Code::PermissionDenied, _) | (_, Code::PermissionDenied) => Code::PermissionDenied,
        (Code::Ok, failure) | (failure, Code::Ok) => failure,
        _ => Code::Unknown,
    }
}

/// A transport for one call, whose answer is watched.
#[derive(Debug, Clone)]
pub(crate) struct TapTransport<T> {
    transport: T,
    seen: StatusTap,
}

impl<T> TapTransport<T> {
    /// Wraps a transport; what is seen of its answer is in the second value.
    pub(crate) fn new(transport: T) -> (Self, StatusTap) {
        let seen = StatusTap::default();
        (Self { transport, seen: seen.clone() }, seen)
    }
}

impl<T: Transport> tonic::codegen::Service<Request<tonic::body::Body>> for TapTransport<T> {
    type Response = Response<TapBody<T::ResponseBody>>;
    type Error = StdError;
    type Future = TapFuture<T::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.transport.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        TapFuture { call: self.transport.call(request), seen: self.seen.clone() }
    }
}

/// A call whose answer is watched.
pub(crate) struct TapFuture<F> {
    call: F,
    seen: StatusTap,
}

impl<F, B, E> Future for TapFuture<F>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin,
    E: Into<StdError>,
{
    type Output = Result<Response<TapBody<B>>, StdError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.call).poll(cx));
        Poll::Ready(response.map_err(Into::into).and_then(|response| self.seen.begin(response)))
    }
}

/// A body whose trailers are watched.
pub(crate) struct TapBody<B> {
    body: B,
    seen: StatusTap,
}

impl<B: Body<Data = Bytes> + Unpin> Body for TapBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            self.seen.end(trailers);
        }
        polled
    }
}
