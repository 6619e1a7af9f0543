//! What is wrong or odd about a configuration: one line each, all of them at once.

use std::collections::BTreeMap;
use std::fmt;

/// Where something was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file, on a line if that is known.
    File(String, Option<usize>),
    /// In the environment.
    Variable(String),
    /// On the command line.
    Flag(String),
}

/// One thing that is wrong, or odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it was said.
    pub origin: Origin,
    /// The full path of its key. Empty where it is about no key.
    pub path: String,
    /// What there is to say.
    pub what: String,
}

/// Everything that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Report(pub Vec<Finding>);

impl Origin {
    /// Who said the setting with this path. What nobody said is spoken of by its path.
    pub fn of(path: &str, said: &BTreeMap<String, Self>) -> Self {
        said.get(path).cloned().unwrap_or_else(|| Self::Flag(path.to_owned()))
    }
}

impl Finding {
    /// A finding about a key of a file.
    pub fn new(origin: Origin, path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { origin, path: path.into(), what: what.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name, Some(line)) => write!(f, "{name}:{line}"),
            Self::File(name, None) => f.write_str(name),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(..) if !self.path.is_empty() => write!(f, "{}: {}: {}", self.origin, self.path, self.what),
            // A flag or variable is a key itself.
            origin => write!(f, "{origin}: {}", self.what),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, finding) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

/// The name that was probably meant by one that is not known.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let name = plain(name);
    let tolerance = 1 + name.len() / 5;
    // What is much longer or shorter need not be compared, which matters where a name is a megabyte.
    let alike = known.into_iter().filter(|known| known.len().abs_diff(name.len()) <= tolerance);
    let distance = |known: &str| strsim::damerau_levenshtein(&name, &plain(known));
    let (distance, known) = alike.map(|known| (distance(known), known)).min_by_key(|(far, _)| *far)?;
    (distance <= tolerance).then_some(known)
}
