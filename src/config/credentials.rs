//! Reads the files that settings name: certificates, keys and secrets.

use std::path::Path;
use std::time::SystemTime;

use super::access::{Passwords, Paths};
use super::builder::{Builder, Files};
use super::certificates::Certificates;
use super::client_ca::ClientCa;
use super::identity::Identity;
use super::load::TextOf;
use super::report::{Finding, Origin};
use super::tls::{Roots, ServerTls};

/// Reads all of them into the builder, and adds mistakes and warnings.
pub(super) fn read(
    builder: &mut Builder,
    text_of: TextOf<'_>,
    mistakes: &mut Vec<Finding>,
    warnings: &mut Vec<Finding>,
) {
    let Files { access, tls, policy_tls } = builder.config.files.clone();
    let mut reader = Reader { builder, text_of, mistakes, warnings };
    let passwords = reader.file("access.passwords", access.passwords.as_deref(), Passwords::read);
    let paths = reader.file("access.paths", access.paths.as_deref(), Paths::read);
    let settings = ["tls.certificate", "tls.key"];
    let identity = reader.identity(settings, tls.certificate.as_deref(), tls.key.as_deref());
    let client_ca = reader.certificates("tls.client_ca", tls.client_ca.as_deref());
    let client_ca = client_ca.and_then(|ca| reader.good("tls.client_ca", ClientCa::new(ca)));
    let tls = identity.and_then(|identity| reader.good("tls.certificate", ServerTls::new(identity, client_ca)));
    let ca = reader.certificates("policy_tls.ca", policy_tls.ca.as_deref());
    let ca = ca.and_then(|ca| reader.good("policy_tls.ca", Roots::new(ca)));
    let settings = ["policy_tls.certificate", "policy_tls.key"];
    let identity = reader.identity(settings, policy_tls.certificate.as_deref(), policy_tls.key.as_deref());
    let config = &mut builder.config;
    config.access.passwords = passwords;
    config.access.paths = paths;
    config.tls = tls;
    config.policy_tls.ca = ca;
    config.policy_tls.identity = identity;
}

/// The settings in which somebody may put the secret itself in place of its file.
const OF_SECRETS: [&str; 4] = ["access.passwords", "access.paths", "tls.key", "policy_tls.key"];

/// Returns why a file cannot be read, without its name if that may be the secret itself: always for secrets; for
/// certificates, which may come with their key, if it does not look like a file's name.
fn without_secret(what: String, setting: &str, file: &Path) -> String {
    let name = file.display().to_string();
    let is_plain = !name.contains(char::is_whitespace) && !name.contains("-----");
    if is_plain && !OF_SECRETS.contains(&setting) {
        return what;
    }
    // If the sentence ever changes, nothing of it is repeated.
    let why = what.strip_prefix(&format!("cannot read {name}: ")).unwrap_or("nothing can be read there");
    format!("cannot read the file that {setting} names: {why}")
}

struct Reader<'a> {
    builder: &'a Builder,
    text_of: TextOf<'a>,
    mistakes: &'a mut Vec<Finding>,
    warnings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn origin(&self, setting: &str) -> Origin {
        Origin::of(setting, &self.builder.origins)
    }

    fn good<T>(&mut self, setting: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|what| self.mistakes.push(Finding::new(self.origin(setting), setting, what))).ok()
    }

    fn file<T>(
        &mut self,
        setting: &str,
        file: Option<&Path>,
        read: impl FnOnce(&Path, &str) -> Result<T, String>,
    ) -> Option<T> {
        let file = file?;
        let text = (self.text_of)(file).map_err(|what| without_secret(what, setting, file));
        self.good(setting, text.and_then(|text| read(file, &text)))
    }

    fn certificates(&mut self, setting: &str, file: Option<&Path>) -> Option<Certificates> {
        let certificates = self.file(setting, file, Certificates::read)?;
        let origin = self.origin(setting);
        let odd = certificates.warnings(SystemTime::now()).into_iter();
        self.warnings.extend(odd.map(|what| Finding::new(origin.clone(), setting, what)));
        Some(certificates)
    }

    fn identity(&mut self, settings: [&str; 2], certificate: Option<&Path>, key: Option<&Path>) -> Option<Identity> {
        let [of_certificate, of_key] = settings;
        let certificates = self.certificates(of_certificate, certificate);
        // The key is read even if the certificate is wrong: both mistakes are reported.
        self.file(of_key, key, |file, text| certificates.map(|shown| Identity::new(shown, file, text)).transpose())
            .flatten()
    }
}
