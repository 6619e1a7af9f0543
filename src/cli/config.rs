//! `hookgate config`: writes, checks and prints the configuration, without serving.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use tabwriter::TabWriter;

use super::{Error, complain, examples};
use crate::config::{self, Loaded, Options};
use crate::reload::Source;

/// Subcommands of `hookgate config`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Config {
    /// Check the configuration: print all mistakes (exit code 2) or warnings, and ok
    #[command(after_help = examples(&[
        "hookgate config check --config hookgate.yaml",
        "hookgate config check --config hookgate.yaml --openim-webhooks webhooks.yml",
    ]))]
    Check(Options),
    /// Print the resolved configuration as YAML, which --config reads back
    #[command(after_help = examples(&["hookgate config print --config hookgate.yaml", "hookgate config print --all"]))]
    Print {
        #[command(flatten)]
        options: Options,

        /// List every setting on a line: its path, where it comes from (default, file, variable, flag), its value
        #[arg(long)]
        all: bool,
    },
    /// Write a file with every setting and its default, as comments, to start from
    #[command(after_help = examples(&["hookgate config init", "hookgate config init /etc/hookgate/hookgate.yaml"]))]
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
            Self::Print { options, all } => {
                let loaded = config::Config::load(&options)?;
                warn(&loaded);
                if all { list(&loaded)? } else { config::print(&loaded) }
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

/// Returns a table of all settings.
fn list(loaded: &Loaded) -> io::Result<String> {
    let mut table = TabWriter::new(Vec::new());
    writeln!(table, "SETTING\tFROM\tVALUE")?;
    for row in config::list(loaded) {
        writeln!(table, "{}", row.join("\t"))?;
    }
    let bytes = table.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        complain(format_args!("warning: {warning}"));
    }
}
