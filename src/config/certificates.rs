//! Certificates of a file, their validity, and authorities that are trusted.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{Error, PemObject};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::{Config, NamedPolicy, file};

/// A certificate with less time left is worth a warning.
const SOON: Duration = Duration::from_secs(14 * DAY);

const DAY: u64 = 24 * 3600;

/// The certificates of a file, one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The file that they were read from.
    pub file: PathBuf,
    /// The certificates, in the order of the file.
    pub list: Vec<CertificateDer<'static>>,
    /// The validity of each: not before, not after.
    times: Vec<(SystemTime, SystemTime)>,
}

/// Certificate authorities that are trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Roots {
    /// Their certificates.
    pub certificates: Certificates,
    pub(crate) store: Derived<Arc<RootCertStore>>,
}

/// A value that is made from those beside it, and so not compared.
#[derive(Debug, Clone)]
pub(crate) struct Derived<T>(pub(crate) T);

impl<T> PartialEq for Derived<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Certificates {
    /// Parses the certificates of a PEM file. The error is a sentence with the file's name.
    pub(super) fn read(file: &Path, text: &str) -> Result<Self, String> {
        let name = file.display();
        let (mut list, mut times) = (Vec::new(), Vec::new());
        let pem = pem(text).map_err(|what| format!("{name}: {what}"))?;
        for (place, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let place = place + 1;
            let certificate = certificate.map_err(|error| format!("{name}: certificate {place} {}", broken(&error)))?;
            let Ok((_, parsed)) = X509Certificate::from_der(&certificate) else {
                return Err(format!("{name}: certificate {place} is no X.509 certificate"));
            };
            let validity = parsed.validity();
            times.push((time(validity.not_before), time(validity.not_after)));
            list.push(certificate);
        }
        if list.is_empty() {
            return Err(format!("{name}: holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
        }
        Ok(Self { file: file.to_owned(), list, times })
    }

    /// Returns a warning for each that is expired, not yet valid, or expires soon.
    pub(super) fn warnings(&self, now: SystemTime) -> Vec<String> {
        let file = self.file.display();
        let odd = |(place, (from, until)): (usize, &(SystemTime, SystemTime))| {
            let what = if *until <= now {
                format!("expired at {}", humantime::format_rfc3339_seconds(*until))
            } else if *from > now {
                format!("is not good before {}", humantime::format_rfc3339_seconds(*from))
            } else if *until < now + SOON {
                format!("expires soon, at {}", humantime::format_rfc3339_seconds(*until))
            } else {
                return None;
            };
            Some(format!("{file}: certificate {} {what}", place + 1))
        };
        self.times.iter().enumerate().filter_map(odd).collect()
    }

    /// Returns what `of` finds about a certificate, as a sentence with the file's name.
    pub(super) fn finding(&self, place: usize, of: fn(&X509Certificate<'_>) -> Option<String>) -> Option<String> {
        let (_, parsed) = X509Certificate::from_der(self.list.get(place)?).ok()?;
        of(&parsed).map(|what| format!("{}: certificate {} {what}", self.file.display(), place + 1))
    }
}

impl Roots {
    /// Reads them from a file. The error is a sentence with the file's name: it cannot be read, holds no certificate in
    /// PEM, or one that cannot be trusted.
    pub(crate) fn open(file: &Path) -> Result<Self, String> {
        Self::new(Certificates::read(file, &file::small(file, &file::text)?)?)
    }

    /// Trusts these certificates. The error is a sentence with the file's name.
    pub(super) fn new(certificates: Certificates) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for (place, certificate) in certificates.list.iter().enumerate() {
            store.add(certificate.clone()).map_err(|error| {
                format!("{}: certificate {} cannot be trusted: {error}", certificates.file.display(), place + 1)
            })?;
        }
        Ok(Self { certificates, store: Derived(Arc::new(store)) })
    }
}

impl Config {
    /// Returns the certificates in force, and the time at which each expires; in a chain or a list the first to. The names are
    /// `webhooks`, `client_ca`, `policy_ca`, `policy_client`, `nats_ca` and `nats_client`.
    /// The names of a named policy's are `policy_NAME_ca` and `policy_NAME_client`.
    pub fn certificates(&self) -> impl Iterator<Item = (Cow<'static, str>, SystemTime)> {
        let (policy, nats) = (&self.policy_tls, &self.after.nats);
        let named = self.policies.iter().flat_map(|NamedPolicy { name, tls, .. }| {
            let roots = tls.roots.as_ref().map(|roots| &roots.certificates);
            let identity = tls.identity.as_ref().map(|identity| &identity.certificates);
            [(Cow::from(format!("policy_{name}_ca")), roots), (format!("policy_{name}_client").into(), identity)]
        });
        let all = [
            ("webhooks", self.tls.server.as_ref().map(|tls| &tls.identity.certificates)),
            ("client_ca", self.client_ca().map(|ca| &ca.roots.certificates)),
            ("policy_ca", policy.roots.as_ref().map(|roots| &roots.certificates)),
            ("policy_client", policy.identity.as_ref().map(|identity| &identity.certificates)),
            ("nats_ca", nats.roots.as_ref().map(|roots| &roots.certificates)),
            ("nats_client", nats.identity.as_ref().map(|identity| &identity.certificates)),
        ];
        all.into_iter()
            .map(|(name, certificates)| (name.into(), certificates))
            .chain(named)
            .filter_map(|(name, certificates)| Some((name, certificates?.times.iter().map(|time| time.1).min()?)))
    }
}

/// Returns the whole days until a time; negative if it is past.
pub fn days_until(time: SystemTime) -> i64 {
    let days = |duration: Duration| i64::try_from(duration.as_secs() / DAY).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::now()) {
        Ok(left) => days(left),
        Err(over) => -1 - days(over.duration()),
    }
}

/// Converts a time; those before 1970 become 1970.
fn time(time: ASN1Time) -> SystemTime {
    SystemTime::from(time.to_datetime()).max(UNIX_EPOCH)
}

/// Returns a PEM file without its byte order mark. An indented BEGIN line is an error: its section would be skipped
/// silently.
pub(super) fn pem(text: &str) -> Result<&[u8], String> {
    let text = text.trim_start_matches('\u{feff}');
    let is_indented = |line: &str| line.trim_start().starts_with("-----BEGIN ") && !line.starts_with('-');
    match text.lines().position(is_indented) {
        Some(place) => Err(format!("line {}: has whitespace before -----BEGIN", place + 1)),
        None => Ok(text.as_bytes()),
    }
}

/// Describes a broken PEM section without repeating it.
pub(super) fn broken(error: &Error) -> &'static str {
    match error {
        Error::MissingSectionEnd { .. } => "is cut short: its END line is missing",
        Error::IllegalSectionStart { .. } => "has a broken BEGIN line",
        _ => "is not in base64",
    }
}
