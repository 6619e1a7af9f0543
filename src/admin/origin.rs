//! Protection of `/outbox` from other machines, and from web pages in a browser on this machine: pages of another origin,
//! and of a host whose name was made to resolve to this machine (DNS rebinding). The headers of a browser name the host and
//! the origin.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use crate::config::{Config, ConfigHandle};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The refusal of callers on other machines.
const REMOTE: &str = "this is for callers from a loopback address alone: run the command beside hookgate (in \
                      Kubernetes by kubectl exec), and have admin_listen on 127.0.0.1, on 0.0.0.0 or on a Unix socket";

/// Middleware: returns 403 if the request comes from another machine, or may come from a page of another origin. `peer` is
/// the address of the connection, `None` for a Unix socket.
pub(super) async fn check(
    State(config): State<ConfigHandle>,
    Extension(peer): Extension<Option<IpAddr>>,
    request: Request,
    next: Next,
) -> Response {
    match is_local(&config.now(), peer, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, Json(json!({ "error": why }))).into_response(),
    }
}

/// Checks that a request comes from this machine, and from no page of another origin. The error is the reason to refuse it.
pub(super) fn is_local(
    config: &Config,
    peer: Option<IpAddr>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), &'static str> {
    // Browsers cannot connect to a Unix socket.
    let Some(peer) = peer else { return Ok(()) };
    if !peer.is_loopback() {
        return Err(REMOTE);
    }
    let host = requested_host(uri, headers).filter(|host| host.is_own(config)).ok_or(
        "this request names a host that is not known here: ask 127.0.0.1 or localhost, or have admin_hosts name the host",
    )?;
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if !origins.all(|origin| origin.to_str().is_ok_and(|origin| is_same(origin, &host))) {
        return Err("this request comes from a page of another origin");
    }
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    if !sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return Err("this request comes from a page of another site");
    }
    Ok(())
}

/// A host as in a URL, and its port, if one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    /// In lower case, without brackets and without a final dot.
    name: String,
    port: Option<u16>,
}

impl Host {
    fn of(authority: &str) -> Option<Self> {
        let authority: Authority = authority.parse().ok()?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let port = authority.port();
        // `Authority` ignores an invalid port, as in `host:` or `host:99999`.
        let is_whole = port.is_some() || authority.as_str().ends_with(authority.host());
        let is_plain = !authority.as_str().contains('@') && !name.is_empty();
        (is_whole && is_plain).then(|| Self { name, port: port.map(|port| port.as_u16()) })
    }

    /// Returns true if it is this machine or one of `admin_hosts`.
    fn is_own(&self, config: &Config) -> bool {
        if self.name == "localhost" || config.admin_hosts.contains(&self.name) {
            return true;
        }
        let Ok(address) = self.name.parse::<IpAddr>() else { return false };
        let listens = config.admin_listen.tcp().map(|address| address.ip());
        address.to_canonical().is_loopback() || Some(address) == listens
    }
}

/// Returns the host that a request is for, if its one `Host` header and a target in absolute form agree.
fn requested_host(uri: &Uri, headers: &HeaderMap) -> Option<Host> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    let host = Host::of(host.to_str().ok()?)?;
    let agrees = uri.authority().is_none_or(|target| Host::of(target.as_str()).as_ref() == Some(&host));
    agrees.then_some(host)
}

/// Returns true if an origin is that of the requested host and port.
fn is_same(origin: &str, requested: &Host) -> bool {
    let is_same = |scheme: &str, default: u16| {
        origin.strip_prefix(scheme).and_then(Host::of).is_some_and(|host| {
            host.name == requested.name && host.port.unwrap_or(default) == requested.port.unwrap_or(default)
        })
    };
    is_same("http://", 80) || is_same("https://", 443)
}
