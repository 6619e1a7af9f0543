//! A policy service behind TLS, whose certificate can change.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::pki::Pair;

/// Denies the calls of a connection, and keeps who they were for.
pub async fn deny(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, seen: Arc<Mutex<Vec<String>>>) {
    let service = service_fn(move |call: http::Request<hyper::body::Incoming>| {
        let authority = call.uri().authority().expect("an authority").to_string();
        seen.lock().expect("no panic while held").push(authority);
        // What is not read is an empty message.
        let response = http::Response::builder().header("content-type", "application/grpc").header("grpc-status", "7");
        std::future::ready(response.body(Body::empty()))
    });
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// A policy behind TLS that denies everything, and the certificates that it shows next. It wants one of these authorities,
/// perhaps.
pub async fn tls_policy(pair: &Pair, client_ca: Option<RootCertStore>) -> (String, watch::Sender<Pair>) {
    let (change, pairs) = watch::channel(pair.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://127.0.0.1:{}", listener.local_addr().expect("bound").port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let acceptor = acceptor(&pairs.borrow(), client_ca.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    deny(stream, Arc::default()).await;
                }
            });
        }
    });
    (url, change)
}

fn acceptor(pair: &Pair, client_ca: Option<RootCertStore>) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has them");
    let builder = match client_ca {
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().expect("authorities"),
        ),
        None => builder.with_no_client_auth(),
    };
    // Even a certificate that rustls refuses.
    let key = ring::sign::any_supported_type(&pair.private_key()).expect("a key");
    let certified: SingleCertAndKey = CertifiedKey::new(pair.chain(), key).into();
    let mut config = builder.with_cert_resolver(Arc::new(certified));
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
