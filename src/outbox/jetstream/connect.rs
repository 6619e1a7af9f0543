//! The connection to the servers.

use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event};
use tokio_rustls::rustls;
use tracing::{info, warn};

use super::streams::Unmade;
use crate::backoff::exponential;
use crate::config;
use crate::failure::{Class, Failure};

/// A frozen server is noticed after two of them.
const PING: Duration = Duration::from_secs(2);

/// Maximum time to reach one server.
const REACH: Duration = Duration::from_secs(2);

/// First pause between two attempts to reach a server.
const FIRST_PAUSE: Duration = Duration::from_millis(40);

/// Longest pause between two attempts to reach a server.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Connects to one of the servers. With `patient` set it returns at once and goes on until one is reached.
pub(super) async fn connect(settings: &config::After, patient: bool) -> Result<Client, Unmade> {
    let options = options(settings)?;
    let options = if patient { options.retry_on_initial_connect() } else { options };
    let connected = options.connect(settings.store.clone()).await;
    connected.map_err(|error| match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            let what = match login(settings) {
                Some(setting) => format!("the servers do not take the login of {setting}"),
                None => "the servers ask for a login, and none is configured (after.nats.user and others)".to_owned(),
            };
            Unmade::Mistake("after.store", what)
        }
        ConnectErrorKind::ServerParse => Unmade::Mistake("after.store", "not an address".to_owned()),
        _ if is_tls(&error) => Unmade::Mistake("after.store", format!("TLS to the servers fails: {}", cause(&error))),
        _ => Unmade::NotNow(format!("no server of after.store can be reached: {}", cause(&error))),
    })
}

/// Returns an error with its causes.
fn cause(error: &ConnectError) -> String {
    Failure::new(Class::Unavailable, error).cause
}

/// Returns true if TLS is what fails: a certificate, on either side.
fn is_tls(error: &ConnectError) -> bool {
    let mut source = std::error::Error::source(error);
    let mut is_found = error.kind() == ConnectErrorKind::Tls;
    while let Some(cause) = source {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        is_found |= cause.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>());
        source = cause.source();
    }
    is_found
}

/// Returns the setting that holds the login.
fn login(settings: &config::After) -> Option<&'static str> {
    let nats = &settings.nats;
    let logins = [
        (nats.user_password.is_some(), "after.nats.password"),
        (nats.login_token.is_some(), "after.nats.token"),
        (nats.seed.is_some(), "after.nats.nkey"),
        (nats.creds.is_some(), "after.nats.credentials"),
    ];
    logins.into_iter().find(|(is_given, _)| *is_given).map(|(_, setting)| setting)
}

fn options(settings: &config::After) -> Result<ConnectOptions, Unmade> {
    let nats = &settings.nats;
    let mut options = ConnectOptions::new()
        .name("hookgate")
        .ping_interval(PING)
        .connection_timeout(REACH)
        .reconnect_delay_callback(|attempts| {
            exponential(FIRST_PAUSE, LONGEST_PAUSE, u32::try_from(attempts).unwrap_or(u32::MAX))
        })
        .event_callback(|event| async move { heard(&event) });
    if let (Some(user), Some(password)) = (&nats.user, &nats.user_password) {
        options = options.user_and_password(user.clone(), password.reveal().to_owned());
    }
    if let Some(token) = &nats.login_token {
        options = options.token(token.reveal().to_owned());
    }
    if let Some(seed) = &nats.seed {
        options = options.nkey(seed.reveal().to_owned());
    }
    if let Some(creds) = &nats.creds {
        let unfit = |_| Unmade::Mistake("after.nats.credentials", "holds no credentials that can be used".to_owned());
        options = options.credentials(creds.reveal()).map_err(unfit)?;
    }
    let is_tls = settings.store.iter().any(|server| server.tls_required());
    let roots = nats.roots.as_ref().map(|roots| roots.store.0.clone());
    if is_tls || roots.is_some() || nats.identity.is_some() {
        let tls = config::client_config(roots, nats.identity.as_ref());
        options = options.require_tls(true).tls_client_config(tls);
    }
    Ok(options)
}

/// Logs what happens to the connection.
fn heard(event: &Event) {
    match event {
        Event::Connected => info!("connected to NATS"),
        Event::Disconnected => warn!("connection to NATS lost, connecting to another server"),
        Event::ServerError(error) => warn!(%error, "NATS reports an error"),
        Event::ClientError(error) => warn!(%error, "NATS client reports an error"),
        Event::LameDuckMode => info!("NATS server is going to stop, connecting to another one"),
        Event::SlowConsumer(_) | Event::Draining | Event::Closed => {}
    }
}
