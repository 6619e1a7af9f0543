//! TLS 1.2 and 1.3: of the webhook listener, and of clients. The cryptography is that of ring, the one provider that the
//! features in Cargo.toml choose.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::warn;

use super::certificates::{Certificates, Derived, Roots, broken, pem};
use super::tls_limits::KEYS;

/// TLS for webhook clients.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerTls {
    /// The certificate that they are shown.
    pub identity: Identity,
    /// The authority of client certificates; `None` asks for no certificate.
    pub client_ca: Option<Arc<ClientCa>>,
    config: Derived<Arc<ServerConfig>>,
}

/// A certificate chain and the private key of its first certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The certificate, and the intermediates up to its root.
    pub certificates: Certificates,
    /// The key is not compared: a certificate has one.
    certified: Derived<Arc<SingleCertAndKey>>,
}

/// The certificate authorities of client certificates.
///
/// In a handshake it asks for a certificate and verifies possession of its key. The certificate itself is verified by
/// `judge`, after the handshake: a caller that is refused in the handshake would get no reply that OpenIM can
/// read.
#[derive(Debug, PartialEq)]
pub struct ClientCa {
    /// The authorities.
    pub roots: Roots,
    verifier: Derived<Arc<dyn ClientCertVerifier>>,
}

impl ServerTls {
    /// TLS 1.2 and 1.3, with ALPN `http/1.1`.
    pub(super) fn new(identity: Identity, client_ca: Option<ClientCa>) -> Self {
        let client_ca = client_ca.map(Arc::new);
        let builder = match &client_ca {
            Some(ca) => ServerConfig::builder().with_client_cert_verifier(ca.clone()),
            None => ServerConfig::builder().with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(identity.certified.0.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { identity, client_ca, config: Derived(Arc::new(config)) }
    }

    /// Returns the acceptor of TLS handshakes.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.config.0.clone().into()
    }
}

impl Identity {
    /// Joins a chain and the text of its key file. The error is a sentence.
    pub(super) fn new(certificates: Certificates, key: &Path, text: &str) -> Result<Self, String> {
        let name = key.display();
        let pem = pem(text).map_err(|what| format!("{name}: {what}"))?;
        let read = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
            PemError::NoItemsFound if text.contains("ENCRYPTED PRIVATE KEY") => {
                format!("{name}: the key is encrypted, and nobody is there to be asked for its password")
            }
            PemError::NoItemsFound => format!("{name}: holds no private key in PEM (-----BEGIN PRIVATE KEY-----)"),
            error => format!("{name}: the key {}", broken(&error)),
        })?;
        let certified = CertifiedKey::from_der(certificates.list.clone(), read, &ring::default_provider());
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                format!("{name}: does not belong to the first certificate in {}", certificates.file.display())
            }
            Error::InvalidCertificate(error) => format!("{}: {error}", certificates.file.display()),
            Error::General(_) => format!("{name}: holds no private key of a kind that can be used: {KEYS}"),
            error => format!("{name}: {error}"),
        })?;
        Ok(Self { certificates, certified: Derived(Arc::new(certified.into())) })
    }
}

impl ClientCa {
    /// Trusts these authorities. The error is a sentence.
    pub(super) fn new(roots: Roots) -> Result<Self, String> {
        let verifier = WebPkiClientVerifier::builder(roots.store.0.clone()).build();
        let verifier = verifier.map_err(|error| format!("{}: {error}", roots.certificates.file.display()))?;
        Ok(Self { roots, verifier: Derived(verifier) })
    }

    /// Verifies a caller's certificate, and those that came with it, as of now.
    pub(crate) fn judge(&self, shown: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (first, others) = shown.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.verifier.0.verify_client_cert(first, others, UnixTime::now()).map(drop)
    }
}

impl ClientCertVerifier for ClientCa {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.0.supported_verify_schemes()
    }
}

/// Returns a connector of TLS for clients with this ALPN protocol. Without roots the system's are trusted.
pub(crate) fn connector(roots: Option<Arc<RootCertStore>>, identity: Option<&Identity>, alpn: &[u8]) -> TlsConnector {
    let mut config = client_config(roots, identity);
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config).into()
}

/// Returns TLS for clients. Without roots the system's are trusted.
pub(crate) fn client_config(roots: Option<Arc<RootCertStore>>, identity: Option<&Identity>) -> ClientConfig {
    let builder = ClientConfig::builder().with_root_certificates(roots.unwrap_or_else(|| Arc::new(system_roots())));
    match identity {
        Some(identity) => builder.with_client_cert_resolver(identity.certified.0.clone()),
        None => builder.with_no_client_auth(),
    }
}

/// Returns the roots that the system trusts.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        warn!(%error, "some of the system's root certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}
