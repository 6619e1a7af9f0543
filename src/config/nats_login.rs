//! Secrets of the login to NATS.

use std::fmt;
use std::path::Path;

/// A secret, which no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T = String>(pub(super) T);

impl Secret {
    /// Parses a file that holds one line. The error does not repeat it.
    pub(super) fn line(file: &Path, text: &str) -> Result<Self, String> {
        let line = text.trim_end_matches(['\r', '\n']);
        match line {
            "" => Err(format!("{}: is empty", file.display())),
            line if line.contains(char::is_control) => Err(format!("{}: expected a single line", file.display())),
            line => Ok(Self(line.to_owned())),
        }
    }

    /// Parses the seed of an NKey.
    pub(super) fn seed(file: &Path, text: &str) -> Result<Self, String> {
        // A file of `nsc` or `nk` may have comments or the public key beside it.
        let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU") && line.len() == 58);
        let seed = seed.ok_or_else(|| format!("{}: holds no seed of a user's NKey (SU...)", file.display()))?;
        Ok(Self(seed.to_owned()))
    }

    /// Parses a file of credentials.
    pub(super) fn credentials(file: &Path, text: &str) -> Result<Self, String> {
        let has = |what: &str| text.contains(&format!("BEGIN {what}"));
        if has("NATS USER JWT") && has("USER NKEY SEED") {
            return Ok(Self(text.to_owned()));
        }
        let what = "holds no credentials: a user's JWT and the seed of its NKey, as nsc writes them";
        Err(format!("{}: {what}", file.display()))
    }

    /// Returns the secret.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}
