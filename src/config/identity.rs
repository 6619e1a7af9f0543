//! What one shows to the other side of TLS: certificates, and the key of the first.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::certificates::{Certificates, broken, pem};

/// Certificates, and the key of the first of them.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, and those between it and its root.
    pub certificates: Certificates,
    /// The file of the key.
    pub key: PathBuf,
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// Puts a key, as a file's text, to its certificates; or says what is wrong with it.
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

    /// Shows itself to whoever asks.
    pub(crate) fn shown(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(self.certified.clone()))
    }
}

impl PartialEq for Identity {
    /// A certificate has one key.
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.certificates == other.certificates
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with the key of {}", self.certificates, self.key.display())
    }
}

/// What computes for TLS.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
