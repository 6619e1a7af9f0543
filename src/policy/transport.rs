//! The bound of services that carry calls to the policy.

use bytes::Bytes;
use http_body::Body as HttpBody;
use tonic::client::GrpcService;
use tonic::codegen::StdError;

/// A service that carries calls to the policy. Its futures are `Unpin`, as boxed ones are.
pub trait Transport:
    GrpcService<
        tonic::body::Body,
        Future: Unpin + Send + 'static,
        Error: Into<StdError>,
        ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError>> + Unpin + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<T> Transport for T where
    T: GrpcService<
            tonic::body::Body,
            Future: Unpin + Send + 'static,
            Error: Into<StdError>,
            ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError>> + Unpin + Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}
