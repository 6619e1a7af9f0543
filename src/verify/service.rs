//! The checks of the service as a whole: connection, health, reflection.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::tokio_stream;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::judge::{Finding, Judged, describe, shown};
use crate::contract::Callback;
use crate::failure::{Class, Failure};
use crate::policy::Channel;
use crate::policy::status_tap::{StatusTap, not_grpc, tap};

/// Calls `grpc.health.v1` for the server as a whole.
pub(super) async fn health(channel: &Channel, budget: Duration) -> Result<ServingStatus, Failure> {
    let (transport, seen) = tap(channel.clone());
    let mut client = HealthClient::new(transport);
    let call = async { Ok(client.check(HealthCheckRequest::default()).await?.into_inner().status()) };
    answer_of(call, &seen, budget).await
}

/// Calls server reflection for the names of the services: v1, and if that is not served v1alpha, which is all that some
/// libraries have and enough for grpcurl. Both have the same messages.
pub(super) async fn services(channel: &Channel, budget: Duration) -> Result<Vec<String>, Failure> {
    match list_services("v1", channel, budget).await {
        Err(failure) if failure.class == Class::Unimplemented => list_services("v1alpha", channel, budget).await,
        answer => answer,
    }
}

async fn list_services(version: &str, channel: &Channel, budget: Duration) -> Result<Vec<String>, Failure> {
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let question = ServerReflectionRequest { host: String::new(), message_request };
    let (transport, seen) = tap(channel.clone());
    let mut client = Grpc::new(transport);
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    let call = async {
        client.ready().await.map_err(Status::from_error)?;
        let path = path.parse().map_err(|_| Status::internal("no path"))?;
        let codec = ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
        let mut answers = client.streaming(Request::new(tokio_stream::once(question)), path, codec).await?.into_inner();
        match answers.message().await?.and_then(|answer| answer.message_response) {
            Some(MessageResponse::ListServicesResponse(list)) => {
                Ok(list.service.into_iter().map(|service| service.name).collect())
            }
            _ => Err(Status::unimplemented("no list of services")),
        }
    };
    answer_of(call, &seen, budget).await
}

/// Waits for a call, and tells the status that the service gave from the other ways to fail.
async fn answer_of<T>(
    call: impl Future<Output = Result<T, Status>>,
    seen: &StatusTap,
    budget: Duration,
) -> Result<T, Failure> {
    let status = match timeout(budget, call).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(status)) => status,
        Err(_) => return Err(Failure::because(Class::Deadline, "no connection in time")),
    };
    let with_status = |code, message| {
        let class = if code == Code::Unimplemented { Class::Unimplemented } else { Class::Error };
        Failure::because(class, message).with_status(Some(code))
    };
    Err(match (seen.failure(), not_grpc(&status, seen), status.source()) {
        (Some(code), ..) => with_status(code, seen.message()),
        (None, Some(answer), _) => Failure::not_grpc(answer.class(), &answer),
        (None, None, Some(source)) if !seen.response() => Failure::new(Class::Unavailable, source),
        (None, None, _) => with_status(status.code(), status.message().to_owned()),
    })
}

/// Judges whether the policy can be reached, by the answer to a health check. HTTP routers answer 404 to a service that is
/// not registered, which health need not be.
pub(super) fn judge_connection<T>(channel: &Channel, health: &Result<T, Failure>) -> Judged {
    let why = match health {
        Err(failure) if failure.status.is_some() || failure.class == Class::Unimplemented => return Ok(None),
        Err(failure) if failure.not_grpc => format!("it answers, but not gRPC: {}", failure.cause),
        Err(failure) if !channel.status().addresses.iter().any(|address| address.is_ready) => shown(&failure.cause),
        _ => return Ok(None),
    };
    Err(Finding::failed(why, "start the policy, and see that --policy names its gRPC address"))
}

/// Judges the answer of health.
pub(super) fn judge_health(health: &Result<ServingStatus, Failure>, budget: Duration) -> Judged {
    match health {
        Ok(ServingStatus::Serving) => Ok(None),
        Ok(status) => Err(Finding::failed(
            format!("health says {}", status.as_str_name()),
            "say SERVING for the service \"\" while it serves: hookgate is not ready before",
        )),
        Err(failure) if failure.class == Class::Unimplemented => {
            Ok(Some("not served; hookgate then takes any answer as ready".to_owned()))
        }
        // As at run time: a proxy before a policy that is not there says UNAVAILABLE.
        Err(failure) if failure.status.is_some_and(|code| code != Code::Unavailable) => Err(Finding::warning(
            describe(failure, budget),
            "say SERVING for the service \"\"; hookgate takes this answer as ready",
        )),
        Err(failure) => Err(Finding::failed(
            describe(failure, budget),
            "serve grpc.health.v1 as your gRPC library has it, or not at all",
        )),
    }
}

/// Checks that reflection lists the services of the callbacks that are implemented.
pub(super) fn judge_reflection(
    services: &Result<Vec<String>, Failure>,
    implemented: &[&'static Callback],
    budget: Duration,
) -> Judged {
    let listed = match services {
        Ok(listed) => listed,
        Err(failure) if failure.class == Class::Unimplemented => {
            return Ok(Some("not served; grpcurl needs -proto".to_owned()));
        }
        Err(failure) => {
            let hint = "serve grpc.reflection.v1 as your gRPC library has it, or not at all";
            return Err(Finding::failed(describe(failure, budget), hint));
        }
    };
    let mut missing: Vec<&str> = implemented.iter().filter_map(|callback| callback.rpc.split('/').nth(1)).collect();
    missing.sort_unstable();
    missing.dedup();
    missing.retain(|service| !listed.iter().any(|listed| listed == service));
    if missing.is_empty() {
        return Ok(None);
    }
    let message = format!("does not list {}", missing.join(", "));
    Err(Finding::failed(message, "register the services that you implement with the reflection service"))
}
