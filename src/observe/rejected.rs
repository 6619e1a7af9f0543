//! Callers that were refused: counted by reason, and told of no more often than somebody can read.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use serde_json::{Map, Value};
use tracing::{debug, warn};

/// Why a caller was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It sent no password that is good.
    Password,
    /// Its URL does not begin with a path that is good.
    Path,
    /// It is nowhere where callers may be, or nobody can tell where it is.
    Source,
    /// It has no certificate that is good.
    Certificate,
    /// It sent plain HTTP where TLS is spoken.
    PlainHttp,
    /// It sent something that is no HTTP, as is TLS where plain HTTP is spoken.
    NotHttp,
    /// It speaks HTTP/2.
    Http2,
    /// It sent the PROXY protocol's header before its request.
    ProxyProtocol,
    /// The head of its request was not whole in time.
    HeadTimeout,
    /// It was over the limit of connections, and ended for a newer one.
    OverLimit,
    /// The TLS handshake failed, or was given up.
    Handshake,
    /// The TLS handshake took too long.
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

    /// What the caller is told. Which access rule it was is for the log alone.
    pub(crate) fn told(self) -> &'static str {
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

/// How many were refused.
#[derive(Debug)]
pub struct CallersRefused {
    began: Instant,
    counters: [Counter; Reason::ALL.len()],
}

#[derive(Debug, Default)]
struct Counter {
    count: AtomicU64,
    /// The second of the last line, from 1 on; 0 is never.
    told: AtomicU64,
    /// How many came since that line.
    untold: AtomicU64,
}

impl CallersRefused {
    /// How many were refused for a reason.
    pub fn counted(&self, reason: Reason) -> u64 {
        self.counters[reason as usize].count.load(Relaxed)
    }

    /// Counts a request of a caller that may not call, and tells where it came from: by its connection, and by what a
    /// trusted proxy says.
    pub(crate) fn caller(&self, reason: Reason, peer: Option<IpAddr>, forwarded_for: Option<IpAddr>) {
        if let Some(untold) = self.count(reason) {
            let (reason, peer) = (reason.as_str(), shown(peer));
            let forwarded_for = forwarded_for.map(tracing::field::display);
            warn!(reason, peer, forwarded_for, untold, "a caller was refused");
        }
    }

    /// Counts a connection that came to nothing. Whoever knocks on ports makes such, so that it is told at debug, but for
    /// what a proxy that is set up wrongly sends.
    pub(crate) fn connection(&self, reason: Reason, peer: Option<IpAddr>, why: &str) {
        let Some(untold) = self.count(reason) else { return };
        let (name, peer) = (reason.as_str(), shown(peer));
        match reason {
            Reason::Http2 | Reason::ProxyProtocol => {
                warn!(reason = name, peer, why, untold, "a connection came to nothing");
            }
            _ => debug!(reason = name, peer, why, untold, "a connection came to nothing"),
        }
    }

    /// By reason, as the JSON of `/status`.
    pub(crate) fn report(&self) -> Map<String, Value> {
        Reason::ALL.into_iter().map(|reason| (reason.as_str().to_owned(), self.counted(reason).into())).collect()
    }

    /// Counts one. Once a second it is to be told, with the number of those that were not, if any.
    fn count(&self, reason: Reason) -> Option<Option<u64>> {
        let Counter { count, told, untold } = &self.counters[reason as usize];
        count.fetch_add(1, Relaxed);
        let second = self.began.elapsed().as_secs() + 1;
        if told.swap(second, Relaxed) == second {
            untold.fetch_add(1, Relaxed);
            return None;
        }
        Some(Some(untold.swap(0, Relaxed)).filter(|untold| *untold > 0))
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
