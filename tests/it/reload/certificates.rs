//! Certificates of both sides are replaced under load, and nothing fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::rustls::ClientConfig;

use super::{BODY, COMMAND};
use crate::support::caller::{Way, shake_hands, tcp};
use crate::support::pki::{Ca, Pair};
use crate::support::program::{Running, hookgate};
use crate::support::tls_policy::tls_policy;

/// Three callers at a hundred webhooks a second each.
const CALLERS: usize = 3;
const PACE: Duration = Duration::from_millis(10);

/// Every so many webhooks a caller takes a new connection.
const ON_ONE_CONNECTION: usize = 20;

/// A folder with the certificates that a configuration names.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).expect("a folder among the build's own");
        Self(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        fs::write(&file, text).expect("a file");
        file
    }

    pub fn write_pair(&self, name: &str, pair: &Pair) {
        self.write(&format!("{name}.pem"), &pair.certificate);
        self.write(&format!("{name}.key"), &pair.key);
    }
}

/// Posts webhooks until told to stop; gives how many were answered by the policy, and what else became of any.
async fn call(way: Way, stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut answered, mut failed) = (0, Vec::new());
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !stop.load(Ordering::Relaxed) {
        let mut connection = way.connect().await.expect("a connection");
        for _ in 0..ON_ONE_CONNECTION {
            pace.tick().await;
            let webhook = http::Request::post(format!("/{COMMAND}")).body(BODY.into()).expect("a request");
            match connection.send(webhook).await {
                Ok(reply) if reply.headers["hookgate-outcome"] == "deny" => answered += 1,
                Ok(reply) => failed.push(format!("{reply:?}")),
                Err(error) => failed.push(error.to_string()),
            }
        }
    }
    (answered, failed)
}

/// The certificate that a new connection is shown.
async fn shown(running: &Running, client: &Arc<ClientConfig>) -> Vec<u8> {
    let stream = tcp([127, 0, 0, 1].into(), running.webhooks).await.expect("a connection");
    let stream = shake_hands(stream, client).await.expect("TLS");
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
}

#[tokio::test]
async fn no_webhook_fails_while_the_certificates_of_both_sides_are_replaced() {
    let (ca, old_clients, new_clients) = (Ca::new("ours"), Ca::new("old clients"), Ca::new("new clients"));
    let mut trusted = old_clients.roots();
    trusted.extend(new_clients.roots().roots);
    let (policy, policy_shows) = tls_policy(&ca.issue("policy.test", 30), Some(trusted)).await;

    let folder = Folder::new("reload-certificates");
    folder.write_pair("server", &ca.issue("hookgate.test", 30));
    folder.write_pair("client", &old_clients.issue("hookgate", 30));
    folder.write("ca.pem", &ca.pem);
    let file = folder.write(
        "hookgate.yaml",
        &format!(
            "policy: {policy}\ntls: {{certificate: server.pem, key: server.key}}\n\
             policy_tls: {{ca: ca.pem, certificate: client.pem, key: client.key, server_name: policy.test}}\n"
        ),
    );
    let args = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config", file.to_str().expect("UTF-8")];
    let mut running = Running::of(hookgate(&args)).await;

    let client = ca.client(None);
    let stop = Arc::new(AtomicBool::new(false));
    let way = Way::to(&hookgate::config::Address::Tcp(running.webhooks)).tls(&client);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call(way.clone(), stop.clone()));
    }

    // Ours, before OpenIM; noticed by itself.
    let renewed = ca.issue("hookgate.test", 60);
    folder.write_pair("server", &renewed);
    running.says("configuration reloaded").await;
    assert_eq!(shown(&running, &client).await, renewed.chain()[0].to_vec());
    // Ours, before the policy; and the policy's own, of another authority.
    let other = Ca::new("other");
    policy_shows.send_replace(other.issue("policy.test", 30));
    folder.write("ca.pem", &other.pem);
    folder.write_pair("client", &new_clients.issue("hookgate", 30));
    running.signal("-HUP").await;
    running.says("configuration reloaded").await;
    // A broken one: the one before stays.
    folder.write("server.pem", "-----BEGIN CERTIFICATE-----\nTUFSS0VS\n-----END CERTIFICATE-----\n");
    running.signal("-HUP").await;
    let why = running.says("tls.certificate").await;
    assert!(why.contains("is no X.509 certificate"), "{why}");
    running.says("previous configuration stays in force").await;
    assert_eq!(shown(&running, &client).await, renewed.chain()[0].to_vec());
    assert_eq!(running.status().await["configuration"]["refused"], 1);

    stop.store(true, Ordering::Relaxed);
    let mut all = 0;
    while let Some(called) = callers.join_next().await {
        let (answered, failed) = called.expect("no panic");
        assert!(failed.is_empty(), "{} of {}: {}", failed.len(), answered + failed.len(), failed[0]);
        all += answered;
    }
    assert!(all > 0);
}
