//! Access secrets: passwords and secret paths.

use std::path::Path;

use ring::digest::{SHA256, digest};
use subtle::{Choice, ConstantTimeEq};

use super::nats_login::Secret;
use super::{Access, file};

/// Users and passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passwords(Vec<Secret<[u8; 32]>>);

/// Secret paths, with the number of their segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths(Vec<(usize, Secret<[u8; 32]>)>);

impl Access {
    /// Returns true if there is an access rule.
    pub fn has_rules(&self) -> bool {
        self.users.is_some() || self.secret_paths.is_some() || !self.sources.is_empty()
    }
}

impl Passwords {
    /// Parses a file of `user:password` lines. The error does not repeat what stands there.
    pub(super) fn read(file: &Path, text: &str) -> Result<Self, String> {
        let lines = lines(file, text, |line| {
            let whole = line.split_once(':').is_some_and(|(_, password)| !password.is_empty());
            let printable = !line.chars().any(char::is_control);
            match (whole && printable, line.trim() == line) {
                (true, true) => Ok(Secret::of(line.as_bytes())),
                // Invisible whitespace would be part of the password.
                (true, false) => Err("expected user:password with no whitespace before or after it"),
                (false, _) => Err("expected user:password"),
            }
        });
        lines.map(Self)
    }

    /// Returns true if this is one of them: a user, a colon and a password.
    pub fn contain(&self, given: &[u8]) -> bool {
        let given = Secret::of(given);
        self.0.iter().fold(Choice::from(0), |any, line| any | line.is(&given)).into()
    }
}

impl Paths {
    /// Parses a file of paths, one a line. The error does not repeat what stands there.
    pub(super) fn read(file: &Path, text: &str) -> Result<Self, String> {
        let lines = lines(file, text, |line| {
            let path = line.trim_matches('/');
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
            let segments = path.split('/').count();
            // Other characters have several encodings.
            if path.split('/').any(|segment| segment.is_empty() || !segment.chars().all(plain)) {
                return Err("expected a path such as s3cret or a/b, of letters, digits and - . _ ~ alone");
            }
            Ok((segments, Secret::of(path.as_bytes())))
        });
        lines.map(Self)
    }

    /// Removes one of these from the beginning of a path; `None` if it begins with none of them.
    pub fn stripped<'p>(&self, path: &'p str) -> Option<&'p str> {
        let path = path.trim_start_matches('/');
        let (mut any, mut length) = (Choice::from(0), 0);
        for (segments, secret) in &self.0 {
            let end = path.match_indices('/').nth(segments - 1).map_or(path.len(), |(place, _)| place);
            let is = secret.is(&Secret::of(&path.as_bytes()[..end]));
            if is.into() {
                length = end;
            }
            any |= is;
        }
        bool::from(any).then(|| &path[length..])
    }
}

/// The digest of a secret: the time of a comparison reveals neither its text nor its length.
impl Secret<[u8; 32]> {
    fn of(text: &[u8]) -> Self {
        Self(digest(&SHA256, text).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// Parses the lines of a file. The error names the line and does not repeat it.
fn lines<T>(file: &Path, text: &str, read: impl Fn(&str) -> Result<T, &'static str>) -> Result<Vec<T>, String> {
    let name = file.display();
    let read = |(number, line)| read(line).map_err(|what| format!("{name}: line {number}: {what}"));
    let lines = file::lines(text).map(read).collect::<Result<Vec<_>, _>>()?;
    if lines.is_empty() { Err(format!("{name}: holds no line")) } else { Ok(lines) }
}
