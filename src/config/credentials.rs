//! Reads the files that settings name: certificates, keys and secrets.

use std::path::Path;
use std::time::SystemTime;

use super::access::{Passwords, Paths};
use super::certificates::Certificates;
use super::client_ca::ClientCa;
use super::draft::Draft;
use super::identity::Identity;
use super::load::TextOf;
use super::report::{Finding, Origin};
use super::tls::{Roots, ServerTls};

/// Reads them all into the draft, and says what is wrong with each, and what is odd.
pub fn read(draft: &mut Draft, text_of: TextOf<'_>, mistakes: &mut Vec<Finding>, warnings: &mut Vec<Finding>) {
    let files = draft.files.clone();
    let mut reader = Reader { draft, text_of, mistakes, warnings };
    let passwords = reader.file("access.passwords", files.passwords.as_deref(), Passwords::read);
    let paths = reader.file("access.paths", files.paths.as_deref(), Paths::read);
    let identity = reader.identity(["tls.certificate", "tls.key"], files.certificate.as_deref(), files.key.as_deref());
    let client_ca = reader.certificates("tls.client_ca", files.client_ca.as_deref());
    let client_ca = client_ca.and_then(|ca| reader.good("tls.client_ca", ClientCa::new(ca)));
    let tls = identity.and_then(|identity| reader.good("tls.certificate", ServerTls::new(identity, client_ca)));
    let ca = reader.certificates("policy_tls.ca", files.policy_ca.as_deref());
    let ca = ca.and_then(|ca| reader.good("policy_tls.ca", Roots::new(ca)));
    let settings = ["policy_tls.certificate", "policy_tls.key"];
    let identity = reader.identity(settings, files.policy_certificate.as_deref(), files.policy_key.as_deref());
    let config = &mut draft.config;
    (config.access.passwords, config.access.paths, config.tls) = (passwords, paths, tls);
    (config.policy_tls.ca, config.policy_tls.identity) = (ca, identity);
}

/// The settings that somebody could take for the place of the secret itself.
const OF_SECRETS: [&str; 4] = ["access.passwords", "access.paths", "tls.key", "policy_tls.key"];

/// Why a file cannot be read, without its name where that may be the secret that should stand in it: always for secrets;
/// for certificates, which may have their key with them, where it is no name that anybody would give a file.
fn without_secret(what: String, setting: &str, file: &Path) -> String {
    let name = file.display().to_string();
    let is_plain = !name.contains(char::is_whitespace) && !name.contains("-----");
    if is_plain && !OF_SECRETS.contains(&setting) {
        return what;
    }
    // As little as is safe, should the sentence be another one some day.
    let why = what.strip_prefix(&format!("cannot read {name}: ")).unwrap_or("nothing can be read there");
    format!("cannot read the file that {setting} names: {why}")
}

struct Reader<'a> {
    draft: &'a Draft,
    text_of: TextOf<'a>,
    mistakes: &'a mut Vec<Finding>,
    warnings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn origin(&self, setting: &str) -> Origin {
        Origin::of(setting, &self.draft.origins)
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
        let odd = certificates.oddities(SystemTime::now()).into_iter();
        self.warnings.extend(odd.map(|what| Finding::new(origin.clone(), setting, what)));
        Some(certificates)
    }

    fn identity(&mut self, settings: [&str; 2], certificate: Option<&Path>, key: Option<&Path>) -> Option<Identity> {
        let [of_certificate, of_key] = settings;
        let certificates = self.certificates(of_certificate, certificate);
        // Either may be what is wrong.
        self.file(of_key, key, |file, text| certificates.map(|shown| Identity::new(shown, file, text)).transpose())
            .flatten()
    }
}
