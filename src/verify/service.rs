//! The checks of the service as a whole: connection, health, reflection.

use std::time::Duration;

use http::{Request, Uri};
use prost::Message;
use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::finding::{Fault, Judged, shown};
use super::judge::describe;
use crate::contract::Callback;
use crate::failure::{Class, Failure};
use crate::policy::channel::{self, Channel};
use crate::policy::{CallError, Transport as _};

/// Maximum bytes of an answer.
const LARGEST: usize = 4 << 20;

/// Calls `grpc.health.v1` for the server as a whole.
pub(super) async fn health(channel: &Channel, budget: Duration) -> Result<ServingStatus, Failure> {
    let question = HealthCheckRequest::default();
    let answer: HealthCheckResponse = call(channel, "/grpc.health.v1.Health/Check", question, budget).await?;
    Ok(answer.status())
}

/// Calls server reflection for the names of the services: v1, and if that is not served v1alpha, which is all that some
/// libraries have and enough for grpcurl. Both have the same messages.
pub(super) async fn services(channel: &Channel, budget: Duration) -> Result<Vec<String>, Failure> {
    match list_services(channel, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", budget).await {
        Err(failure) if failure.class == Class::Unimplemented => {
            list_services(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", budget).await
        }
        answer => answer,
    }
}

async fn list_services(channel: &Channel, path: &'static str, budget: Duration) -> Result<Vec<String>, Failure> {
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let question = ServerReflectionRequest { host: String::new(), message_request };
    let answer: ServerReflectionResponse = call(channel, path, question, budget).await?;
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        _ => Err(Failure::because(Class::Unimplemented, "no list of services")),
    }
}

/// Sends one message and waits for one. Tells the status that the service gave from the other ways to fail.
async fn call<A: Message + Default>(
    channel: &Channel,
    path: &'static str,
    question: impl Message,
    budget: Duration,
) -> Result<A, Failure> {
    let mut request = Request::new(question.encode_to_vec().into());
    *request.uri_mut() = Uri::from_static(path);
    let with_status = |code, message| {
        let class = if code == Code::Unimplemented { Class::Unimplemented } else { Class::Error };
        Failure { status: Some(code), ..Failure::because(class, message) }
    };
    match channel.unary(request, Instant::now() + budget, LARGEST).await {
        Ok(answer) => A::decode(answer).map_err(|error| with_status(Code::Internal, error.to_string())),
        Err(CallError::Channel(channel::Error::DeadlineExceeded)) => {
            Err(Failure::because(Class::Deadline, "no connection in time"))
        }
        Err(CallError::Channel(error)) => Err(Failure::new(Class::Unavailable, &error)),
        Err(CallError::NotGrpc(answer)) => Err(Failure { not_grpc: true, ..Failure::new(answer.class(), &answer) }),
        Err(CallError::Status(code, message)) => Err(with_status(code, message)),
        Err(error) => Err(with_status(Code::Internal, error.to_string())),
    }
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
    let hint = "start the policy, and see that --policy has its gRPC address and port";
    Err(Fault::new("the policy cannot be reached", why, hint).failed())
}

/// Judges the answer of health.
pub(super) fn judge_health(health: &Result<ServingStatus, Failure>, budget: Duration) -> Judged {
    match health {
        Ok(ServingStatus::Serving) => Ok(None),
        Ok(status) => {
            let message = format!("health says {}", status.as_str_name());
            let hint = "say SERVING for the service \"\" while it serves: hookgate is not ready before";
            Err(Fault::new("health is not SERVING", message, hint).failed())
        }
        Err(failure) if failure.class == Class::Unimplemented => {
            Ok(Some("not served; hookgate then takes any answer as ready".to_owned()))
        }
        Err(failure) => {
            let fault = |hint| Fault::new("health fails", describe(failure, budget), hint);
            // As at run time: a proxy before a policy that is not there says UNAVAILABLE.
            Err(match failure.status {
                None | Some(Code::Unavailable) => {
                    fault("serve grpc.health.v1 as your gRPC library has it, or not at all").failed()
                }
                Some(_) => fault("say SERVING for the service \"\"; hookgate takes this answer as ready").warning(),
            })
        }
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
            return Err(Fault::new("reflection fails", describe(failure, budget), hint).failed());
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
    let hint = "register the services that you implement with the reflection service";
    Err(Fault::new("reflection lacks services", message, hint).failed())
}
