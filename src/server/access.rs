//! Whether a caller may call. Comes first, so that whoever may not costs nothing and learns nothing.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Uri, header};
use ipnet::IpNet;

use super::caller::Caller;
use crate::config::{Access, Config};
use crate::observe::rejected::Reason;
use crate::server::Refusal;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Lets a request in, without the secret that its path began with; or says which rule does not hold. All are looked at,
/// whichever fails.
pub(super) fn check(config: &Config, caller: &Caller, head: &mut Parts) -> Result<(), Refusal> {
    if caller.in_the_clear {
        return Err(Refusal::Caller(Reason::PlainHttp));
    }
    if !config.asks_who_calls() {
        return Ok(());
    }
    let access = &config.access;
    let source = comes_from_a_source(access, caller, &head.headers);
    let certificate = has_certificate(config, caller);
    let inside = access.paths.as_ref().map(|paths| paths.stripped(head.uri.path()));
    let password = access.passwords.as_ref().is_none_or(|passwords| {
        // Compared all the same: what is not there is no password.
        passwords.contain(&basic(&head.headers).unwrap_or_default())
    });
    if !source {
        return Err(Refusal::Caller(Reason::Source));
    }
    if !certificate {
        return Err(Refusal::Caller(Reason::Certificate));
    }
    match inside {
        Some(None) => return Err(Refusal::Caller(Reason::Path)),
        Some(Some(rest)) => head.uri = without_secret(rest, head.uri.query()),
        None => {}
    }
    if password { Ok(()) } else { Err(Refusal::Caller(Reason::Password)) }
}

/// Whether all that comes over a connection will be refused, whatever it says. One that is good for nothing is not held
/// open.
pub(super) fn is_hopeless(config: &Config, caller: &Caller) -> bool {
    let Access { sources, trusted_proxies, .. } = &config.access;
    let elsewhere = |peer| !sources.is_empty() && !is_in(sources, peer) && !is_in(trusted_proxies, peer);
    caller.in_the_clear || caller.address.is_some_and(elsewhere) || !has_certificate(config, caller)
}

/// Where a request comes from, if that can be told: the nearest address that is not that of a trusted proxy. What a
/// header says counts as far as trusted proxies have written it.
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
    let client_ca = config.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
    client_ca.is_none_or(|ca| caller.certificate.as_ref().is_some_and(|certificate| certificate.is_good(ca)))
}

fn comes_from_a_source(access: &Access, caller: &Caller, headers: &HeaderMap) -> bool {
    match caller.address {
        Some(peer) if !access.sources.is_empty() => {
            source(access, peer, headers).is_some_and(|source| is_in(&access.sources, source))
        }
        // Through a Unix socket come those who may open its file.
        _ => true,
    }
}

fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// An address as proxies write it, some with a port: `10.0.0.1`, `10.0.0.1:80`, `fd00::1`, `[fd00::1]`, `[fd00::1]:80`.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().map(IpAddr::V6).ok();
    text.parse().ok().or_else(with_port).or_else(bare).map(|address: IpAddr| address.to_canonical())
}

/// The user and password of basic authentication.
fn basic(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") { STANDARD.decode(credentials.trim()).ok() } else { None }
}

/// What is left when the secret is known to be good; from here on nobody can repeat it.
fn without_secret(rest: &str, query: Option<&str>) -> Uri {
    let path = if rest.is_empty() { "/" } else { rest };
    let whole = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    // Never an error: it was part of a URL.
    PathAndQuery::try_from(whole).map(Uri::from).unwrap_or_default()
}
