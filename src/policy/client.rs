//! The policy service as seen from here: a path and bytes in, an answer or a failure out.

use std::error::Error as _;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::time::Instant;
use tonic::client::{Grpc, GrpcService};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};

use super::codec::BytesCodec;
use super::observe::{NotGrpc, Observed, Seen};
use crate::callback::Callback;
use crate::error::{Class, Failure};

/// The largest response that a policy may give, in bytes.
const REPLY_LIMIT: usize = 4 << 20;

/// Asks the policy service. `T` carries the calls: a tonic channel, or whatever else is a [`GrpcService`].
#[derive(Debug, Clone)]
pub struct Policy<T> {
    grpc: Grpc<Observed<T>>,
}

/// What is asked.
#[derive(Debug)]
pub struct Question {
    /// The callback, whose rpc is called.
    pub callback: &'static Callback,
    /// The encoded request message.
    pub message: Bytes,
    /// What is not in the message.
    pub metadata: MetadataMap,
    /// When the answer is too late.
    pub deadline: Instant,
}

/// What the policy said.
#[derive(Debug)]
pub enum Answer {
    /// `OK`, with the encoded response message.
    Response(Bytes),
    /// `PERMISSION_DENIED`, with the status message.
    PermissionDenied(String),
}

impl<T> Policy<T>
where
    T: GrpcService<tonic::body::Body> + Clone,
    T::Future: Send + 'static,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<tonic::codegen::StdError>,
    T::Error: Into<tonic::codegen::StdError>,
{
    /// Asks through `transport`.
    pub fn new(transport: T) -> Self {
        let grpc = Grpc::new(Observed(transport)).max_decoding_message_size(REPLY_LIMIT);
        Self { grpc }
    }

    /// One unary call. It ends at the question's deadline, which the policy is told as `grpc-timeout`.
    pub async fn ask(&self, question: Question) -> Result<Answer, Failure> {
        let Question { callback, message, metadata, deadline } = question;
        let seen = Seen::default();
        let mut request = Request::new(message);
        *request.metadata_mut() = metadata;
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        request.extensions_mut().insert(seen.clone());

        let mut grpc = self.grpc.clone();
        let path = PathAndQuery::from_static(callback.rpc);
        let call = async {
            grpc.ready().await.map_err(Status::from_error)?;
            grpc.unary(request, path, BytesCodec).await
        };
        match tokio::time::timeout_at(deadline, call).await {
            Ok(Ok(response)) => Ok(Answer::Response(response.into_inner())),
            Ok(Err(status)) => answer_of(&seen, &status),
            Err(_) => Err(Failure::because(Class::Deadline, "the budget is spent")),
        }
    }
}

/// Tells a status that the policy gave from one that tonic made of what happened here.
fn answer_of(seen: &Seen, status: &Status) -> Result<Answer, Failure> {
    let class = match (seen.status(), status.code()) {
        (Some(Code::Ok), _) => Class::InvalidReply,
        (Some(_), Code::PermissionDenied) => return Ok(Answer::PermissionDenied(status.message().to_owned())),
        (Some(_), Code::Unavailable) => Class::Unavailable,
        (Some(_), Code::DeadlineExceeded) => Class::Deadline,
        (Some(_), Code::ResourceExhausted) => Class::Overloaded,
        (Some(_), Code::Unimplemented) => Class::Unimplemented,
        (Some(_), _) => Class::Error,
        (None, _) if caused_by::<tonic::TimeoutExpired>(status) => Class::Deadline,
        (None, _) if caused_by::<NotGrpc>(status) => Class::Error,
        // No source: tonic did not like the bytes, or their number.
        (None, _) if seen.response() && status.source().is_none() => Class::InvalidReply,
        (None, _) => Class::Unavailable,
    };
    Err(match status.source() {
        Some(cause) => Failure::new(class, cause),
        None => Failure::because(class, format!("{:?}: {}", status.code(), status.message())),
    })
}

fn caused_by<E: std::error::Error + 'static>(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<E>() {
            return true;
        }
        cause = error.source();
    }
    false
}
