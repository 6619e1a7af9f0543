//! TLS on both sides, Unix sockets, and what is wrong with the files of either.

mod files;
mod handshakes;
mod policy;
mod rotation;
mod sockets;

use bytes::Bytes;
use hookgate::config::Address;
use hookgate::internals::observe::Reason;
use http_body_util::Full;

use crate::support::pki::{Ca, Files};
use crate::support::{self, COMMAND, Gate, Policy};

/// Certificates and keys that rustls refuses: an authority on P-521, and what it has issued for `policy.test` to a key on P-256;
/// a certificate of version 1 for the latter; an RSA key of 1024 bits. By openssl, as the tests' own library makes no such.
pub const P521: &str = include_str!("tls/refused/p521.pem");
pub const P521_KEY: &str = include_str!("tls/refused/p521.key");
pub const ISSUED: &str = include_str!("tls/refused/issued.pem");
pub const ISSUED_KEY: &str = include_str!("tls/refused/issued.key");
pub const V1: &str = include_str!("tls/refused/v1.pem");
pub const RSA_1024: &str = include_str!("tls/refused/rsa1024.pem");

/// The settings of TLS.
pub const TLS: &str = "tls: {certificate: server.pem, key: server.key}";

/// A webhook, on whatever connection.
pub fn webhook() -> http::Request<Full<Bytes>> {
    support::webhook(&format!("/{COMMAND}"), &[])
}

/// Any port of this machine.
pub fn anywhere() -> Address {
    Address::Tcp(([127, 0, 0, 1], 0).into())
}

/// hookgate behind TLS with a certificate of this authority, and its policy.
pub async fn behind_tls(ca: &Ca, more: &str) -> (Gate, Policy) {
    let policy = Policy::allow().await;
    let config = files_of(ca).config(&format!("{TLS}\n{more}"));
    (Gate::at(&anywhere(), &policy.url(), config).await, policy)
}

/// What `TLS` names.
pub fn files_of(ca: &Ca) -> Files {
    Files::default().with_pair("server", &ca.issue("hookgate.test", 30)).with("ca.pem", &*ca.pem)
}

/// Waits until so many were refused for a reason.
pub async fn until_refused(gate: &Gate, reason: Reason, count: u64) {
    while gate.status.callers_refused.counted(reason) < count {
        tokio::task::yield_now().await;
    }
}
