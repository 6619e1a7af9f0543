//! Where spans are sent, and of how many webhooks.

use http::Uri;

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::Kind;

/// Where spans are sent, and of how many webhooks.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// The collector; without one there are no traces.
    pub endpoint: Option<Uri>,
    /// The share of webhooks that are traced, of those that come without a `traceparent`.
    pub sample: f64,
}

impl Default for Traces {
    fn default() -> Self {
        Self { endpoint: None, sample: 1.0 }
    }
}

/// A collector, if any.
const COLLECTOR: Kind<Option<Uri>> = Kind {
    read: |text| collector(text).map(Some),
    show: |url| url.as_ref().map(|url| serde_json::Value::from(url.to_string()).to_string()),
};

/// A part of a whole.
const SHARE: Kind<f64> = Kind {
    read: |text| match text.parse() {
        Ok(share @ 0.0..=1.0) => Ok(share),
        _ => Err(format!("{text:?}: expected a number from 0 to 1, as in 0.1")),
    },
    show: |share| Some(share.to_string()),
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
            "The share of webhooks that are traced, 0 to 1, of those that come without a traceparent; a caller's says itself",
        ),
    ]
}

/// The text may hold a password and is not repeated.
fn collector(text: &str) -> Result<Uri, String> {
    let example = "expected http:// or https://, a host and a port, as in http://127.0.0.1:4317";
    let url: Uri = text.parse().map_err(|error| format!("{error}; {example}"))?;
    let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(example.to_owned());
    };
    if authority.as_str().contains('@') {
        return Err("a user and password are not sent to a collector; OTEL_EXPORTER_OTLP_HEADERS are".to_owned());
    }
    if authority.host().is_empty() || authority.port_u16().is_none_or(|port| port == 0) {
        return Err(format!("no host or no port; {example}"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(format!("a path or query has no meaning here; {example}"));
    }
    Ok(url)
}
