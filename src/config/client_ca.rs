//! Verification of client certificates.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::certificates::Certificates;
use super::identity::provider;

/// The certificate authorities of client certificates.
#[derive(Clone)]
pub struct ClientCa {
    /// The certificates of the authorities.
    pub certificates: Certificates,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientCa {
    /// Trusts these authorities. The error is a sentence.
    pub(super) fn new(certificates: Certificates) -> Result<Self, String> {
        let roots = Arc::new(certificates.roots()?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
        let verifier = verifier.map_err(|error| format!("{}: {error}", certificates.file().display()))?;
        Ok(Self { certificates, verifier })
    }

    /// Verifies a caller's certificate, and those that came with it, as of now.
    pub(crate) fn judge(&self, shown: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (first, others) = shown.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.verifier.verify_client_cert(first, others, UnixTime::now()).map(drop)
    }

    /// Returns the verifier of the handshake, which asks for a certificate and accepts any.
    pub(super) fn asks(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Asks(self.verifier.clone()))
    }
}

impl PartialEq for ClientCa {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl fmt::Debug for ClientCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.certificates.fmt(f)
    }
}

/// Asks for a certificate and verifies possession of its key. The certificate itself is verified by [`ClientCa::judge`],
/// after the handshake: a caller that is refused in the handshake would get no reply that OpenIM can read.
#[derive(Debug)]
struct Asks(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Asks {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
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
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
