//! Guards what shows events or changes something against pages in a browser on this machine: one of another site, and one
//! whose name was made to lead here (DNS rebinding). A browser says what it was told to reach, and on whose behalf.

use std::net::IpAddr;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::config::{Config, InForce};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Answers 403 in place of the route where a page of another site may be asking.
pub(super) async fn refuse(State(config): State<InForce>, request: Request, next: Next) -> Response {
    match check(&config.now(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, Json(json!({ "error": why }))).into_response(),
    }
}

/// A host as a URL names it, and its port, where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// In lower case, without brackets and without the dot that may end a name.
    host: String,
    port: Option<u16>,
}

impl Place {
    fn of(authority: &str) -> Option<Self> {
        let authority: Authority = authority.parse().ok()?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let port = authority.port();
        // What is no port, as in `host:` or `host:99999`, is not overlooked.
        let is_whole = port.is_some() || authority.as_str().ends_with(authority.host());
        let is_plain = !authority.as_str().contains('@') && !host.is_empty();
        (is_whole && is_plain).then(|| Self { host, port: port.map(|port| port.as_u16()) })
    }

    fn is_here(&self, config: &Config) -> bool {
        if self.host == "localhost" || config.admin_hosts.contains(&self.host) {
            return true;
        }
        let Ok(address) = self.host.parse::<IpAddr>() else { return false };
        let listens = config.admin_listen.tcp().map(|address| address.ip());
        address.to_canonical().is_loopback() || Some(address) == listens
    }
}

/// Says why a request is refused. It comes over TCP, where a browser can ask too.
fn check(config: &Config, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let asked = asked(uri, headers).filter(|asked| asked.is_here(config)).ok_or(
        "this request names a host that is not known here: ask 127.0.0.1 or localhost, or have admin_hosts name the host",
    )?;
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if !origins.all(|origin| origin.to_str().is_ok_and(|origin| is_same(origin, &asked))) {
        return Err("this request comes from a page of another origin");
    }
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    if !sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return Err("this request comes from a page of another site");
    }
    Ok(())
}

/// The host that the request is for, where all that says so agrees: a target in absolute form, and one Host.
fn asked(uri: &Uri, headers: &HeaderMap) -> Option<Place> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Place::of(host.to_str().ok()?)?,
        _ => return None,
    };
    match uri.authority() {
        Some(authority) => Place::of(authority.as_str()).filter(|target| *target == host),
        None => Some(host),
    }
}

/// Returns true if an Origin is of the very host and port that were asked.
fn is_same(origin: &str, asked: &Place) -> bool {
    let (Some(of), usual) = (match origin.split_once("://") {
        Some(("http", authority)) => (Place::of(authority), 80),
        Some(("https", authority)) => (Place::of(authority), 443),
        _ => (None, 0),
    }) else {
        return false;
    };
    of.host == asked.host && of.port.unwrap_or(usual) == asked.port.unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

    use super::*;

    #[test]
    fn an_authority_is_read_whole_or_not_at_all() {
        let table = [
            ("127.0.0.1", Some(("127.0.0.1", None))),
            ("LOCALHOST.:10007", Some(("localhost", Some(10007)))),
            ("[::1]:10007", Some(("::1", Some(10007)))),
            ("[::1]", Some(("::1", None))),
            ("::1", None),
            ("", None),
            (":10007", None),
            (".", None),
            ("localhost:", None),
            ("localhost:99999", None),
            ("localhost:x", None),
            ("user@localhost", None),
            ("localhost/", None),
            ("localhost@evil.test", None),
            ("127.0.0.1.evil.test", Some(("127.0.0.1.evil.test", None))),
        ];
        for (text, expected) in table {
            let place = Place::of(text);
            let place = place.as_ref().map(|place| (&*place.host, place.port));
            assert_eq!(place, expected, "{text:?}");
        }
    }
}
