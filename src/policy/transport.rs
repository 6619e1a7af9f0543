//! The bound of services that carry calls to the policy.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tonic::codegen::StdError;

/// A service that carries gRPC calls to the policy: a [`Channel`](super::Channel), tonic's channel, or another one.
pub trait Transport:
    tower::Service<
        Request<tonic::body::Body>,
        Response = Response<<Self as Transport>::Body>,
        Error: Into<StdError>,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// The body of a response.
    type Body: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Unpin + Send + 'static;
}

impl<T, B> Transport for T
where
    T: tower::Service<Request<tonic::body::Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    T::Error: Into<StdError>,
    T::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Unpin + Send + 'static,
{
    type Body = B;
}
