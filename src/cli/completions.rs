//! `hookgate completions`: shell completions.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, examples};

/// Options of `hookgate completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(&["hookgate completions bash > /usr/share/bash-completion/completions/hookgate"]))]
pub(super) struct Completions {
    /// Shell to print the completions for
    shell: Shell,
}

impl Completions {
    /// Prints the completions.
    pub(super) fn run(&self) -> io::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "hookgate", &mut script);
        io::Write::write_all(&mut io::stdout().lock(), &script)
    }
}
