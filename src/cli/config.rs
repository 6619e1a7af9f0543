//! `hookgate config`: writes, checks and prints the configuration, without serving.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::{Error, complain};
use crate::config::{self, Loaded, Options};
use crate::reload::Source;

/// Subcommands of `hookgate config`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Config {
    /// Check the configuration: print all mistakes (exit code 2) or warnings, and ok
    Check(Options),
    /// Print the resolved configuration as YAML, which --config reads back
    Print(Options),
    /// Write a file with every setting and its default, as comments, to start from
    Init {
        /// File to write; an existing file is not overwritten
        #[arg(default_value = "hookgate.yaml")]
        file: PathBuf,
    },
}

impl Config {
    /// Runs the subcommand.
    pub(super) fn run(self) -> Result<(), Error> {
        let text = match self {
            // The one of serve, which also checks that the decision log can be written.
            Self::Check(options) => {
                warn(&Source::load(&options)?.1);
                "ok\n".to_owned()
            }
            Self::Print(options) => {
                let loaded = config::Config::load(&options)?;
                warn(&loaded);
                config::print(&loaded)
            }
            Self::Init { file } => {
                let written = File::create_new(&file).and_then(|mut to| to.write_all(config::init().as_bytes()));
                written.map_err(|error| Error::Usage(format!("cannot write {}: {error}", file.display())))?;
                format!("wrote {}\n", file.display())
            }
        };
        Ok(io::stdout().lock().write_all(text.as_bytes())?)
    }
}

fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        complain(format_args!("warning: {warning}"));
    }
}
