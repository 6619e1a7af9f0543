//! The map from a decision to the HTTP reply. Each is one that OpenIM can read.

use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::Full;

use super::decision::{Decision, Why};
use super::{Refusal, Response};
use crate::config::Config;

/// The response header that names the outcome of a webhook.
const OUTCOME: HeaderName = HeaderName::from_static("hookgate-outcome");

impl Decision {
    /// Returns the reply.
    pub(super) fn response(&self, config: &Config) -> Response {
        let mut response = Response::new(Full::new(self.reply.body(config.denial.code)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(OUTCOME, HeaderValue::from_static(self.outcome().as_str()));
        if let Why::Refused(Refusal::Method) = self.why {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if self.status == StatusCode::UNAUTHORIZED && config.access.users.is_some() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hookgate\""));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
