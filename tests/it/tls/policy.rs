//! The policy's side: own authorities, a certificate of our own, another name, a Unix socket.

use std::sync::{Arc, Mutex};

use hookgate::config::Class;
use hookgate::config::{Config, PolicyTls};
use hookgate::contract::Metadata;
use hookgate::internals::policy::{Answer, Channel, PolicyCall};
use tokio::net::UnixListener;
use tokio::time::{Duration, Instant};

use super::{ISSUED, ISSUED_KEY, P521, V1};
use crate::support::free;
use crate::support::pki::{Ca, Files, Pair};
use crate::support::tls_policy::{deny, tls_policy};

/// What becomes of a call to the policy: the refusal that it answers with, or the cause of a failure.
async fn ask(url: &str, tls: &PolicyTls) -> Result<(), String> {
    let channel = Channel::connect(url.parse().unwrap(), &Config::default().channel, tls);
    let callback = hookgate::contract::Callback::by_command(crate::support::COMMAND).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let question = PolicyCall {
        callback,
        message: "".into(),
        metadata: Metadata::default(),
        attempt: 1,
        sequence: None,
        late: false,
        deadline,
    };
    match hookgate::internals::policy::Policy::over(channel, 1 << 20).ask(question).await {
        Ok(Answer::PermissionDenied(_)) => Ok(()),
        Ok(answer) => panic!("{answer:?}"),
        Err(failure) => {
            assert_eq!(failure.class, Class::Unavailable);
            Err(failure.cause)
        }
    }
}

#[tokio::test]
async fn a_policy_of_one_s_own_authority_is_asked_and_by_the_name_that_was_said() {
    let ca = Ca::new("ours");
    let (url, _certificate) = tls_policy(&ca.issue("policy.test", 30), None).await;
    let tls = |more: &str| {
        let files = Files::default().with("ca.pem", &*ca.pem).with("other.pem", Ca::new("other").pem);
        files.config(&format!("policy: {url}\npolicy_tls: {{{more}}}")).policy_tls
    };
    assert_eq!(ask(&url, &tls("ca: ca.pem, server_name: policy.test")).await, Ok(()));
    for wrong in [
        "ca: ca.pem",
        "ca: ca.pem, server_name: other.test",
        "ca: other.pem, server_name: policy.test",
        "server_name: policy.test",
    ] {
        let cause = ask(&url, &tls(wrong)).await.unwrap_err();
        assert!(cause.contains("TLS: invalid peer certificate"), "{wrong}: {cause}");
    }
}

#[tokio::test]
async fn why_a_policy_s_certificate_is_refused_is_said_in_an_operator_s_words() {
    let (ca, other) = (Ca::new("ours"), Ca::new("other"));
    let pair = |certificate: &str| Pair { certificate: certificate.into(), key: ISSUED_KEY.into() };
    for (pair, trusted, expected) in [
        (
            ca.pair(),
            &*ca.pem,
            "CaUsedAsEndEntity: it is a server's, and marked as an authority (CA:TRUE); make one with \
             basicConstraints=CA:FALSE",
        ),
        (
            pair(V1),
            &ca.pem,
            "UnsupportedCertVersion: it is of an old version of X.509; make one of version 3 (openssl x509 \
             -req does with -extfile)",
        ),
        (
            pair(ISSUED),
            P521,
            "UnsupportedSignatureAlgorithm: its key or its issuer's is of a kind that cannot be used; TLS here takes RSA of 2048 to 8192 bits, ECDSA on \
             P-256 or P-384, and Ed25519",
        ),
        (
            ca.issue("policy.test", 30),
            &other.pem,
            "UnknownIssuer: none of the authorities that are trusted has issued it",
        ),
    ] {
        let (url, _certificate) = tls_policy(&pair, None).await;
        let yaml = format!("policy: {url}\npolicy_tls: {{ca: ca.pem, server_name: policy.test}}");
        let cause = ask(&url, &Files::default().with("ca.pem", trusted).config(&yaml).policy_tls).await.unwrap_err();
        assert!(cause.contains("TLS: invalid peer certificate: ") && cause.ends_with(expected), "{cause}");
    }
}

#[tokio::test]
async fn a_policy_that_wants_a_certificate_is_shown_one() {
    let (ca, clients) = (Ca::new("ours"), Ca::new("clients"));
    let (url, _certificate) = tls_policy(&ca.issue("policy.test", 30), Some(clients.roots())).await;
    let files = Files::default()
        .with("ca.pem", &*ca.pem)
        .with_pair("good", &clients.issue("hookgate", 30))
        .with_pair("foreign", &ca.issue("hookgate", 30));
    let tls = |more: &str| {
        let yaml = format!("policy: {url}\npolicy_tls: {{ca: ca.pem, server_name: policy.test{more}}}");
        files.config(&yaml).policy_tls
    };
    assert_eq!(ask(&url, &tls(", certificate: good.pem, key: good.key")).await, Ok(()));
    for wrong in ["", ", certificate: foreign.pem, key: foreign.key"] {
        assert!(ask(&url, &tls(wrong)).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_policy_behind_a_unix_socket_is_asked_and_asked_again_when_it_comes_back() {
    let path = free("policy.sock");
    let url = format!("unix://{}", path.display());
    let cause = ask(&url, &PolicyTls::default()).await.unwrap_err();
    assert_eq!(cause, format!("not connected: {url}: No such file or directory (os error 2)"));
    for _ in 0..2 {
        let (seen, listener) = (Arc::new(Mutex::new(Vec::new())), UnixListener::bind(&path).unwrap());
        let recorded = seen.clone();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(deny(stream, recorded.clone()));
            }
        });
        assert_eq!(ask(&url, &PolicyTls::default()).await, Ok(()));
        assert_eq!(*seen.lock().unwrap(), ["localhost"]);
        serving.abort();
        drop(serving.await);
        std::fs::remove_file(&path).unwrap();
    }
}
