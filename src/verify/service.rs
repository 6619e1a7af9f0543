//! The checks of the service as a whole: is it there, what do its health and reflection say.

use std::future::Future;
use std::time::Duration;

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

use super::judge::{Fault, code_name, shown};
use crate::contract::Callback;
use crate::failure::{Class, Failure};
use crate::policy::Channel;
use crate::policy::status_tap::{NotGrpc, StatusTap, not_grpc, tap};

/// A check that passes, with a note perhaps, or does not.
pub type Noted = Result<Option<String>, Fault>;

/// What came of a call that is not a callback's.
#[derive(Debug)]
pub enum Heard<T> {
    /// An answer.
    Answer(T),
    /// A status that the service gave.
    Status(Status),
    /// Something that is not gRPC.
    NotGrpc(NotGrpc),
    /// Nothing in time.
    Silence,
    /// No connection, or one that broke.
    Nothing(String),
}

impl<T> Heard<T> {
    /// Returns true if the service is not registered: `UNIMPLEMENTED`, or HTTP 404 from a router.
    fn is_not_served(&self) -> bool {
        match self {
            Self::Status(status) => status.code() == Code::Unimplemented,
            Self::NotGrpc(answer) => *answer == NotGrpc::NOT_FOUND,
            _ => false,
        }
    }
}

/// Asks `grpc.health.v1`, of the server as a whole.
pub async fn health(channel: &Channel, budget: Duration) -> Heard<ServingStatus> {
    let (transport, seen) = tap(channel.clone());
    let mut client = HealthClient::new(transport);
    hear(budget, &seen, async { Ok(client.check(HealthCheckRequest::default()).await?.into_inner().status()) }).await
}

/// Asks server reflection for the names of the services: as v1, and where that is not served as v1alpha, which is all
/// that some libraries have and enough for grpcurl. The messages are the same.
pub async fn services(channel: &Channel, budget: Duration) -> Heard<Vec<String>> {
    match services_of("v1", channel, budget).await {
        heard if heard.is_not_served() => services_of("v1alpha", channel, budget).await,
        heard => heard,
    }
}

async fn services_of(version: &str, channel: &Channel, budget: Duration) -> Heard<Vec<String>> {
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let (transport, seen) = tap(channel.clone());
    let mut client = Grpc::new(transport);
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    let asked = async {
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
    hear(budget, &seen, asked).await
}

async fn hear<T>(budget: Duration, seen: &StatusTap, call: impl Future<Output = Result<T, Status>>) -> Heard<T> {
    let status = match tokio::time::timeout(budget, call).await {
        Ok(Ok(answer)) => return Heard::Answer(answer),
        Ok(Err(status)) => status,
        Err(_) => return Heard::Silence,
    };
    if let Some(code) = seen.failure() {
        return Heard::Status(Status::new(code, seen.message()));
    }
    if let Some(answer) = not_grpc(&status, seen) {
        return Heard::NotGrpc(answer);
    }
    match std::error::Error::source(&status).filter(|_| !seen.response()) {
        Some(source) => Heard::Nothing(shown(Failure::new(Class::Unavailable, source).cause())),
        None => Heard::Status(status),
    }
}

/// Whether the policy is there, by what came of a health check.
pub fn of_connection<T>(channel: &Channel, heard: &Heard<T>) -> Noted {
    let why = match heard {
        Heard::Answer(_) | Heard::Status(_) => return Ok(None),
        // HTTP routers answer 404 for a service that is not registered, and health need not be.
        Heard::NotGrpc(NotGrpc::NOT_FOUND) => return Ok(None),
        Heard::NotGrpc(why) => return Err(fault(format!("it answers, but not gRPC: {why}"))),
        Heard::Silence | Heard::Nothing(_) if is_connected(channel) => return Ok(None),
        Heard::Silence => "no connection in time".to_owned(),
        Heard::Nothing(why) => why.clone(),
    };
    Err(fault(why))
}

fn fault(why: String) -> Fault {
    Fault::new(why, "start the policy, and see that --policy names its gRPC address")
}

/// Whether a connection stands.
pub fn is_connected(channel: &Channel) -> bool {
    channel.status().addresses.iter().any(|address| address.is_ready)
}

/// What health says.
pub fn of_health(heard: &Heard<ServingStatus>, budget: Duration) -> Noted {
    match heard {
        Heard::Answer(ServingStatus::Serving) => Ok(None),
        Heard::Answer(status) => Err(Fault::new(
            format!("health says {}", status.as_str_name()),
            "say SERVING for the service \"\" while it serves: hookgate is not ready before",
        )),
        heard if heard.is_not_served() => Ok(Some("not served; hookgate then takes any answer as ready".to_owned())),
        // As at run time: whatever stands before a policy that is not there says UNAVAILABLE.
        Heard::Status(status) if status.code() != Code::Unavailable => Err(Fault {
            warning: true,
            ..unexpected(heard, "say SERVING for the service \"\"; hookgate takes this answer as ready", budget)
        }),
        other => Err(unexpected(other, "serve grpc.health.v1 as your gRPC library has it, or not at all", budget)),
    }
}

/// What reflection lists of the callbacks that are implemented.
pub fn of_reflection(heard: &Heard<Vec<String>>, implemented: &[&'static Callback], budget: Duration) -> Noted {
    let listed = match heard {
        Heard::Answer(listed) => listed,
        heard if heard.is_not_served() => return Ok(Some("not served; grpcurl needs -proto".to_owned())),
        other => {
            return Err(unexpected(
                other,
                "serve grpc.reflection.v1 as your gRPC library has it, or not at all",
                budget,
            ));
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
    Err(Fault::new(message, "register the services that you implement with the reflection service"))
}

fn unexpected<T>(heard: &Heard<T>, hint: &str, budget: Duration) -> Fault {
    let message = match heard {
        Heard::Answer(_) => "an answer".to_owned(),
        Heard::Status(status) => format!("status {} \"{}\"", code_name(status.code()), shown(status.message())),
        Heard::Silence => format!("does not answer within {budget:?}"),
        Heard::NotGrpc(why) => why.to_string(),
        Heard::Nothing(why) => why.clone(),
    };
    Fault::new(message, hint)
}
