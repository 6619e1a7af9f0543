//! Certificates of a file, and their validity.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{Error, PemObject};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::Config;

/// A certificate with less time left is worth a warning.
const SOON: Duration = Duration::from_secs(14 * DAY);

const DAY: u64 = 24 * 3600;

/// The certificates of a file, one at least.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificates {
    file: PathBuf,
    list: Vec<CertificateDer<'static>>,
    /// The validity of each: not before, not after.
    times: Vec<(SystemTime, SystemTime)>,
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
            times.push((time(validity.not_before.timestamp()), time(validity.not_after.timestamp())));
            list.push(certificate);
        }
        if list.is_empty() {
            return Err(format!("{name}: holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
        }
        Ok(Self { file: file.to_owned(), list, times })
    }

    /// Returns the file that they were read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the certificates, in the order of the file.
    pub fn list(&self) -> &[CertificateDer<'static>] {
        &self.list
    }

    /// Returns the time at which the first of them expires.
    pub fn expires(&self) -> SystemTime {
        self.times.iter().map(|(_, until)| *until).min().unwrap_or(UNIX_EPOCH)
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

    /// Returns them as trusted roots.
    pub(super) fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for (place, certificate) in self.list.iter().enumerate() {
            roots.add(certificate.clone()).map_err(|error| {
                format!("{}: certificate {} cannot be trusted: {error}", self.file.display(), place + 1)
            })?;
        }
        Ok(roots)
    }
}

impl Config {
    /// Returns the certificates in force, and the time at which each expires; in a chain or a list the first to. The names are
    /// `webhooks`, `client_ca`, `policy_ca` and `policy_client`.
    pub fn certificates(&self) -> impl Iterator<Item = (&'static str, SystemTime)> {
        let (tls, policy) = (self.tls.as_ref(), &self.policy_tls);
        let client_ca = tls.and_then(|tls| tls.client_ca.as_ref());
        let all = [
            ("webhooks", tls.map(|tls| &tls.identity.certificates)),
            ("client_ca", client_ca.map(|ca| &ca.certificates)),
            ("policy_ca", policy.ca.as_ref().map(|ca| &ca.certificates)),
            ("policy_client", policy.identity.as_ref().map(|identity| &identity.certificates)),
        ];
        all.into_iter().filter_map(|(name, certificates)| Some((name, certificates?.expires())))
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

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates of {}", self.list.len(), self.file.display())
    }
}

/// Converts seconds since 1970; earlier times become 1970.
fn time(seconds: i64) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    UNIX_EPOCH.checked_add(seconds).unwrap_or(UNIX_EPOCH)
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
