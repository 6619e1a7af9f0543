//! Policies with health and reflection, whose answers to callbacks a test decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hookgate::contract::Callback;
use prost_reflect::prost::Message;
use tonic::Status;
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ListServiceResponse, ServerReflectionResponse, ServiceResponse};

use crate::support::{Answer, Call, Policy};

/// What a policy answers to a call.
pub type Behave = Box<dyn Fn(Call) -> Answer + Send + Sync>;

/// An answer that is there.
pub fn now(answer: Result<Vec<u8>, Status>) -> Answer {
    Box::pin(std::future::ready(answer))
}

/// An answer that never comes. Sets the flag when nobody waits for it any more.
pub fn never(given_up: &Arc<AtomicBool>) -> Answer {
    struct OnDrop(Arc<AtomicBool>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let flag = OnDrop(given_up.clone());
    Box::pin(async move {
        let _flag = flag;
        std::future::pending().await
    })
}

/// Behaviour without a wait.
pub fn at_once(answer: impl Fn(&Call) -> Result<Vec<u8>, Status> + Send + Sync + 'static) -> Behave {
    Box::new(move |call| now(answer(&call)))
}

/// `SERVING`.
pub fn serving() -> Result<Vec<u8>, Status> {
    says(ServingStatus::Serving)
}

/// What health says.
pub fn says(status: ServingStatus) -> Result<Vec<u8>, Status> {
    Ok(HealthCheckResponse { status: status.into() }.encode_to_vec())
}

/// What reflection says when it is asked for the services.
pub fn lists<'a>(services: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, Status> {
    let service = services.into_iter().map(|name| ServiceResponse { name: name.to_owned() }).collect();
    let response = ServerReflectionResponse {
        message_response: Some(MessageResponse::ListServicesResponse(ListServiceResponse { service })),
        ..Default::default()
    };
    Ok(response.encode_to_vec())
}

/// Every service of the contract.
pub fn lists_all() -> Result<Vec<u8>, Status> {
    lists(Callback::all().iter().chain([Callback::fallback()]).filter_map(|callback| callback.rpc.split('/').nth(1)))
}

/// A policy that allows everything, but behaves so towards the rpcs whose path ends like this.
pub async fn bad_at(rpc: &'static str, behave: Behave) -> Policy {
    Policy::start_async(move |call| match &*call.rpc {
        "/grpc.health.v1.Health/Check" => now(serving()),
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => now(lists_all()),
        path if path.ends_with(rpc) => behave(call),
        _ => now(Ok(Vec::new())),
    })
    .await
}

/// A policy with this health and reflection.
pub async fn with(health: Result<Vec<u8>, Status>, reflection: Result<Vec<u8>, Status>, behave: Behave) -> Policy {
    Policy::start_async(move |call| match &*call.rpc {
        "/grpc.health.v1.Health/Check" => now(health.clone()),
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => now(reflection.clone()),
        _ => behave(call),
    })
    .await
}
