//! The layer that checks access. A caller that may not call costs nothing and learns nothing.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::Either;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Uri, header};
use ipnet::IpNet;

use super::caller::Caller;
use super::layers::{Call, Next, ResponseFuture};
use super::{Refusal, refused};
use crate::config::{Access, Config};
use crate::observe::rejected::Reason;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Refuses callers that may not call.
pub(super) fn check_access<T, S: Next<T>>(mut call: Call<T>, mut next: S) -> impl ResponseFuture {
    let (record, request) = (&call.record, &mut call.request);
    match check(&record.config, &record.connection.caller, request.headers(), request.uri()) {
        Ok(uri) => {
            if let Some(uri) = uri {
                *request.uri_mut() = uri;
            }
            Either::Left(next.call(call))
        }
        Err(refusal) => Either::Right(async move {
            let (head, body) = call.request.into_parts();
            Ok(refused::refuse(&call.record, head, body, refusal).await)
        }),
    }
}

/// Checks the access rules; the refusal names the first that does not hold. Returns the URI without the secret that its path
/// began with, if there is one. All rules are checked in any case, so that the time tells nothing.
pub(super) fn check(config: &Config, caller: &Caller, headers: &HeaderMap, uri: &Uri) -> Result<Option<Uri>, Refusal> {
    if caller.is_plaintext {
        return Err(Refusal::Caller(Reason::PlainHttp));
    }
    if !config.asks_who_calls() {
        return Ok(None);
    }
    let access = &config.access;
    let source = comes_from_a_source(access, caller, headers);
    let certificate = has_certificate(config, caller);
    let rest = access.secret_paths.as_ref().map(|paths| paths.stripped(uri.path()));
    // A missing password is compared too.
    let password = access.users.as_ref().is_none_or(|passwords| passwords.contain(&basic(headers).unwrap_or_default()));
    let checks = [
        (source, Reason::Source),
        (certificate, Reason::Certificate),
        (rest != Some(None), Reason::Path),
        (password, Reason::Password),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, reason)) => Err(Refusal::Caller(reason)),
        None => Ok(rest.flatten().map(|rest| without_secret(rest, uri.query()))),
    }
}

/// Returns true if every request over a connection will be refused. Such a connection serves one request and is closed.
pub(super) fn refuses_all(config: &Config, caller: &Caller) -> bool {
    let Access { sources, trusted_proxies, .. } = &config.access;
    let elsewhere = |peer| !sources.is_empty() && !is_in(sources, peer) && !is_in(trusted_proxies, peer);
    caller.is_plaintext || caller.address.is_some_and(elsewhere) || !has_certificate(config, caller)
}

/// Returns the source of a request: the nearest address that is not that of a trusted proxy. Of `X-Forwarded-For` only what
/// trusted proxies have written counts. `None` if they wrote no address.
pub(super) fn source(access: &Access, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    let is_proxy = |address: IpAddr| is_in(&access.trusted_proxies, address);
    let mut source = peer;
    let forwarded = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut hops = forwarded.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    while is_proxy(source) {
        match hops.next() {
            Some(hop) => source = address(hop)?,
            None => break,
        }
    }
    Some(source)
}

fn has_certificate(config: &Config, caller: &Caller) -> bool {
    config.client_ca().is_none_or(|ca| caller.certificate.as_ref().is_some_and(|certificate| certificate.is_good(ca)))
}

fn comes_from_a_source(access: &Access, caller: &Caller, headers: &HeaderMap) -> bool {
    match caller.address {
        Some(peer) if !access.sources.is_empty() => {
            source(access, peer, headers).is_some_and(|source| is_in(&access.sources, source))
        }
        // Access to a Unix socket is by the permissions of its file.
        _ => true,
    }
}

fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Parses an address as proxies write it, some with a port: `10.0.0.1`, `10.0.0.1:80`, `fd00::1`, `[fd00::1]`, `[fd00::1]:80`.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().map(IpAddr::V6).ok();
    text.parse().ok().or_else(with_port).or_else(bare).map(|address: IpAddr| address.to_canonical())
}

/// Returns `user:password` of basic authentication.
fn basic(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") { STANDARD.decode(credentials.trim()).ok() } else { None }
}

/// Returns the URI without its secret, which cannot be logged from here on.
fn without_secret(rest: &str, query: Option<&str>) -> Uri {
    let path = if rest.is_empty() { "/" } else { rest };
    let whole = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    // Never an error: it was part of a URL.
    PathAndQuery::try_from(whole).map(Uri::from).unwrap_or_default()
}
