//! Traces.

use http::Uri;

use super::settings;
use crate::config::url::grpc_url;
use crate::config::value::{Kind, fraction, quoted};

settings! {
    /// Export of traces.
    pub struct Traces("traces"), |builder| builder.config.traces;

    /// Collector of traces, OTLP over gRPC, as in http://127.0.0.1:4317. Without it there are no traces.
    endpoint: Option<Uri> = None, collector().optional(), needs_restart();

    /// Fraction of webhooks that are traced, from 0 to 1, of those without a traceparent; a caller's traceparent decides
    /// for itself.
    sample: f64 = 1.0, fraction(), needs_restart();
}

fn collector() -> Kind<Uri> {
    let read = |text: &str| {
        let expected = "expected http:// or https://, a host and a port, as in http://127.0.0.1:4317";
        let no_user = "a user and password are not sent to a collector; OTEL_EXPORTER_OTLP_HEADERS are";
        grpc_url(text, expected, no_user)
    };
    Kind::new("URL", read, |url: &Uri| quoted(&url.to_string()))
}
