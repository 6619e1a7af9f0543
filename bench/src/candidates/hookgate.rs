//! hookgate, as people run it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Candidate, Kind, note};
use crate::build;

/// The binaries that were named, or the one of this repository.
pub fn find(named: &[String]) -> Result<Vec<Candidate>> {
    if named.is_empty() {
        note("building hookgate");
        return Ok(vec![candidate("hookgate", build::hookgate()?)?]);
    }
    let mut found: Vec<Candidate> = Vec::new();
    for binary in named {
        let (name, path) = binary.split_once('=').unwrap_or(("hookgate", binary));
        ensure!(
            found.iter().all(|other| other.name != name),
            "two binaries are named {name}: use --hookgate NAME=PATH"
        );
        let path = fs::canonicalize(path).with_context(|| format!("no binary of hookgate at {path}"))?;
        found.push(candidate(name, path)?);
    }
    Ok(found)
}

fn candidate(name: &str, program: PathBuf) -> Result<Candidate> {
    let version = build::output(&program, &["--version"])?;
    Ok(Candidate { name: name.to_owned(), version: Some(version), kind: Kind::Hookgate(program) })
}

pub fn command(program: &Path, policy: &str) -> Vec<OsString> {
    let policy = format!("http://{policy}");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--policy", &policy];
    [program.as_os_str().to_owned()].into_iter().chain(arguments.map(OsString::from)).collect()
}
