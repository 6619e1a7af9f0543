//! NATS JetStream as the store of After events: its streams, and the login.

use std::path::PathBuf;

use super::settings;
use crate::config::certificates::Roots;
use crate::config::nats_login::Secret;
use crate::config::tls::Identity;
use crate::config::value::{Kind, expecting, number, path};

settings! {
    /// NATS JetStream as the store of After events.
    pub struct Nats("after.nats"), |config| config.after.nats;

    /// Beginning of the names of the streams, one for each deployment that shares a cluster: letters, digits, - and _.
    name: String = "hookgate".to_owned(), stream_name(), needs = "after.store", needs_restart = true;

    /// Number of nodes that keep each event. With 3 the events survive the loss of one.
    replicas: usize = 3, number("1, 3 or 5", 1..=5, "1, 3 or 5"), needs = "after.store", needs_restart = true;

    /// Number of parts of the events that have an order; a part delivers one event after another. It cannot be changed while
    /// the streams exist.
    partitions: usize = 16, number("count", 1..=256, "a whole number from 1 to 256"), needs = "after.store",
        needs_restart = true;

    /// User of the login; needs after.nats.password.
    user: Option<String> = None, user().optional(), needs = "after.nats.password", needs_restart = true;

    /// File with the password of that user.
    password: Option<PathBuf> = None, path().optional(), needs = "after.nats.user", needs_restart = true;

    /// File with a token, as the login.
    token: Option<PathBuf> = None, path().optional(), needs = "after.store", needs_restart = true;

    /// File with the seed of an NKey (SU...), as the login.
    nkey: Option<PathBuf> = None, path().optional(), needs = "after.store", needs_restart = true;

    /// File of credentials (.creds), as nsc writes it, as the login.
    credentials: Option<PathBuf> = None, path().optional(), needs = "after.store", needs_restart = true;

    /// Certificate authorities that are trusted for the certificates of the servers (PEM), in place of the system's.
    ca: Option<PathBuf> = None, path().optional(), needs = "after.store", needs_restart = true;

    /// Certificate chain that the servers are shown (PEM).
    certificate: Option<PathBuf> = None, path().optional(), needs = "after.nats.key", needs_restart = true;

    /// Private key of that certificate (PEM).
    key: Option<PathBuf> = None, path().optional(), needs = "after.nats.certificate", needs_restart = true;

    fields:
    /// The password of `user`.
    user_password: Option<Secret> = None;
    /// The token.
    login_token: Option<Secret> = None;
    /// The seed of the NKey.
    seed: Option<Secret> = None;
    /// The text of the credentials.
    creds: Option<Secret> = None;
    /// The only trusted authorities; `None` trusts the system's.
    roots: Option<Roots> = None;
    /// The certificate that the servers are shown.
    identity: Option<Identity> = None;
}

fn stream_name() -> Kind<String> {
    let is_name = |text: &str| {
        (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let expected = "1 to 64 letters, digits, - and _";
    Kind::quoted("name", expecting(expected, move |text| is_name(text).then(|| text.to_owned())))
}

fn user() -> Kind<String> {
    Kind::quoted("text", expecting("a user's name", |text| (!text.is_empty()).then(|| text.to_owned())))
}
