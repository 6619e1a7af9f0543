//! TLS on both sides.

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::value::{FILE, MAYBE_NAME};

pub(super) fn rows() -> Vec<Setting<Draft>> {
    vec![
        row(
            "tls.certificate",
            FILE,
            |d| &mut d.files.certificate,
            "The certificate that OpenIM is shown, and those between it and its root (PEM). With it webhooks are taken over TLS alone",
        ),
        row("tls.key", FILE, |d| &mut d.files.key, "The private key of that certificate (PEM)"),
        row(
            "tls.client_ca",
            FILE,
            |d| &mut d.files.client_ca,
            "The authorities of whose certificates callers must show one (PEM)",
        ),
        row(
            "policy_tls.ca",
            FILE,
            |d| &mut d.files.policy_ca,
            "The authorities that a policy's certificate must come from (PEM), in place of the system's",
        ),
        row(
            "policy_tls.certificate",
            FILE,
            |d| &mut d.files.policy_certificate,
            "The certificate that the policy is shown where it asks for one (PEM)",
        ),
        row("policy_tls.key", FILE, |d| &mut d.files.policy_key, "The private key of that certificate (PEM)"),
        row(
            "policy_tls.server_name",
            MAYBE_NAME,
            |d| &mut d.config.policy_tls.server_name,
            "The name that a policy's certificate must have, where it is not the host of its URL",
        ),
    ]
}
