//! `https://`, and what it is mistaken for.

use std::net::SocketAddr;
use std::sync::Arc;

use hookgate::config::Class;
use hookgate::config::{Address, PolicyTls};
use hookgate::internals::policy::Channel;
use hookgate::internals::policy::Resolve;
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use rcgen::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::server::{Server, allow, asked, connect, failed, listen, serve, settings};

/// A policy behind TLS that is `policy.test`, and its certificate.
async fn tls_server() -> (SocketAddr, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["policy.test".to_owned()]).unwrap();
    let certificate = cert.der().clone();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = listen(move |_, stream: TcpStream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                let (_goaway, never) = tokio::sync::watch::channel(());
                serve(http2::Builder::new(TokioExecutor::new()), stream, Arc::new(allow), never).await;
            }
        }
    })
    .await;
    (address, certificate)
}

fn connect_to(host: &str, address: SocketAddr, trusted: Option<CertificateDer<'static>>) -> Channel {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted);
    let resolve: Resolve = Arc::new(move || Box::pin(async move { Ok(vec![Address::Tcp(address)]) }));
    Channel::connect_with(format!("https://{host}").parse().unwrap(), &settings(), resolve, roots)
}

#[tokio::test]
async fn a_policy_with_a_trusted_certificate_is_asked() {
    let (address, certificate) = tls_server().await;
    asked(&connect_to("policy.test", address, Some(certificate))).await;
}

#[tokio::test]
async fn one_without_is_not() {
    let (address, certificate) = tls_server().await;
    let cause = failed(&connect_to("policy.test", address, None), Class::Unavailable).await;
    assert!(cause.contains("TLS: invalid peer certificate"), "{cause}");
    let other = connect_to("other.test", address, Some(certificate));
    assert!(failed(&other, Class::Unavailable).await.contains("TLS: invalid peer certificate"));
    // The roots of this system, whatever they are, are not ours.
    let system = Channel::connect(format!("https://{address}").parse().unwrap(), &settings(), &PolicyTls::default());
    assert!(failed(&system, Class::Unavailable).await.contains("TLS: invalid peer certificate"));
}

#[tokio::test]
async fn https_to_a_plain_server_and_http_to_a_tls_server_are_not_connected() {
    let plain = Server::allow().await;
    let cause = failed(&connect_to("policy.test", plain.address, None), Class::Unavailable).await;
    assert!(cause.contains("TLS: "), "{cause}");
    let (tls, _) = tls_server().await;
    let cause = failed(&connect(tls), Class::Unavailable).await;
    assert!(cause.contains("it speaks TLS, and the URL says http://"), "{cause}");
}
