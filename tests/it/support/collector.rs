//! A receiver of OTLP over gRPC that keeps what it gets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

pub const SERVER: i32 = SpanKind::Server as i32;
pub const CLIENT: i32 = SpanKind::Client as i32;

/// A span as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub name: String,
    pub kind: i32,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub began: u64,
    pub ended: u64,
    pub failed: bool,
    /// Who sent it.
    pub service: String,
    attributes: BTreeMap<String, String>,
    /// All of it, whatever else there is.
    pub whole: String,
}

impl Seen {
    /// An attribute as text.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("no {name} in {self:#?}"))
    }
}

pub struct Collector {
    address: SocketAddr,
    kept: Kept,
}

#[derive(Clone, Default)]
struct Kept(Arc<(Mutex<Vec<Seen>>, Notify)>);

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let kept = Kept::default();
        let service = TraceServiceServer::new(kept.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self { address, kept }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans so far, taken out, in the order of their ends.
    pub fn take(&self) -> Vec<Seen> {
        let mut spans = std::mem::take(&mut *self.kept.0.0.lock().expect("no panic while held"));
        spans.sort_by_key(|span| span.ended);
        spans
    }

    /// The spans, once there are so many.
    pub async fn until(&self, many: usize) -> Vec<Seen> {
        let (spans, came) = &*self.kept.0;
        loop {
            let comes = came.notified();
            if spans.lock().expect("no panic while held").len() >= many {
                return self.take();
            }
            comes.await;
        }
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (spans, came) = &*self.0;
        for of_resource in request.into_inner().resource_spans {
            let resource = attributes(of_resource.resource.expect("who sent it").attributes);
            for span in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
                let whole = format!("{resource:?} {span:?}");
                spans.lock().expect("no panic while held").push(Seen {
                    whole,
                    name: span.name,
                    kind: span.kind,
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    began: span.start_time_unix_nano,
                    ended: span.end_time_unix_nano,
                    failed: span.status.is_some_and(|status| status.code == StatusCode::Error as i32),
                    service: resource["service.name"].clone(),
                    attributes: attributes(span.attributes),
                });
            }
        }
        came.notify_waiters();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    list.into_iter().map(|KeyValue { key, value, .. }| (key, text(value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
