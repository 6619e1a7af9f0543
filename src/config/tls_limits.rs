//! The certificates and keys that rustls refuses, in an operator's words.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

/// The kinds of keys that there is cryptography for.
pub(super) const KEYS: &str = "TLS here takes RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, and Ed25519";

/// The remedy for a certificate that is marked as an authority.
const NO_CA: &str = "make one with basicConstraints=CA:FALSE";

/// The remedy for a certificate of an old version.
const VERSION_3: &str = "make one of version 3 (openssl x509 -req does with -extfile)";

/// Returns why a certificate cannot be that of a server or client.
pub(super) fn unfit(certificate: &X509Certificate<'_>) -> Option<String> {
    let X509Version(version) = certificate.version();
    if version != X509Version::V3.0 {
        return Some(format!("is an X.509 certificate of version {}: {VERSION_3}", version + 1));
    }
    unusable_key(certificate)
}

/// Returns why a certificate's key cannot be used.
pub(super) fn unusable_key(certificate: &X509Certificate<'_>) -> Option<String> {
    unusable_kind(certificate.public_key())
        .map(|kind| format!("has a key of a kind that cannot be used, {kind}: {KEYS}"))
}

/// Returns a warning about a certificate that is shown by a server or client and marked as an authority.
pub(super) fn doubtful(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.is_ca().then(|| format!("is marked as an authority (CA:TRUE), which some peers refuse: {NO_CA}"))
}

/// Returns the name of a kind of key, if there is no cryptography for it.
fn unusable_kind(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        let Ok(PublicKey::RSA(rsa)) = key.parsed() else { return Some("a broken RSA key".to_owned()) };
        let bits = rsa.key_size();
        return (!(2048..=8192).contains(&bits)).then(|| format!("RSA of {bits} bits"));
    }
    if *algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return (*algorithm != OID_SIG_ED25519).then(|| format!("algorithm {algorithm}"));
    }
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match curve {
        Some(curve) if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 => None,
        Some(curve) if curve == OID_NIST_EC_P521 => Some("ECDSA on P-521".to_owned()),
        Some(curve) => Some(format!("ECDSA on the curve {curve}")),
        None => Some("ECDSA on a curve without a name".to_owned()),
    }
}

/// Describes why a TLS handshake failed.
pub(crate) fn handshake_failure(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidCertificate(refusal)) => match words(refusal) {
            Some((name, words)) => format!("invalid peer certificate: {name}: {words}"),
            None => error.to_string(),
        },
        Some(Error::AlertReceived(AlertDescription::HandshakeFailure)) => {
            format!("{error}: the peer has no version, cipher or certificate that is known here; {KEYS}")
        }
        _ => error.to_string(),
    }
}

/// Returns the name of a refusal, and words for it.
fn words(refusal: &CertificateError) -> Option<(&'static str, String)> {
    // The verifier's own error has no public type, and prints more than its name.
    let text = format!("{refusal:?}");
    let table = [
        ("UnknownIssuer", "none of the authorities that are trusted has issued it".to_owned()),
        ("UnsupportedSignatureAlgorithm", format!("its key or its issuer's is of a kind that cannot be used; {KEYS}")),
        ("CaUsedAsEndEntity", format!("it is a server's, and marked as an authority (CA:TRUE); {NO_CA}")),
        ("UnsupportedCertVersion", format!("it is of an old version of X.509; {VERSION_3}")),
    ];
    table.into_iter().find(|(name, _)| text.contains(name))
}
