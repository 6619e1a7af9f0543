//! Where spans are sent, and of how many webhooks.

use http::Uri;

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::host_url::host_url;
use crate::config::value::{Kind, SHARE, quoted};

/// Where spans are sent, and of how many webhooks.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// The collector; without one there are no traces.
    pub endpoint: Option<Uri>,
    /// The share of webhooks that are traced, from 0 to 1, of those that come without a `traceparent`.
    pub sample: f64,
}

impl Default for Traces {
    fn default() -> Self {
        Self { endpoint: None, sample: 1.0 }
    }
}

/// A collector, if any.
const COLLECTOR: Kind<Option<Uri>> = Kind {
    list: false,
    read: |text| {
        let expected = "expected http:// or https://, a host and a port, as in http://127.0.0.1:4317";
        let no_user = "a user and password are not sent to a collector; OTEL_EXPORTER_OTLP_HEADERS are";
        host_url(text, expected, no_user).map(Some)
    },
    show: |url| url.as_ref().map(|url| quoted(&url.to_string())),
};

pub(super) fn rows() -> Vec<Setting<Draft>> {
    vec![
        row(
            "traces.endpoint",
            COLLECTOR,
            |d| &mut d.config.traces.endpoint,
            "The collector that traces are sent to by OTLP over gRPC, as in http://127.0.0.1:4317. None are made without it",
        ),
        row(
            "traces.sample",
            SHARE,
            |d| &mut d.config.traces.sample,
            "The share of webhooks that are traced, 0 to 1, of those that come without a traceparent; a caller's traceparent decides for itself",
        ),
    ]
}
