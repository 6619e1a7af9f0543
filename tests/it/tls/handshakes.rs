//! Handshakes that go well, and all the ways in which they do not.

use std::sync::Arc;
use std::time::Duration;

use hookgate::internals::observe::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, ProtocolVersion};

use super::{TLS, anywhere, behind_tls, files_of, until_refused, webhook};
use crate::support::caller::{Way, shake_hands, tcp};
use crate::support::pki::Ca;
use crate::support::{ALLOWED, COMMAND, Gate, Policy, send};

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_with_http_1_1_under_it() {
    let ca = Ca::new("ours");
    let (gate, _policy) = behind_tls(&ca, "").await;
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(ca.roots())
            .with_no_client_auth();
        // As Go offers it.
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = Arc::new(client);
        let stream = shake_hands(tcp([127, 0, 0, 1].into(), gate.address).await.unwrap(), &client).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut connection = Way::to(&gate.place).tls(&client).connect().await.unwrap();
        for _ in 0..3 {
            assert_eq!(connection.send(webhook()).await.unwrap().body, ALLOWED);
        }
    }
}

#[tokio::test]
async fn older_versions_are_refused() {
    let ca = Ca::new("ours");
    let (gate, policy) = behind_tls(&ca, "").await;
    // A ClientHello of TLS 1.1, with a cipher of its time.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let answer = exchange(&gate, &hello).await;
    // An alert (21), fatal (2): protocol_version (70) or handshake_failure (40).
    assert!(matches!(answer[..], [21, _, _, _, _, 2, 70 | 40, ..]), "{answer:?}");
    until_refused(&gate, Reason::Handshake, 1).await;
    assert_eq!(policy.take_calls().len(), 0);
}

#[tokio::test]
async fn plain_http_to_the_tls_port_is_a_denial_that_says_so() {
    let (gate, policy) = behind_tls(&Ca::new("ours"), "").await;
    let uri = format!("http://{}/{COMMAND}", gate.address);
    let reply = send(http::Request::post(uri).body("{}".into()).unwrap()).await;
    assert_eq!(reply.status, 400);
    let told = "https is spoken here, not http";
    let denial = format!(r#"{{"actionCode":0,"errCode":5000,"errMsg":"{told}","errDlt":"{told}","nextCode":1}}"#);
    assert_eq!(reply.body, denial);
    assert_eq!(reply.headers["connection"], "close");
    assert_eq!(gate.status.callers_refused.counted(Reason::PlainHttp), 1);
    assert_eq!(policy.take_calls().len(), 0);
}

#[tokio::test]
async fn tls_to_the_plain_port_ends_soon_and_is_counted() {
    let policy = Policy::allow().await;
    let gate = Gate::start(&policy.url()).await;
    let failed = Way::to(&gate.place).tls(&Ca::new("any").client(None)).connect().await;
    assert!(failed.is_err());
    until_refused(&gate, Reason::NotHttp, 1).await;
    assert_eq!(policy.take_calls().len(), 0);
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_in_time_is_given_up_wherever_it_stops() {
    let ca = Ca::new("ours");
    let (gate, _policy) = behind_tls(&ca, "budget: 2s").await;
    let mut waiting = Vec::new();
    for begun in [&[][..], &[0x16], &[0x16, 3, 1, 2, 0, 1, 0]] {
        let mut stream = TcpStream::connect(gate.address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        waiting.push(stream);
    }
    // Others are served all the while.
    assert_eq!(Way::to(&gate.place).tls(&ca.client(None)).send(webhook()).await.unwrap().body, ALLOWED);
    for mut stream in waiting {
        // Closed, whatever was said before.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    until_refused(&gate, Reason::HandshakeTimeout, 3).await;
    until_no_connection(&gate).await;
}

#[tokio::test]
async fn a_handshake_that_goes_nowhere_does_not_hold_up_the_end() {
    let (policy, mut config) = (Policy::allow().await, files_of(&Ca::new("ours")).config(TLS));
    let hour = Duration::from_secs(3600);
    (config.budget, config.drain.time) = (hour, hour);
    let gate = Gate::at(&anywhere(), &policy.url(), config).await;
    let _silent = TcpStream::connect(gate.address).await.unwrap();
    while gate.status.connections.held() == 0 {
        tokio::task::yield_now().await;
    }
    timeout(Duration::from_secs(60), gate.stop()).await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_goes_wrong_is_counted_and_ends_the_connection_alone() {
    let ca = Ca::new("ours");
    let (gate, policy) = behind_tls(&ca, "").await;
    drop(TcpStream::connect(gate.address).await.unwrap());
    exchange(&gate, &[0x16, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]).await;
    // It trusts another authority, and says so.
    assert!(Way::to(&gate.place).tls(&Ca::new("other").client(None)).send(webhook()).await.is_err());
    until_refused(&gate, Reason::Handshake, 3).await;
    assert_eq!(policy.take_calls().len(), 0);
    assert_eq!(Way::to(&gate.place).tls(&ca.client(None)).send(webhook()).await.unwrap().body, ALLOWED);
    until_no_connection(&gate).await;
}

#[tokio::test]
async fn a_message_of_the_handshake_after_it_ends_the_connection() {
    // What a client that wants to renegotiate sends is a ClientHello inside of the encryption; rustls has no way to send
    // one, but any client can send one outside of it.
    let ca = Ca::new("ours");
    let (gate, policy) = behind_tls(&ca, "").await;
    let stream = tcp([127, 0, 0, 1].into(), gate.address).await.unwrap();
    let (mut raw, _) = shake_hands(stream, &ca.client(None)).await.unwrap().into_inner();
    raw.write_all(&[0x16, 3, 3, 0, 4, 1, 0, 0, 0]).await.unwrap();
    let _ = raw.read_to_end(&mut Vec::new()).await;
    until_no_connection(&gate).await;
    assert_eq!(policy.take_calls().len(), 0);
}

/// Sends bytes, and reads until the other end closes.
async fn exchange(gate: &Gate, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

async fn until_no_connection(gate: &Gate) {
    while gate.status.connections.held() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_session_that_is_resumed_carries_its_certificate() {
    let ca = Ca::new("ours");
    let policy = Policy::allow().await;
    let yaml = "tls: {certificate: server.pem, key: server.key, client_ca: ca.pem}";
    let gate = Gate::at(&anywhere(), &policy.url(), files_of(&ca).config(yaml)).await;
    for (days, status) in [(30, 200), (-1, 401)] {
        let client = ca.client(Some(&ca.issue("openim", days)));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            // A reply, so that what is needed to resume has come.
            let stream = tcp([127, 0, 0, 1].into(), gate.address).await.unwrap();
            let mut stream = shake_hands(stream, &client).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
            let request =
                format!("POST /{COMMAND} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
        }
    }
}
