//! `hookgate config`: what `serve` would run with, without running.

use std::io::{self, Write};

use super::Error;
use crate::config::{self, Options};
use crate::reload::Source;

/// What to do with the configuration.
#[derive(Debug, clap::Subcommand)]
pub enum Config {
    /// Say everything that is wrong with it (exit code 2), or what may not work as it stands, and ok
    Check(Options),
    /// Print what is in force as YAML, which --config reads back
    Print(Options),
}

impl Config {
    /// Does it.
    pub fn run(self) -> Result<(), Error> {
        let loaded = match &self {
            // As serve does, which looks whether what is to be written can be.
            Self::Check(options) => Source::load(options)?.1,
            Self::Print(options) => config::Config::load(options)?,
        };
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        let text = match self {
            Self::Check(_) => "ok\n".to_owned(),
            Self::Print(_) => config::print(&loaded),
        };
        match io::stdout().lock().write_all(text.as_bytes()) {
            // Whoever reads has seen enough (head, less).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}
