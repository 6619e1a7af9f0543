//! `hookgate proto`: writes the contract that this binary was built from.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use super::examples;
use crate::contract::proto::FILES;

/// Options of `hookgate proto`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["hookgate proto --out proto"]))]
pub(super) struct Proto {
    /// Directory for the files, which code generators get as the root of imports
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Proto {
    /// Writes the files, over those of another version.
    pub(super) fn run(self) -> io::Result<()> {
        for (name, text) in FILES {
            let file = self.out.join(name);
            let folder = file.parent().unwrap_or(&self.out);
            let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text));
            written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
        }
        writeln!(io::stdout(), "{} files in {}", FILES.len(), self.out.join("openim/policy/v1").display())
    }
}
