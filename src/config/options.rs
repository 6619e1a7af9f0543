//! The options; their help is their documentation.

use std::net::SocketAddr;

use tonic::transport::Uri;
use tracing_subscriber::filter::Targets;

/// How `hookgate serve` is to run.
#[derive(Debug, Clone, clap::Args)]
pub struct Serve {
    /// Where OpenIM posts its webhooks; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "HOOKGATE_LISTEN", default_value = "127.0.0.1:10006")]
    pub listen: SocketAddr,

    /// The policy service to ask, as in http://policy:50051. Without it a built-in policy allows and logs everything
    #[arg(long, value_name = "URL", env = "HOOKGATE_POLICY", value_parser = policy_url)]
    pub policy: Option<Uri>,

    /// Where the built-in policy listens, when no other is asked; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "HOOKGATE_BUILTIN_LISTEN", default_value = "127.0.0.1:50051")]
    pub builtin_listen: SocketAddr,

    /// What is logged: error, warn, info, debug or trace, or a list as in info,hookgate=debug
    #[arg(long, value_name = "LEVELS", env = "HOOKGATE_LOG", default_value = "info")]
    pub log: Targets,
}

/// Takes what a policy can be reached by: `http://`, a host, a port, and no path.
fn policy_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}; expected as in http://policy:50051"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("https is not spoken yet; expected as in http://policy:50051".to_owned()),
        _ => return Err("expected http://, a host and a port, as in http://policy:50051".to_owned()),
    }
    let authority = uri.authority().ok_or("no host; expected as in http://policy:50051")?;
    if authority.as_str().contains('@') {
        return Err("a user and password are not sent to a policy service".to_owned());
    }
    if authority.host().is_empty() || authority.port().is_some_and(|port| port.as_u16() == 0) {
        return Err("no host or no port; expected as in http://policy:50051".to_owned());
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err("a path or query has no meaning here; expected as in http://policy:50051".to_owned());
    }
    Ok(uri)
}
