//! Reads the files that settings name: certificates, keys and secrets.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use http::{HeaderName, HeaderValue};

use super::Nats;
use super::access::{Passwords, Paths};
use super::certificates::{Certificates, Roots};
use super::file::small;
use super::load::{Loaded, TextOf};
use super::nats_login::Secret;
use super::tls::{ClientCa, Identity, ServerTls};
use super::tls_limits;

/// Reads all of them into the configuration, and adds mistakes and warnings.
pub(super) fn read(loaded: &mut Loaded, text_of: TextOf<'_>) {
    let config = loaded.config.clone();
    let mut reader = Reader { loaded, text_of };
    reader.loaded.config.access.users = reader.file("access.passwords", &config.access.passwords, Passwords::read);
    reader.loaded.config.access.secret_paths = reader.file("access.paths", &config.access.paths, Paths::read);
    let identity = reader.identity("tls", &config.tls.certificate, &config.tls.key);
    let client_ca = reader.roots("tls.client_ca", &config.tls.client_ca);
    let client_ca = client_ca.and_then(|roots| reader.good("tls.client_ca", ClientCa::new(roots)));
    reader.loaded.config.tls.server = identity.map(|identity| ServerTls::new(identity, client_ca));
    reader.loaded.config.policy_tls.roots = reader.roots("policy_tls.ca", &config.policy_tls.ca);
    let identity = reader.identity("policy_tls", &config.policy_tls.certificate, &config.policy_tls.key);
    reader.loaded.config.policy_tls.identity = identity;
    for (place, policy) in config.policies.iter().enumerate() {
        let group = format!("policies.{}", policy.name);
        let tls = format!("{group}.tls");
        let roots = reader.roots(&format!("{tls}.ca"), &policy.tls.ca);
        let identity = reader.identity(&tls, &policy.tls.certificate, &policy.tls.key);
        let metadata = policy.metadata_files.iter().filter_map(|(name, file)| {
            let value = reader.file(&format!("{group}.metadata.{name}"), &Some(file.clone()), metadata_value)?;
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        let metadata = metadata.collect();
        let read = &mut reader.loaded.config.policies[place];
        (read.tls.roots, read.tls.identity, read.metadata) = (roots, identity, metadata);
    }
    let nats = &config.after.nats;
    let user_password = reader.file("after.nats.password", &nats.password, Secret::line);
    let login_token = reader.file("after.nats.token", &nats.token, Secret::line);
    let seed = reader.file("after.nats.nkey", &nats.nkey, Secret::seed);
    let creds = reader.file("after.nats.credentials", &nats.credentials, Secret::credentials);
    let roots = reader.roots("after.nats.ca", &nats.ca);
    let identity = reader.identity("after.nats", &nats.certificate, &nats.key);
    let read = Nats { user_password, login_token, seed, creds, roots, identity, ..nats.clone() };
    reader.loaded.config.after.nats = read;
}

/// Returns why a file cannot be read, without its name if that may be the secret itself, which somebody has put in place of its
/// file: always for secrets; for certificates, which may come with their key, if it does not look like a file's name.
fn without_secret(what: String, setting: &str, file: &Path) -> String {
    let name = file.display().to_string();
    let is_plain = !name.contains(char::is_whitespace) && !name.contains("-----");
    let of_certificates = matches!(setting.rsplit('.').next(), Some("certificate" | "ca" | "client_ca"));
    if is_plain && of_certificates && !setting.contains(".metadata.") {
        return what;
    }
    // If the sentence ever changes, nothing of it is repeated.
    let why = what.strip_prefix(&format!("cannot read {name}: ")).unwrap_or("nothing can be read there");
    format!("cannot read the file that {setting} names: {why}")
}

/// Parses a file that holds a value of metadata on one line. The error does not repeat it.
fn metadata_value(file: &Path, text: &str) -> Result<HeaderValue, String> {
    let Secret(line) = Secret::line(file, text)?;
    let printable = line.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let value = HeaderValue::from_str(line.trim()).ok().filter(|_| printable);
    let mut value = value.ok_or_else(|| format!("{}: expected printable ASCII", file.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

struct Reader<'a> {
    loaded: &'a mut Loaded,
    text_of: TextOf<'a>,
}

impl Reader<'_> {
    fn good<T>(&mut self, setting: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|what| self.loaded.certain_mistake(setting, what)).ok()
    }

    fn file<T>(
        &mut self,
        setting: &str,
        file: &Option<PathBuf>,
        read: impl FnOnce(&Path, &str) -> Result<T, String>,
    ) -> Option<T> {
        let file = file.as_ref()?;
        let text = small(file, self.text_of).map_err(|what| without_secret(what, setting, file));
        self.good(setting, text.and_then(|text| read(file, &text)))
    }

    fn warn(&mut self, setting: &str, warnings: impl IntoIterator<Item = String>) {
        for warning in warnings {
            self.loaded.warning(setting, warning);
        }
    }

    fn certificates(&mut self, setting: &str, file: &Option<PathBuf>) -> Option<Certificates> {
        let certificates = self.file(setting, file, Certificates::read)?;
        self.warn(setting, certificates.warnings(SystemTime::now()));
        Some(certificates)
    }

    fn roots(&mut self, setting: &str, file: &Option<PathBuf>) -> Option<Roots> {
        let certificates = self.certificates(setting, file)?;
        let unusable = |place| certificates.finding(place, tls_limits::unusable_key);
        self.warn(setting, (0..certificates.list.len()).filter_map(unusable));
        self.good(setting, Roots::new(certificates))
    }

    fn identity(&mut self, group: &str, certificate: &Option<PathBuf>, key: &Option<PathBuf>) -> Option<Identity> {
        let setting = format!("{group}.certificate");
        let certificates = self.certificates(&setting, certificate).and_then(|certificates| {
            self.warn(&setting, certificates.finding(0, tls_limits::doubtful));
            let unfit = certificates.finding(0, tls_limits::unfit);
            self.good(&setting, unfit.map_or(Ok(certificates), Err))
        });
        // The key is read even if the certificate is wrong: both mistakes are reported.
        let join = |file: &Path, text: &str| certificates.map(|shown| Identity::new(shown, file, text)).transpose();
        self.file(&format!("{group}.key"), key, join).flatten()
    }
}
