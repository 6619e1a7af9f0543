//! The URL of a service that is spoken to by gRPC: a scheme, a host, perhaps a port, and no more.

use http::Uri;

/// Reads one. Without a port it is that of the scheme, 80 or 443. The text may hold a password and is not repeated: the
/// errors are `expected`, or end with it, or are `no_user` where it names a user.
pub(super) fn host_url(text: &str, expected: &str, no_user: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}; {expected}"))?;
    let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(expected.to_owned());
    };
    if authority.as_str().contains('@') {
        return Err(no_user.to_owned());
    }
    if authority.host().is_empty() || authority.port().is_some_and(|port| port.as_u16() == 0) {
        return Err(format!("no host or no port; {expected}"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(format!("a path or query has no meaning here; {expected}"));
    }
    Ok(url)
}
