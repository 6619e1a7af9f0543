//! Access rules for callers; TLS of webhook clients and of the policy.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use tokio_rustls::rustls::pki_types::ServerName;

use super::settings;
use crate::config::access::{Passwords, Paths};
use crate::config::certificates::Roots;
use crate::config::tls::{Identity, ServerTls};
use crate::config::value::{Kind, expecting, path};

settings! {
    /// Access rules for callers. Every rule that is set must match; a rule matches by any of its entries. Without a rule
    /// anybody may call.
    pub struct Access("access"), |config| config.access;

    /// File of passwords, one `user:password` a line. A caller must send one of them by basic authentication, as OpenIM
    /// does for a url such as http://user:password@host. Lines that begin with # are comments.
    passwords: Option<PathBuf> = None, path().optional();

    /// File of secret paths, one a line. The path of OpenIM's url must begin with one of them.
    paths: Option<PathBuf> = None, path().optional();

    /// Addresses and networks that may call. A Unix socket has no addresses: its file permissions say who may call.
    sources: Vec<IpNet> = Vec::new(), network().list();

    /// Proxies in front of hookgate whose X-Forwarded-For is believed; access.sources then applies to the address named
    /// there.
    trusted_proxies: Vec<IpNet> = Vec::new(), network().list(), needs = "access.sources";

    fields:
    /// The users and passwords of the file `passwords`; a caller must send one of them.
    users: Option<Passwords> = None;
    /// The secret paths of the file `paths`; every URL must begin with one of them.
    secret_paths: Option<Paths> = None;
}

settings! {
    /// TLS for webhook clients.
    pub struct Tls("tls"), |config| config.tls;

    /// Certificate chain that OpenIM is shown (PEM). With it webhooks are accepted over TLS only.
    certificate: Option<PathBuf> = None, path().optional(), needs = "tls.key";

    /// Private key of that certificate (PEM).
    key: Option<PathBuf> = None, path().optional(), needs = "tls.certificate";

    /// Certificate authorities of client certificates (PEM); callers must show a certificate of one of them.
    client_ca: Option<PathBuf> = None, path().optional(), needs = "tls.certificate";

    fields:
    /// The TLS that these files make; `None` accepts plain HTTP.
    server: Option<ServerTls> = None;
}

settings! {
    /// TLS to a policy service whose URL begins with `https://`.
    pub struct PolicyTls("policy_tls"), |config| config.policy_tls;

    /// Certificate authorities that are trusted for the policy's certificate (PEM), in place of the system's.
    ca: Option<PathBuf> = None, path().optional();

    /// Certificate chain that the policy is shown if it asks for one (PEM).
    certificate: Option<PathBuf> = None, path().optional(), needs = "policy_tls.key";

    /// Private key of that certificate (PEM).
    key: Option<PathBuf> = None, path().optional(), needs = "policy_tls.certificate";

    /// Name that the policy's certificate must have, if it is not the host of its URL.
    server_name: Option<String> = None, server_name().optional();

    fields:
    /// The only trusted authorities; `None` trusts the system's.
    roots: Option<Roots> = None;
    /// The certificate that the policy is shown if it asks for one.
    identity: Option<Identity> = None;
}

fn server_name() -> Kind<String> {
    let read = |text: &str| ServerName::try_from(text).is_ok().then(|| text.to_owned());
    Kind::quoted("host", expecting("a host name or an IP address", read))
}

/// IP networks and single addresses.
fn network() -> Kind<IpNet> {
    Kind::quoted("network", |text| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let expected = |_| format!("{text:?}: expected an address or a range of them, as in 10.0.0.0/8 or fd00::/8");
        match network.map_err(expected)?.trunc() {
            // Callers' addresses are compared as IPv4.
            IpNet::V6(mapped) if mapped.addr().to_ipv4_mapped().is_some() => {
                Err(format!("{text:?}: expected an IPv4 range in its own form, as in 10.0.0.0/8"))
            }
            network => Ok(network),
        }
    })
}
