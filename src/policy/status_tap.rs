//! Taps the status of a response below tonic, which maps different things to one code: our timeout and the policy's
//! `CANCELLED`, an oversized response and `OUT_OF_RANGE`, a mesh's HTTP 403 and the policy's `PERMISSION_DENIED`.
//!
//! A status counts in headers and in trailers, whatever its message looks like. If there are several, one that is not OK
//! beats OK, `PERMISSION_DENIED` beats every other, and different failures make `UNKNOWN`. OK counts only in trailers, and
//! only with HTTP 200 and `application/grpc`. With any other HTTP status a `grpc-status` still counts, as gRPC's table says
//! (http-grpc-status-mapping.md); without one the HTTP status decides.

use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU16, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame};
use parking_lot::Mutex;
use percent_encoding::percent_decode;
use tonic::client::GrpcService;
use tonic::codegen::StdError;
use tonic::{Code, Status};
use tower::ServiceExt;

use crate::failure::Class;
use crate::policy::Transport;

/// A response that is not gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotGrpc {
    #[error("the answer is HTTP status {0}, not gRPC")]
    Status(StatusCode),
    #[error("the answer's content type is not gRPC's")]
    ContentType,
}

impl NotGrpc {
    /// HTTP 404, which HTTP routers answer for a service that is not registered.
    pub(crate) const NOT_FOUND: Self = Self::Status(StatusCode::NOT_FOUND);

    /// The class of the failure, by gRPC's table; but a 403 is not a denial, as it is a mesh's and not the policy's.
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

/// Ends a call whose headers have `PERMISSION_DENIED`, which nothing after them can change.
#[derive(Debug, thiserror::Error)]
#[error("PERMISSION_DENIED in the head of the response")]
struct DeniedInHead;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC: &[u8] = b"application/grpc";

/// The status of a call's response, as far as it has come.
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
    /// The status that the policy has sent.
    pub(crate) fn status(&self) -> Option<Code> {
        let code = self.0.status.load(Ordering::Relaxed);
        (code > RESPONSE).then(|| Code::from_i32(code))
    }

    /// The status that the policy has sent, if it is not OK.
    pub(crate) fn failure(&self) -> Option<Code> {
        self.status().filter(|code| *code != Code::Ok)
    }

    /// The message of the status, percent-decoded; bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn message(&self) -> String {
        self.0.message.lock().clone()
    }

    /// Returns true if a gRPC response has begun: with a `grpc-status`, or of `application/grpc`.
    pub(crate) fn response(&self) -> bool {
        self.0.status.load(Ordering::Relaxed) >= RESPONSE
    }

    /// The HTTP status of a response without a `grpc-status` that counts.
    fn not_grpc(&self) -> Option<NotGrpc> {
        let http = StatusCode::from_u16(self.0.http.load(Ordering::Relaxed)).ok()?;
        (http != StatusCode::OK && self.status().is_none()).then_some(NotGrpc::Status(http))
    }

    /// Reads the headers of a response, removes those that tonic misreads, and taps the body.
    fn begin<B>(&self, mut response: Response<B>) -> Result<Response<TapBody<B>>, StdError> {
        let http = response.status();
        let is_grpc = is_grpc(response.headers().get(header::CONTENT_TYPE));
        let headers = response.headers_mut();
        // OK does not count here: only trailers prove that the message was complete.
        let status = status_in(headers);
        let has_status = status.is_some();
        let failure = status.filter(|code| *code != Code::Ok);
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
        // tonic would end the call for a status here, and for a compression that it did not offer.
        if has_status {
            headers.remove(STATUS);
        }
        headers.remove(ENCODING);
        Ok(response.map(|body| TapBody { body, tap: self.clone() }))
    }

    /// Reads the trailers, and leaves only the code to tonic, which panics on details that are not base64, and reads a
    /// message that is not UTF-8 as another status.
    fn end(&self, trailers: &mut HeaderMap) {
        let Some(code) = status_in(trailers) else { return };
        let is_ok_by_http = self.0.http.load(Ordering::Relaxed) == StatusCode::OK.as_u16();
        let counts = code != Code::Ok || is_ok_by_http || self.failure().is_some();
        let code = counts.then(|| self.note(code, trailers));
        if code == Some(Code::Ok) && trailers.len() == 1 && trailers.values().all(|value| value == "0") {
            return;
        }
        trailers.clear();
        match code {
            Some(Code::Ok) => drop(trailers.insert(STATUS, HeaderValue::from_static("0"))),
            Some(code) => drop(trailers.insert(STATUS, HeaderValue::from(code as i32))),
            None => {}
        }
    }

    /// Records a status, and returns it combined with the one before.
    fn note(&self, code: Code, headers: &HeaderMap) -> Code {
        let joined = self.status().map_or(code, |before| both(before, code));
        self.0.status.store(joined as i32, Ordering::Relaxed);
        if joined == code
            && code != Code::Ok
            && let Some(message) = headers.get(MESSAGE)
        {
            let message = percent_decode(message.as_bytes()).decode_utf8_lossy().into_owned();
            *self.0.message.lock() = message;
        }
        joined
    }
}

/// Returns what is not gRPC about the response of a call that failed with `status`.
pub(crate) fn not_grpc(status: &Status, tap: &StatusTap) -> Option<NotGrpc> {
    cause::<NotGrpc>(status).copied().or_else(|| tap.not_grpc())
}

/// Finds an error of this type among the sources of a status.
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

/// Returns true for the content type of gRPC over HTTP/2; `application/grpc-web` is not.
fn is_grpc(content_type: Option<&HeaderValue>) -> bool {
    let Some((kind, rest)) = content_type.and_then(|value| value.as_bytes().split_at_checked(GRPC.len())) else {
        return false;
    };
    kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Reads the status in headers or trailers; several fields, and several values in one, are combined.
fn status_in(headers: &HeaderMap) -> Option<Code> {
    let values = headers.get_all(STATUS).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(code_of).reduce(both)
}

/// Reads a code as other implementations do, `07` too; but OK is `0` and nothing else.
fn code_of(value: &[u8]) -> Code {
    match value.trim_ascii() {
        b"0" => Code::Ok,
        value => match std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()) {
            None | Some(0) => Code::Unknown,
            Some(code) => Code::from_i32(code),
        },
    }
}

/// Combines two statuses of one response.
fn both(one: Code, other: Code) -> Code {
    match (one, other) {
        _ if one == other => one,
        (Code::PermissionDenied, _) | (_, Code::PermissionDenied) => Code::PermissionDenied,
        (Code::Ok, failure) | (failure, Code::Ok) => failure,
        _ => Code::Unknown,
    }
}

/// Taps the responses of a transport, for one call.
pub(crate) fn tap<T: Transport>(
    transport: T,
) -> (impl GrpcService<tonic::body::Body, ResponseBody = TapBody<T::Body>, Error = StdError, Future: Send>, StatusTap) {
    let tap = StatusTap::default();
    let tapped = tap.clone();
    let transport = transport.map_err(Into::into);
    (transport.map_result(move |response: Result<_, StdError>| tap.begin(response?)), tapped)
}

/// A response body whose trailers are tapped.
pub(crate) struct TapBody<B> {
    body: B,
    tap: StatusTap,
}

impl<B: Body<Data = Bytes> + Unpin> Body for TapBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            self.tap.end(trailers);
        }
        polled
    }
}
