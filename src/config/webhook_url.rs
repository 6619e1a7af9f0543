//! Checks the URL that OpenIM posts to: whether it leads to our listener, and is let in.

use std::borrow::Cow;
use std::net::IpAddr;

use http::Uri;
use percent_encoding::percent_decode_str;

use super::Config;
use super::address::host_and_port;

/// Returns warnings about a URL. Its path and user are not repeated: they may be secret.
pub(super) fn warnings(url: &str, config: &Config) -> Vec<Cow<'static, str>> {
    let Ok(uri) = url.parse::<Uri>() else { return vec!["not a URL; OpenIM can post nothing".into()] };
    if matches!(uri.scheme_str(), Some("http" | "https")) {
        let warnings = [leads_elsewhere(&uri, config), is_refused(&uri, config), ends_oddly(&uri)];
        return warnings.into_iter().flatten().collect();
    }
    let scheme = if config.tls.server.is_some() { "https" } else { "http" };
    let found = uri.scheme_str().map_or_else(|| "no scheme".to_owned(), |scheme| format!("the scheme {scheme}"));
    let place = config.listen.tcp().map_or_else(|| "host".to_owned(), |address| address.to_string());
    vec![format!("{found}, with which OpenIM can post nothing; expected {scheme}://{place}").into()]
}

/// Returns a warning if a URL leads to another address than the listener's, or the listener is spoken to in another way.
fn leads_elsewhere(uri: &Uri, config: &Config) -> Option<Cow<'static, str>> {
    // The address of a proxy in front of a Unix socket is not known here.
    let listen = config.listen.tcp()?;
    let (host, port) = host_and_port(uri);
    match (uri.scheme_str(), config.tls.server.is_some()) {
        (Some("https"), false) => {
            Some("https, which hookgate does not speak without tls.certificate; something before it must".into())
        }
        (Some("http"), true) => Some("http, but hookgate speaks https there (tls.certificate)".into()),
        _ if listen.port() != 0 && port != listen.port() => {
            Some(format!("leads to port {port}, but hookgate listens on {listen}").into())
        }
        _ if !host_leads_to(host, listen.ip()) => {
            Some(format!("leads to {host}, but hookgate listens on {listen}").into())
        }
        _ => None,
    }
}

/// Returns a warning if the command, which OpenIM appends to a URL, will not simply be the last segment of its path.
fn ends_oddly(uri: &Uri) -> Option<Cow<'static, str>> {
    if uri.query().is_some() {
        Some("has a query: OpenIM puts the command behind it, and hookgate finds it there; a path is plainer".into())
    } else if uri.path().len() > 1 && uri.path().ends_with('/') {
        Some("ends in a slash, so paths have two; hookgate takes both".into())
    } else {
        None
    }
}

/// Returns a warning if the access rules refuse what is posted to a URL.
fn is_refused(uri: &Uri, config: &Config) -> Option<Cow<'static, str>> {
    let user = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@')).map(|(user, _)| user);
    // As Go's net/http sends it.
    let user: Option<Vec<u8>> = user.map(|user| percent_decode_str(user).collect());
    if config.access.users.as_ref().is_some_and(|known| !user.is_some_and(|user| known.contain(&user))) {
        return Some("has no user and password of access.passwords, so every webhook is refused".into());
    }
    if config.access.secret_paths.as_ref().is_some_and(|known| known.stripped(uri.path()).is_none()) {
        return Some("does not begin with a path of access.paths, so every webhook is refused".into());
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
