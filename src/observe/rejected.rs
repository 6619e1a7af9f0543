//! Refused callers and connections: counted by reason, and logged at most once a second each.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use strum::{EnumCount, IntoStaticStr, VariantArray};
use tracing::{debug, warn};

use super::log_limit::LogLimit;

/// Reason for which a caller was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
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

/// Counters of refused callers and connections, by [`Reason`].
#[derive(Debug, Default)]
pub struct CallersRefused([Counter; Reason::COUNT]);

#[derive(Debug, Default)]
struct Counter {
    count: AtomicU64,
    limit: LogLimit,
}

impl CallersRefused {
    /// Number refused for a reason.
    pub fn counted(&self, reason: Reason) -> u64 {
        self.0[reason as usize].count.load(Relaxed)
    }

    /// Counts and logs a request of a caller that may not call, with the address of its connection and the one that a trusted
    /// proxy reports.
    pub(crate) fn caller(&self, reason: Reason, peer: Option<IpAddr>, forwarded_for: Option<IpAddr>) {
        self.count(reason, |reason, unlogged| {
            let forwarded_for = forwarded_for.map(tracing::field::display);
            warn!(reason, peer = shown(peer), forwarded_for, unlogged, "caller refused");
        });
    }

    /// Counts and logs a connection that was rejected before a request. Port scanners cause most, so they are logged at debug,
    /// except those of misconfigured proxies.
    pub(crate) fn connection(&self, reason: Reason, peer: Option<IpAddr>, why: &str) {
        self.count(reason, |name, unlogged| match reason {
            Reason::Http2 | Reason::ProxyProtocol => {
                warn!(reason = name, peer = shown(peer), why, unlogged, "connection rejected");
            }
            _ => debug!(reason = name, peer = shown(peer), why, unlogged, "connection rejected"),
        });
    }

    /// Counts one. Calls `log` at most once a second for each reason, with its name and the number of unlogged ones, if any.
    fn count(&self, reason: Reason, log: impl FnOnce(&str, Option<u64>)) {
        let Counter { count, limit } = &self.0[reason as usize];
        count.fetch_add(1, Relaxed);
        limit.log(1, |unlogged| log(reason.into(), unlogged));
    }
}

fn shown(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "a Unix socket".to_owned(), |peer| peer.to_string())
}
