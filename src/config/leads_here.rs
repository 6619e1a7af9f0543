//! Whether the URL that OpenIM posts to leads to where hookgate listens, as far as that can be told from here.

use std::net::{IpAddr, SocketAddr};

use http::Uri;

/// What is odd about a URL. Its path and user are not repeated: an operator may keep a secret there.
pub fn oddities(url: &str, listen: SocketAddr) -> Vec<String> {
    let Ok(uri) = url.parse::<Uri>() else { return vec!["not a URL; OpenIM can post nothing".to_owned()] };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let mut odd = Vec::new();
    let port = match uri.scheme_str() {
        Some("http") => Some(uri.port_u16().unwrap_or(80)),
        Some("https") => {
            odd.push("https, which hookgate does not speak here; something before it must".to_owned());
            None
        }
        scheme => {
            let scheme = scheme.map_or_else(|| "no scheme".to_owned(), |scheme| format!("the scheme {scheme}"));
            return vec![format!("{scheme}, with which OpenIM can post nothing; expected http://{listen}")];
        }
    };
    if let Some(port) = port.filter(|port| listen.port() != 0 && *port != listen.port()) {
        odd.push(format!("leads to port {port}, but hookgate listens on {listen}"));
    } else if !host_leads_to(host, listen.ip()) {
        odd.push(format!("leads to {host}, but hookgate listens on {listen}"));
    }
    if uri.query().is_some() {
        odd.push(
            "has a query: OpenIM puts the command behind it, and hookgate finds it there; a path is plainer".to_owned(),
        );
    } else if uri.path().len() > 1 && uri.path().ends_with('/') {
        odd.push("ends in a slash, so paths have two; hookgate takes both".to_owned());
    }
    odd
}

fn host_leads_to(host: &str, listen: IpAddr) -> bool {
    let localhost = host.eq_ignore_ascii_case("localhost");
    let address = if localhost { Some(IpAddr::from([127, 0, 0, 1])) } else { host.parse().ok() };
    match address {
        _ if listen.is_unspecified() => true,
        Some(address) if address.is_loopback() => listen.is_loopback(),
        Some(address) => address == listen,
        // What a name means, only OpenIM's machine knows; but not a loopback address of this one.
        None => !listen.is_loopback(),
    }
}
