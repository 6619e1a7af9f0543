//! Who may not call, what the program runs with, and what became of changes to that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hookgate::config::Address;
use http_body_util::Full;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Scrape;
use crate::support::caller::Way;
use crate::support::pki::Ca;
use crate::support::program::{Running, configured};
use crate::support::{Policy, file};

const COMMAND: &str = "callbackBeforeSendSingleMsgCommand";

fn refused(scrape: &Scrape, reason: &str) -> f64 {
    scrape.get("callers_refused", &[("reason", reason)]).unwrap()
}

#[tokio::test]
async fn callers_that_may_not_call() {
    let policy = Policy::allow().await;
    let passwords = file("metrics-passwords", "openim:right");
    let paths = file("metrics-paths", "right");
    for (reason, access) in [
        ("password", format!("passwords: {passwords}")),
        ("path", format!("paths: {paths}")),
        ("source", "sources: 192.0.2.0/24".to_owned()),
    ] {
        let yaml = format!("access: {{{access}}}");
        let program = Running::of(configured(&policy.url(), &format!("metrics-caller-{reason}"), &yaml)).await;
        assert_eq!(refused(&Scrape::of(&program).await, reason), 0.0);
        for _ in 0..3 {
            assert_ne!(program.post(COMMAND, "{}").await.status, 200);
        }
        let scrape = Scrape::of(&program).await;
        assert_eq!(refused(&scrape, reason), 3.0, "{reason}");
        assert_eq!(scrape.sum("callbacks"), 0.0);
    }
}

#[tokio::test]
async fn certificates_and_callers_without_one() {
    let (ca, policy) = (Ca::new("metrics"), Policy::allow().await);
    let pair = ca.issue("hookgate.test", 30);
    let (certificate, key) = (file("metrics-server.pem", &pair.certificate), file("metrics-server.key", &pair.key));
    let client_ca = file("metrics-ca.pem", &ca.pem);
    let yaml = format!("tls: {{certificate: {certificate}, key: {key}, client_ca: {client_ca}}}");
    let program = Running::of(configured(&policy.url(), "metrics-tls", &yaml)).await;
    let scrape = Scrape::of(&program).await;
    let expiry = |name| scrape.get("certificate_expiry_timestamp_seconds", &[("certificate", name)]);
    let month = Duration::from_secs(30 * 24 * 3600);
    let expected = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + month).as_secs_f64();
    assert!((expiry("webhooks").unwrap() - expected).abs() < 3600.0, "{:?}, not {expected}", expiry("webhooks"));
    assert!(expiry("client_ca").unwrap() > expected);
    assert_eq!((expiry("policy_ca"), expiry("policy_client")), (None, None));

    let request = http::Request::post(format!("/{COMMAND}")).body(Full::from("{}")).unwrap();
    let reply = Way::to(&Address::Tcp(program.webhooks)).tls(&ca.client(None)).send(request).await;
    assert_eq!(reply.unwrap().status, 401);
    Scrape::until(&program, |scrape| refused(scrape, "certificate") == 1.0).await;
}

#[tokio::test]
async fn certificates_for_the_policy() {
    let ca = Ca::new("metrics-policy");
    let pair = ca.issue("hookgate.test", 30);
    let (certificate, key) = (file("metrics-policy.pem", &pair.certificate), file("metrics-policy.key", &pair.key));
    let policy_ca = file("metrics-policy-ca.pem", &ca.pem);
    let yaml = format!("policy_tls: {{ca: {policy_ca}, certificate: {certificate}, key: {key}}}");
    let program = Running::of(configured("https://127.0.0.1:1", "metrics-policy-tls", &yaml)).await;
    let scrape = Scrape::of(&program).await;
    let expiry = |name| scrape.get("certificate_expiry_timestamp_seconds", &[("certificate", name)]);
    let month = Duration::from_secs(30 * 24 * 3600);
    let expected = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + month).as_secs_f64();
    assert!((expiry("policy_client").unwrap() - expected).abs() < 3600.0, "not {expected}");
    assert!(expiry("policy_ca").unwrap() > expected);
    assert_eq!((expiry("webhooks"), expiry("client_ca")), (None, None));
}

#[tokio::test]
async fn connections_that_never_become_a_webhook() {
    let (ca, policy) = (Ca::new("metrics-handshake"), Policy::allow().await);
    let pair = ca.issue("hookgate.test", 30);
    let (certificate, key) = (file("metrics-hello.pem", &pair.certificate), file("metrics-hello.key", &pair.key));
    let yaml = format!("budget: 300ms\ntls: {{certificate: {certificate}, key: {key}}}");
    let encrypted = Running::of(configured(&policy.url(), "metrics-hello", &yaml)).await;
    let plain = Running::of(configured(&policy.url(), "metrics-plain", "")).await;
    // A TLS handshake begins with this byte, and goes on in another way.
    let hello = b"\x16 is no version of TLS\r\n\r\n";
    for (program, sent, reason) in [
        (&encrypted, &b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"[..], "plain_http"),
        (&encrypted, hello, "handshake"),
        (&encrypted, b"", "handshake_timeout"),
        (&plain, hello, "not_http"),
    ] {
        assert_eq!(refused(&Scrape::of(program).await, reason), 0.0, "{reason}");
        let mut stream = TcpStream::connect(program.webhooks).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let scrape = Scrape::until(program, |scrape| refused(scrape, reason) == 1.0).await;
        assert_eq!(scrape.sum("callbacks"), 0.0, "{reason}");
    }
}

#[tokio::test]
async fn configurations_that_are_read_anew() {
    let policy = Policy::allow().await;
    let program = Running::of(configured(&policy.url(), "metrics-reloads", "budget: 1s")).await;
    let reloads = |scrape: &Scrape, result| scrape.get("reloads", &[("result", result)]).unwrap();
    let successful = |scrape: &Scrape| scrape.get("reload_last_successful", &[]) == Some(1.0);
    let scrape = Scrape::of(&program).await;
    assert_eq!((reloads(&scrape, "ok"), reloads(&scrape, "refused"), successful(&scrape)), (0.0, 0.0, true));
    program.signal("-HUP").await;
    let scrape = Scrape::until(&program, |scrape| reloads(scrape, "ok") == 1.0).await;
    assert_eq!((reloads(&scrape, "refused"), successful(&scrape)), (0.0, true));
    // A file that has changed may be noticed without the signal, too. This is where `configured` has put it.
    file("metrics-reloads.yaml", "budget: soon");
    program.signal("-HUP").await;
    Scrape::until(&program, |scrape| reloads(scrape, "refused") >= 1.0 && !successful(scrape)).await;
    file("metrics-reloads.yaml", "budget: 2s");
    program.signal("-HUP").await;
    Scrape::until(&program, |scrape| reloads(scrape, "ok") >= 2.0 && successful(scrape)).await;
}
