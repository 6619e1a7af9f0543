//! A certificate chain and its private key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::certificates::{Certificates, broken, pem};

/// A certificate chain and the private key of its first certificate.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, and the intermediates up to its root.
    pub certificates: Certificates,
    /// The file of the key.
    pub key: PathBuf,
    certified: Arc<CertifiedKey>,
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
        let certified = CertifiedKey::from_der(certificates.list().to_vec(), read, &provider());
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                format!("{name}: does not belong to the first certificate in {}", certificates.file().display())
            }
            Error::InvalidCertificate(error) => format!("{}: {error}", certificates.file().display()),
            error => format!("{name}: {error}"),
        })?;
        Ok(Self { certificates, key: key.to_owned(), certified: Arc::new(certified) })
    }

    /// Returns the resolver that presents it in handshakes.
    pub(crate) fn shown(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(self.certified.clone()))
    }
}

impl PartialEq for Identity {
    /// A certificate has one key, so the key itself is not compared.
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.certificates == other.certificates
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with the key of {}", self.certificates, self.key.display())
    }
}

/// Returns the cryptography of TLS.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
