//! Asks a running hookgate for its report.

use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::time::timeout;

use super::Report;

/// How long a hookgate may take to say how it stands.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read.
const LIMIT: usize = 16 << 20;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum NoReport {
    /// Nobody answered.
    #[error("nobody answers at {0}: {1} (--admin takes another address)")]
    Unreached(Uri, String),
    /// Something else answered.
    #[error("{0} is not a hookgate's status: {1}")]
    NotStatus(Uri, String),
}

/// The part of `/status` that is wanted.
#[derive(Deserialize)]
struct Status {
    drift: Report,
}

/// The report of the hookgate whose admin listener is at `admin`.
pub async fn ask(admin: &Uri) -> Result<Report, NoReport> {
    let unreached = |why: String| NoReport::Unreached(admin.clone(), why);
    let not_status = |why: String| NoReport::NotStatus(admin.clone(), why);
    let url = format!("{}/status", admin.to_string().trim_end_matches('/').trim_end_matches("/status"));
    let url: Uri = url.parse().map_err(|error| not_status(format!("{error}")))?;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let asked = async {
        let response = client.get(url).await.map_err(|error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            unreached(cause.to_string())
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LIMIT).collect().await;
        let body = body.map_err(|error| not_status(error.to_string()))?.to_bytes();
        if !status.is_success() {
            return Err(not_status(format!("it answers {status}")));
        }
        let status: Status = serde_json::from_slice(&body).map_err(|error| not_status(error.to_string()))?;
        Ok(status.drift)
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(unreached(format!("nothing within {PATIENCE:?}"))))
}
