//! Checks the URL that OpenIM posts to: whether it leads to our listener, and is let in.

use std::net::{IpAddr, SocketAddr};

use http::Uri;
use percent_encoding::percent_decode_str;

use super::Config;
use super::url::host_and_port;

/// Returns warnings about a URL. Its path and user are not repeated: they may be secret.
pub(super) fn warnings(url: &str, config: &Config) -> Vec<String> {
    let Ok(uri) = url.parse::<Uri>() else { return vec!["not a URL; OpenIM can post nothing".to_owned()] };
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        let found = uri.scheme_str().map_or_else(|| "no scheme".to_owned(), |scheme| format!("the scheme {scheme}"));
        let place = config.listen.tcp().map_or_else(|| "host".to_owned(), |address| address.to_string());
        return vec![format!("{found}, with which OpenIM can post nothing; expected {scheme}://{place}")];
    }
    let mut odd = Vec::new();
    // The address of a proxy in front of a Unix socket is not known here.
    if let Some(listen) = config.listen.tcp() {
        if uri.scheme_str() == Some(scheme) {
            odd.extend(leads_elsewhere(&uri, listen));
        } else if scheme == "http" {
            odd.push(
                "https, which hookgate does not speak without tls.certificate; something before it must".to_owned(),
            );
        } else {
            odd.push("http, but hookgate speaks https there (tls.certificate)".to_owned());
        }
    }
    odd.extend(is_refused(&uri, config).map(ToOwned::to_owned));
    if uri.query().is_some() {
        odd.push(
            "has a query: OpenIM puts the command behind it, and hookgate finds it there; a path is plainer".to_owned(),
        );
    } else if uri.path().len() > 1 && uri.path().ends_with('/') {
        odd.push("ends in a slash, so paths have two; hookgate takes both".to_owned());
    }
    odd
}

/// Returns a warning if a URL leads to another address than the listener's.
fn leads_elsewhere(uri: &Uri, listen: SocketAddr) -> Option<String> {
    let (host, port) = host_and_port(uri);
    if listen.port() != 0 && port != listen.port() {
        Some(format!("leads to port {port}, but hookgate listens on {listen}"))
    } else if !host_leads_to(host, listen.ip()) {
        Some(format!("leads to {host}, but hookgate listens on {listen}"))
    } else {
        None
    }
}

/// Returns a warning if the access rules refuse what is posted to a URL.
fn is_refused(uri: &Uri, config: &Config) -> Option<&'static str> {
    let user = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@')).map(|(user, _)| user);
    // As Go's net/http sends it.
    let user: Option<Vec<u8>> = user.map(|user| percent_decode_str(user).collect());
    if config.access.passwords.as_ref().is_some_and(|known| !user.is_some_and(|user| known.contain(&user))) {
        return Some("has no user and password of access.passwords, so every webhook is refused");
    }
    if config.access.paths.as_ref().is_some_and(|known| known.stripped(uri.path()).is_none()) {
        return Some("does not begin with a path of access.paths, so every webhook is refused");
    }
    None
}

/// Returns true if a host may be the listener's.
fn host_leads_to(host: &str, listen: IpAddr) -> bool {
    let localhost = host.eq_ignore_ascii_case("localhost");
    let address = if localhost { Some(IpAddr::from([127, 0, 0, 1])) } else { host.parse().ok() };
    match address {
        _ if listen.is_unspecified() => true,
        Some(address) if address.is_loopback() => listen.is_loopback(),
        Some(address) => address == listen,
        // A name is resolved on OpenIM's machine, and not to a loopback address of this one.
        None => !listen.is_loopback(),
    }
}
