//! Logins to the servers, TLS, and servers that will not do.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hookgate::internals::outbox::Filter;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::bad::{started, yaml};
use super::servers::Servers;
use super::store::{copy, data, recording};
use crate::outbox::gate::{GROUP, body};
use crate::outbox::inside::{event, settings, until};
use crate::support::pki::Ca;
use crate::support::program::{Running, configured};
use crate::support::{Policy, file};

/// The configuration of NATS that takes a certificate of this authority, and shows one.
fn server_tls(ca: &Ca, name: &str) -> String {
    let pair = ca.issue("127.0.0.1", 30);
    let certificate = file(&format!("nats-{name}.pem"), &pair.certificate);
    let key = file(&format!("nats-{name}.key"), &pair.key);
    let roots = file(&format!("nats-{name}-ca.pem"), &ca.pem);
    format!("tls {{ cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{roots}\", verify: true }}")
}

/// An event goes through the streams of these servers with this login.
async fn delivers(name: &str, yaml: String) {
    let (policy, calls) = recording(|_| false).await;
    let data = data(name);
    let mut command = configured(&policy.url(), &format!("jetstream-{name}"), &yaml);
    command.arg("--data").arg(data);
    let mut gate = Running::of(command).await;
    let reply = gate.post(GROUP, &body("g1")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    until("it is delivered", || !calls.lock().unwrap().is_empty()).await;
    // The stream's number, which begins at the microsecond in which that was made.
    let sequence: u64 = calls.lock().unwrap()[0].metadata("hookgate-sequence").unwrap().parse().unwrap();
    assert!(sequence > 1_700_000_000_000_000, "{sequence}");
    gate.signal("-TERM").await;
    gate.says("stopped").await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_user_with_a_password_is_let_in() {
    let servers = Servers::begin("by-user", 1, "authorization { user: gate, password: \"right one\" }");
    servers.listening().await;
    let password = file("nats-right-password", "right one\n");
    delivers("by-user", yaml(&servers, &format!("    user: gate\n    password: {password}\n"))).await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_token_is_let_in_and_a_wrong_one_is_said() {
    let servers = Servers::begin("by-token", 1, "authorization { token: \"s3cret-token\" }");
    servers.listening().await;
    let token = file("nats-token", "s3cret-token\n");
    delivers("by-token", yaml(&servers, &format!("    token: {token}\n"))).await;
    let token = file("nats-other-token", "another-token\n");
    let (code, said) = started("other-token", &yaml(&servers, &format!("    token: {token}\n"))).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the servers do not take the login of after.nats.token"), "{said}");
    assert!(!said.contains("another-token"), "{said}");
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn the_seed_of_an_nkey_is_let_in_and_another_is_said() {
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let configuration = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key());
    let servers = Servers::begin("by-nkey", 1, &configuration);
    servers.listening().await;
    // With the public key beside it, as `nk -gen user -pubout` writes it.
    let seed = file("nats-nkey", format!("{}\n{}\n", user.seed().unwrap(), user.public_key()));
    delivers("by-nkey", yaml(&servers, &format!("    nkey: {seed}\n"))).await;
    let seed = other.seed().unwrap();
    let nkey = file("nats-other-nkey", &seed);
    let (code, said) = started("other-nkey", &yaml(&servers, &format!("    nkey: {nkey}\n"))).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the servers do not take the login of after.nats.nkey"), "{said}");
    assert!(!said.contains(&seed), "{said}");
}

/// A token of NATS about `subject`, which `issuer` signs.
fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, claims: Value) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let (issuer_key, subject) = (issuer.public_key(), subject.public_key());
    let body = json!({ "jti": name, "iat": 1, "iss": issuer_key, "name": name, "sub": subject, "nats": claims });
    let signed = format!("{head}.{}", part(body));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn credentials_of_an_account_are_let_in() {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let of_operator = token(&operator, &operator, "operator", json!({ "type": "operator", "version": 2 }));
    let no_limit = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let claims = json!({ "limits": no_limit, "type": "account", "version": 2 });
    let of_account = token(&operator, &account, "chat", claims.clone());
    // JetStream is a service of a system account, which has none itself.
    let system = KeyPair::new_account();
    let mut claims = claims;
    ["mem_storage", "disk_storage", "streams", "consumer"].iter().for_each(|limit| claims["limits"][limit] = 0.into());
    let of_system = token(&operator, &system, "system", claims);
    let claims = json!({ "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2 });
    let of_user = token(&account, &user, "gate", claims);
    let configuration = format!(
        "operator: {of_operator}\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload: {{ {account}: {of_account}, {system}: {of_system} }}",
        account = account.public_key(),
        system = system.public_key(),
    );
    let servers = Servers::begin("by-credentials", 1, &configuration);
    servers.listening().await;
    let seed = user.seed().unwrap();
    let credentials = format!(
        "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    let credentials = file("nats-gate.creds", credentials);
    delivers("by-credentials", yaml(&servers, &format!("    credentials: {credentials}\n"))).await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn tls_is_checked_from_both_sides() {
    let (ca, stranger) = (Ca::new("ours"), Ca::new("a stranger"));
    let servers = Servers::begin("tls", 1, &server_tls(&ca, "tls"));
    servers.listening().await;
    let shown = ca.issue("gate", 30);
    let roots = file("nats-tls-roots.pem", &ca.pem);
    let certificate = file("nats-tls-gate.pem", &shown.certificate);
    let key = file("nats-tls-gate.key", &shown.key);
    let shown = format!("    certificate: {certificate}\n    key: {key}\n");
    let over_tls = |more: &str| yaml(&servers, more).replace("nats://", "tls://");
    delivers("tls", over_tls(&format!("    ca: {roots}\n{shown}"))).await;
    let others = file("nats-tls-stranger.pem", &stranger.pem);
    let (code, said) = started("tls-stranger", &over_tls(&format!("    ca: {others}\n{shown}"))).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("after.store: TLS to the servers fails"), "{said}");
}

/// A server that says it has this version, and answers pings.
async fn server_of_version(version: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let info = json!({
                    "server_id": "N", "version": version, "go": "go1", "host": "127.0.0.1", "port": port, "headers": true,
                    "max_payload": 1_048_576, "proto": 1, "jetstream": true,
                });
                let mut answered = write.write_all(format!("INFO {info}\r\n").as_bytes()).await;
                let mut lines = BufReader::new(read).lines();
                while answered.is_ok()
                    && let Ok(Some(line)) = lines.next_line().await
                {
                    if line == "PING" {
                        answered = write.write_all(b"PONG\r\n").await;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_server_that_is_too_old_is_said() {
    for version in ["2.9.25", "2.10.28", "2.11.3"] {
        let port = server_of_version(version).await;
        let yaml = format!("after:\n  store: \"nats://127.0.0.1:{port}\"\n  nats:\n    replicas: 1\n");
        let (code, said) = started("old", &yaml).await;
        assert_eq!(code, Some(2), "{said}");
        let sentence =
            format!("the server is nats-server {version}, which can lose a stream when it starts; 2.10.29, 2.11.4");
        assert!(said.contains(&sentence), "{said}");
    }
}

/// Passes everything on, and moves the time of JetStream's answers by a century.
async fn a_century_later(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 << 10];
                while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                    let now = b"\"ts\":\"20";
                    let places: Vec<_> = (0..read).filter(|place| bytes[*place..read].starts_with(now)).collect();
                    places.into_iter().for_each(|place| bytes[place + now.len() - 1] = b'1');
                    if to_client.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn clocks_that_are_apart_are_said_and_events_go_on() {
    let servers = Servers::start("clocks", 1, "").await;
    let port = a_century_later(servers.port(0)).await;
    let (policy, calls) = recording(|_| false).await;
    let yaml = yaml(&servers, "").replace(&servers.urls(), &format!("nats://127.0.0.1:{port}"));
    let mut gate = Running::of(configured(&policy.url(), "jetstream-clocks", &yaml)).await;
    assert!(gate.said().contains("clocks of this machine and of NATS are apart"), "{}", gate.said());
    assert_eq!(gate.post(GROUP, &body("g1")).await.status, 200);
    until("it is delivered", || !calls.lock().unwrap().is_empty()).await;
    gate.signal("-TERM").await;
    gate.says("stopped").await;
}

#[tokio::test]
#[ignore = "takes nats-server: NATS_SERVER names it"]
async fn a_replay_of_what_another_copy_delivers_says_so() {
    let servers = Servers::start("in-hand", 1, "").await;
    let (policy, mut asked, go_on) = Policy::that_waits().await;
    let one = copy(&servers, &policy.url(), "in-hand-one", &settings()).await;
    let two = copy(&servers, &policy.url(), "in-hand-two", &settings()).await;
    one.deliver(event("g1", "held")).await;
    asked.recv().await.unwrap();
    let named = || Filter { id: Some("held".to_owned()), ..Filter::default() };
    for copy in [&one, &two] {
        // One of them has it in hand; the other asks that one.
        let said = copy.replay(named()).await.unwrap_err().to_string();
        assert!(said.contains("is on its way to the policy"), "{said}");
        let said = copy.discard(named()).await.unwrap_err().to_string();
        assert!(said.contains("is on its way to the policy"), "{said}");
    }
    go_on.send_replace(true);
    one.idle().await;
    assert_eq!(policy.take_calls().len(), 1, "it is delivered once");
}
