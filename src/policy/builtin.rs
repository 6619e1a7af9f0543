//! The built-in policy: a gRPC server that allows everything and logs each call, for trying things out.

use std::future::{Future, ready};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tracing::info;

use super::grpc;
use crate::contract::Callback;
use crate::contract::metadata::{NOT_SHOWN, OPERATION_ID};
use crate::contract::proto::{DESCRIPTORS, UnknownCallbackRequest};
use crate::contract::{self, DecodedMessage};

/// Maximum bytes of a request.
const LARGEST: usize = 64 << 20;

/// Serves every rpc of the contract, reflection and health, until the future ends.
pub async fn serve(listener: TcpListener, until: impl Future<Output = ()>) -> Result<(), tonic::transport::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    for callback in Callback::all().iter().chain([Callback::fallback()]) {
        let service = callback.rpc.split('/').nth(1).unwrap_or_default();
        health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
    }
    let mut router = Routes::new(health_service).prepare().into_axum_router();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // grpcurl uses v1, older clients v1alpha.
    if let (Ok(v1), Ok(v1alpha)) = (reflection().build_v1(), reflection().build_v1alpha()) {
        router = Routes::from(router).add_service(v1).add_service(v1alpha).into_axum_router();
    }
    tonic::transport::Server::builder()
        .add_routes(Routes::from(router.fallback(answer)))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), until)
        .await
}

async fn answer(request: Request) -> Response {
    match allow(request).await {
        Ok(()) => {
            let status = HeaderMap::from_iter([(grpc::STATUS, HeaderValue::from_static("0"))]);
            let body = Full::new(grpc::framed(b"")).with_trailers(ready(Some(Ok(status))));
            ([(header::CONTENT_TYPE, grpc::CONTENT_TYPE)], Body::new(body)).into_response()
        }
        Err(status) => status.into_http(),
    }
}

async fn allow(request: Request) -> Result<(), Status> {
    let (head, body) = request.into_parts();
    let callback = Callback::by_rpc(head.uri.path());
    let callback = callback.ok_or_else(|| Status::unimplemented("no callback has this rpc"))?;
    let body = to_bytes(body, LARGEST).await.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let message = grpc::unframed(body, LARGEST).map_err(Status::invalid_argument)?;
    let record = DecodedMessage::decode(callback.request, &message)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let mut fields = Vec::new();
    if shows(callback, &message) {
        contract::write_redacted(&record, &mut fields);
    } else {
        fields.extend_from_slice(NOT_SHOWN.as_bytes());
    }
    let operation_id = head.headers.get(OPERATION_ID).and_then(|id| id.to_str().ok());
    info!(
        rpc = callback.rpc,
        operation_id = operation_id.unwrap_or_default(),
        request = %String::from_utf8_lossy(&fields),
        "built-in policy: allow",
    );
    Ok(())
}

/// Returns false for a command that the body does not name: it may be part of a secret path.
fn shows(callback: &'static Callback, request: &[u8]) -> bool {
    !std::ptr::eq(callback, Callback::fallback())
        || UnknownCallbackRequest::decode(request)
            .is_ok_and(|request| contract::names_command(&request.body_json, &request.callback_command))
}
