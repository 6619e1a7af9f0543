//! Certificates, good and bad, and what is configured with them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use hookgate::config::{Config, Loaded, Options};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// An authority, and the PEM of its certificate.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("rcgen and rustls know each other");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("rcgen and rustls know each other"))
                .expect("rcgen and rustls know each other");
        let pem = issuer.pem();
        Self { issuer, pem }
    }

    /// A certificate for a name, good for so many days from now; for less than none it is over.
    pub fn issue(&self, name: &str, days: i32) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("rcgen and rustls know each other");
        let now = rcgen::date_time_ymd(1970, 1, 1)
            + SystemTime::now().duration_since(UNIX_EPOCH).expect("rcgen and rustls know each other");
        params.not_before = now - 100 * DAY;
        params.not_after = if days < 0 { now - DAY * days.unsigned_abs() } else { now + DAY * days.unsigned_abs() };
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("rcgen and rustls know each other");
        let certificate = params.signed_by(&key, &self.issuer).expect("rcgen and rustls know each other");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The authority's own certificate and key.
    pub fn pair(&self) -> Pair {
        Pair { certificate: self.pem.clone(), key: self.issuer.key().serialize_pem() }
    }

    /// This authority alone, to be trusted.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("rcgen and rustls know each other");
        roots
    }

    /// A client that trusts this authority, and shows a certificate if it has one.
    pub fn client(&self, shown: Option<&Pair>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("rcgen and rustls know each other")
            .with_root_certificates(self.roots());
        Arc::new(match shown {
            Some(pair) => builder
                .with_client_auth_cert(pair.chain(), pair.private_key())
                .expect("rcgen and rustls know each other"),
            None => builder.with_no_client_auth(),
        })
    }
}

impl Pair {
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .map(|certificate| certificate.expect("PEM"))
            .collect()
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("rcgen and rustls know each other")
    }
}

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

/// Files that are not on a disk, by their names.
#[derive(Clone, Default)]
pub struct Files(BTreeMap<String, String>);

impl Files {
    pub fn with(mut self, name: &str, text: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), text.into());
        self
    }

    /// A pair as `NAME.pem` and `NAME.key`.
    pub fn with_pair(self, name: &str, pair: &Pair) -> Self {
        self.with(&format!("{name}.pem"), &*pair.certificate).with(&format!("{name}.key"), &*pair.key)
    }

    /// What this YAML says beside these files.
    pub fn load(&self, yaml: &str) -> Result<Loaded, String> {
        self.clone().with("hookgate.yaml", yaml).load_file("hookgate.yaml")
    }

    /// What one of these files says.
    pub fn load_file(&self, name: &str) -> Result<Loaded, String> {
        let policy = self.0.get(name).is_some_and(|text| text.contains("policy:"));
        let policy: &[&str] = if policy { &[] } else { &["--policy", "builtin"] };
        let options = CommandLine::parse_from([&["hookgate", "--config", name], policy].concat()).options;
        let text_of = |path: &Path| {
            let text = self.0.get(path.to_str().expect("a name"));
            text.cloned().ok_or_else(|| format!("cannot read {}: not there", path.display()))
        };
        Config::load_from(&options, &text_of).map_err(|report| report.to_string())
    }

    /// The same as a test's configuration: an After event's verdict is waited for.
    pub fn config(&self, yaml: &str) -> Config {
        let mut config = self.load(yaml).unwrap_or_else(|report| panic!("{report}")).config;
        config.after.answer_within = Duration::from_secs(60);
        config
    }
}
