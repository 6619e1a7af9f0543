//! Who may call: what a caller must know, and where it must come from.

use std::fmt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use ring::digest::{SHA256, digest};
use subtle::{Choice, ConstantTimeEq};

/// Who may call. All of these rules must hold; within one of them any line is good. Without any everybody may.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// The users and passwords, of which a caller must send one by basic authentication.
    pub passwords: Option<Passwords>,
    /// The secret paths, with one of which every URL must begin.
    pub paths: Option<Paths>,
    /// Where callers must come from, unless through a Unix socket. Empty where they may come from anywhere.
    pub sources: Vec<IpNet>,
    /// The proxies whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Users and passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Passwords {
    file: PathBuf,
    lines: Vec<Secret>,
}

/// Secret paths.
#[derive(Clone, PartialEq, Eq)]
pub struct Paths {
    file: PathBuf,
    lines: Vec<(usize, Secret)>,
}

/// A secret by its digest, so that neither what it is nor how long it is shows in how long it takes to compare.
#[derive(Clone, PartialEq, Eq)]
struct Secret([u8; 32]);

impl Access {
    /// Whether there is a rule at all.
    pub fn has_rules(&self) -> bool {
        self.passwords.is_some() || self.paths.is_some() || !self.sources.is_empty()
    }
}

impl Passwords {
    /// Reads lines of `user:password` from a file's text, or says what is wrong with it.
    pub(super) fn read(file: &Path, text: &str) -> Result<Self, String> {
        let lines = lines(file, text, |line| {
            let whole = line.split_once(':').is_some_and(|(_, password)| !password.is_empty());
            let printable = !line.chars().any(char::is_control);
            match (whole && printable, line.trim() == line) {
                (true, true) => Ok(Secret::of(line.as_bytes())),
                // Nobody sees it, and with it the password is another one.
                (true, false) => Err("expected user:password with no whitespace before or after it"),
                (false, _) => Err("expected user:password"),
            }
        })?;
        Ok(Self { file: file.to_owned(), lines })
    }

    /// The file that they come from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether this is one of them: a user, a colon and a password.
    pub fn contain(&self, said: &[u8]) -> bool {
        let said = Secret::of(said);
        self.lines.iter().fold(Choice::from(0), |any, line| any | line.is(&said)).into()
    }
}

impl Paths {
    /// Reads a path a line from a file's text, or says what is wrong with it.
    pub(super) fn read(file: &Path, text: &str) -> Result<Self, String> {
        let lines = lines(file, text, |line| {
            let path = line.trim_matches('/');
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
            let segments = path.split('/').count();
            // What needs no encoding has one spelling.
            if path.split('/').any(|segment| segment.is_empty() || !segment.chars().all(plain)) {
                return Err("expected a path such as s3cret or a/b, of letters, digits and - . _ ~ alone");
            }
            Ok((segments, Secret::of(path.as_bytes())))
        })?;
        Ok(Self { file: file.to_owned(), lines })
    }

    /// The file that they come from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What a path goes on with after one of these; nothing where it begins with none of them.
    pub fn stripped<'p>(&self, path: &'p str) -> Option<&'p str> {
        let path = path.trim_start_matches('/');
        let (mut any, mut length) = (Choice::from(0), 0);
        for (segments, secret) in &self.lines {
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

impl Secret {
    fn of(text: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, text).as_ref());
        Self(bytes)
    }

    fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// The lines of a file, but for empty ones and comments, whose first character after any whitespace is `#`. What is wrong
/// is said without what stands there.
fn lines<T>(file: &Path, text: &str, read: impl Fn(&str) -> Result<T, &'static str>) -> Result<Vec<T>, String> {
    let name = file.display();
    let mut lines = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let text = line.trim();
        if !text.is_empty() && !text.starts_with('#') {
            lines.push(read(line).map_err(|what| format!("{name}: line {}: {what}", number + 1))?);
        }
    }
    if lines.is_empty() { Err(format!("{name}: holds no line")) } else { Ok(lines) }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passwords of {}", self.lines.len(), self.file.display())
    }
}

impl fmt::Debug for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} paths of {}", self.lines.len(), self.file.display())
    }
}
