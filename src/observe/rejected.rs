//! Refused callers and connections: counted by reason, and logged at most once a second each.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use serde_json::{Map, Value};
use tracing::{debug, warn};

/// Reason for which a caller was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No valid password.
    Password,
    /// Its URL does not begin with a secret path.
    Path,
    /// Its address is not an allowed source, or unknown.
    Source,
    /// No valid client certificate.
    Certificate,
    /// Plain HTTP on a port with TLS.
    PlainHttp,
    /// Another protocol than HTTP/1.1, such as TLS on a port without.
    NotHttp,
    /// HTTP/2.
    Http2,
    /// A header of the PROXY protocol before the request.
    ProxyProtocol,
    /// The head of its request was incomplete after its timeout.
    HeadTimeout,
    /// Over the limit of connections, and closed for a newer one.
    OverLimit,
    /// The TLS handshake failed.
    Handshake,
    /// The TLS handshake timed out.
    HandshakeTimeout,
}

impl Reason {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::Password,
        Self::Path,
        Self::Source,
        Self::Certificate,
        Self::PlainHttp,
        Self::NotHttp,
        Self::Http2,
        Self::ProxyProtocol,
        Self::HeadTimeout,
        Self::OverLimit,
        Self::Handshake,
        Self::HandshakeTimeout,
    ];

    /// Its name: `handshake_timeout`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Path => "path",
            Self::Source => "source",
            Self::Certificate => "certificate",
            Self::PlainHttp => "plain_http",
            Self::NotHttp => "not_http",
            Self::Http2 => "http2",
            Self::ProxyProtocol => "proxy_protocol",
            Self::HeadTimeout => "head_timeout",
            Self::OverLimit => "over_limit",
            Self::Handshake => "handshake",
            Self::HandshakeTimeout => "handshake_timeout",
        }
    }

    /// The sentence for the caller. The access rule that did not hold is for the log alone.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::PlainHttp => "https is spoken here, not http",
            Self::NotHttp => "this is no HTTP/1.1 request",
            Self::Http2 => "HTTP/1.1 is spoken here, not HTTP/2",
            Self::ProxyProtocol => "HTTP is spoken here, without the PROXY protocol before it",
            Self::HeadTimeout => "the request's head did not arrive in time",
            _ => "not allowed to call",
        }
    }
}

/// Counters of refused callers and connections.
#[derive(Debug)]
pub struct CallersRefused {
    began: Instant,
    counters: [Counter; Reason::ALL.len()],
}

#[derive(Debug, Default)]
struct Counter {
    count: AtomicU64,
    /// The second of the last log line, from 1 on; 0 is never.
    logged_at: AtomicU64,
    /// Number since that line.
    unlogged: AtomicU64,
}

impl CallersRefused {
    /// Number refused for a reason.
    pub fn counted(&self, reason: Reason) -> u64 {
        self.counters[reason as usize].count.load(Relaxed)
    }

    /// Counts and logs a request of a caller that may not call, with the address of its connection and the one that a trusted
    /// proxy reports.
    pub(crate) fn caller(&self, reason: Reason, peer: Option<IpAddr>, forwarded_for: Option<IpAddr>) {
        if let Some(unlogged) = self.count(reason) {
            let (reason, peer) = (reason.as_str(), shown(peer));
            let forwarded_for = forwarded_for.map(tracing::field::display);
            warn!(reason, peer, forwarded_for, unlogged, "caller refused");
        }
    }

    /// Counts and logs a connection that was rejected before a request. Port scanners cause most, so they are logged at debug,
    /// except those of misconfigured proxies.
    pub(crate) fn connection(&self, reason: Reason, peer: Option<IpAddr>, why: &str) {
        let Some(unlogged) = self.count(reason) else { return };
        let (name, peer) = (reason.as_str(), shown(peer));
        match reason {
            Reason::Http2 | Reason::ProxyProtocol => {
                warn!(reason = name, peer, why, unlogged, "connection rejected");
            }
            _ => debug!(reason = name, peer, why, unlogged, "connection rejected"),
        }
    }

    /// Returns the numbers by reason, as the JSON of `/status`.
    pub(crate) fn report(&self) -> Map<String, Value> {
        Reason::ALL.into_iter().map(|reason| (reason.as_str().to_owned(), self.counted(reason).into())).collect()
    }

    /// Counts one. Returns `Some` if it is to be logged, which is once a second, with the number of unlogged ones, if any.
    fn count(&self, reason: Reason) -> Option<Option<u64>> {
        let Counter { count, logged_at, unlogged } = &self.counters[reason as usize];
        count.fetch_add(1, Relaxed);
        let second = self.began.elapsed().as_secs() + 1;
        if logged_at.swap(second, Relaxed) == second {
            unlogged.fetch_add(1, Relaxed);
            return None;
        }
        Some(Some(unlogged.swap(0, Relaxed)).filter(|unlogged| *unlogged > 0))
    }
}

impl Default for CallersRefused {
    fn default() -> Self {
        Self { began: Instant::now(), counters: Default::default() }
    }
}

fn shown(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "a Unix socket".to_owned(), |peer| peer.to_string())
}
