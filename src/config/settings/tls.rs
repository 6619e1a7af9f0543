//! TLS of webhook clients and of the policy.

use std::path::PathBuf;

use tokio_rustls::rustls::pki_types::ServerName;

use super::settings;
use crate::config::identity::Identity;
use crate::config::tls::Roots;
use crate::config::url::PolicyUrl;
use crate::config::validate::{Check, Mistakes};
use crate::config::value::{Kind, path, quoted};
use crate::config::{Address, Builder};

settings! {
    /// The files of TLS for webhook clients.
    pub struct TlsFiles("tls"), |builder| builder.config.files.tls;

    /// Certificate chain that OpenIM is shown (PEM). With it webhooks are accepted over TLS only.
    certificate: Option<PathBuf> = None, path().optional(), needs("tls.key");

    /// Private key of that certificate (PEM).
    key: Option<PathBuf> = None, path().optional(), needs("tls.certificate");

    /// Certificate authorities of client certificates (PEM); callers must show a certificate of one of them.
    client_ca: Option<PathBuf> = None, path().optional(), needs("tls.certificate");
}

settings! {
    /// The files of TLS to the policy.
    pub struct PolicyTlsFiles("policy_tls"), |builder| builder.config.files.policy_tls;

    /// Certificate authorities that are trusted for the policy's certificate (PEM), in place of the system's.
    ca: Option<PathBuf> = None, path().optional();

    /// Certificate chain that the policy is shown if it asks for one (PEM).
    certificate: Option<PathBuf> = None, path().optional(), needs("policy_tls.key");

    /// Private key of that certificate (PEM).
    key: Option<PathBuf> = None, path().optional(), needs("policy_tls.certificate");
}

settings! {
    /// TLS to the policy service.
    pub struct PolicyTls("policy_tls"), |builder| builder.config.policy_tls;

    /// Name that the policy's certificate must have, if it is not the host of its URL.
    server_name: Option<String> = None, server_name().optional();

    fields:
    /// The only trusted authorities; `None` trusts the system's.
    ca: Option<Roots> = None;
    /// The certificate that the policy is shown if it asks for one.
    identity: Option<Identity> = None;
}

fn server_name() -> Kind<String> {
    let read = |text: &str| match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("{text:?}: expected a host name or an IP address")),
    };
    Kind::new("host", read, |name: &String| quoted(name))
}

pub(super) const CHECKS: &[Check] = &[policy_tls_needs_https, tls_needs_tcp];

fn policy_tls_needs_https(builder: &Builder, mistakes: &mut Mistakes<'_>) {
    if !builder.policy.as_ref().is_some_and(PolicyUrl::is_tls) {
        for key in ["ca", "certificate", "key", "server_name"] {
            mistakes.add(&format!("policy_tls.{key}"), "has no effect without a policy whose URL begins with https://");
        }
    }
}

fn tls_needs_tcp(builder: &Builder, mistakes: &mut Mistakes<'_>) {
    if let Address::Unix(_) = builder.config.listen {
        mistakes.add("tls.certificate", "has no effect on a Unix socket, which listen is");
    }
}
