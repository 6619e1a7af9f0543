//! Who may call: every kind of caller at every kind of listener, and what each is told.

mod admin;
mod callers;
mod files;
mod paths;
mod proxies;
mod secrets;

use hookgate::internals::observe::Reason;
use strum::VariantArray;

use crate::support::{Gate, Reply};

/// What everybody is told who may not call.
pub const DENIED: &str =
    r#"{"actionCode":0,"errCode":5000,"errMsg":"not allowed to call","errDlt":"not allowed to call","nextCode":1}"#;

/// Basic authentication, as OpenIM sends the user and password of its url.
pub fn basic(credentials: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}

/// How many were refused for each reason that there was.
pub fn refused_callers(gate: &Gate) -> Vec<(Reason, u64)> {
    let counts = Reason::VARIANTS.iter().map(|reason| (*reason, gate.status.callers_refused.counted(*reason)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// A 401 with a denial that OpenIM can read, and that says no more than it must.
pub fn assert_denied(reply: &Reply, of: &str) {
    assert_eq!((reply.status.as_u16(), &*reply.body), (401, DENIED.as_bytes()), "{of}");
    assert_eq!(reply.headers["content-type"], "application/json", "{of}");
    assert_eq!(reply.headers["hookgate-outcome"], "refused", "{of}");
}
