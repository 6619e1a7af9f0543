//! Findings about a configuration: one line each, all of them at once.

use std::fmt;

/// The source of a setting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A file, and the line if it is known.
    File(String, Option<usize>),
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

/// A mistake or a warning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// The source.
    pub origin: Origin,
    /// The full path of the key; empty if it is about none.
    pub path: String,
    /// The sentence.
    pub what: String,
}

/// All mistakes, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Report(pub Vec<Finding>);

impl Finding {
    /// A finding about the key with this path.
    pub fn new(origin: Origin, path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { origin, path: path.into(), what: what.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name, Some(line)) => write!(f, "{name}:{line}"),
            Self::File(name, None) | Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(..) if !self.path.is_empty() => write!(f, "{}: {}: {}", self.origin, self.path, self.what),
            // Flags and variables are named after their keys.
            origin => write!(f, "{origin}: {}", self.what),
        }
    }
}

/// Returns a question for the name that was probably meant, or other words if there is none.
pub(super) fn did_you_mean(meant: Option<&str>, otherwise: &str) -> String {
    meant.map_or_else(|| otherwise.to_owned(), |meant| format!("did you mean {meant}?"))
}

/// Returns the known name that is most like an unknown one, if one is like it.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let name = plain(name);
    let tolerance = 1 + name.len() / 5;
    // Names of very different lengths are not compared: a name may be a megabyte.
    let alike = known.into_iter().filter(|known| known.len().abs_diff(name.len()) <= tolerance);
    let distance = |known: &str| strsim::damerau_levenshtein(&name, &plain(known));
    let (distance, known) = alike.map(|known| (distance(known), known)).min_by_key(|(far, _)| *far)?;
    (distance <= tolerance).then_some(known)
}
