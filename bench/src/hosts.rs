//! A name with several addresses, for one process alone: a hosts file of its own in a mount namespace of its own.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::build;

const NAME: &str = "policy.bench";

/// A policy that a process reaches by name, when it is run within.
pub struct Named {
    /// Host and port.
    pub policy: String,
    file: PathBuf,
}

/// 127.0.0.1 and on are the name's addresses.
pub fn policy_behind_a_name(addresses: u8, port: u16) -> Result<Named> {
    build::on_path("unshare").context("a name with several addresses needs the program unshare (util-linux)")?;
    let file = build::scratch("growth")?.join("hosts");
    let lines: String = (1..=addresses).map(|last| format!("127.0.0.{last} {NAME}\n")).collect();
    fs::write(&file, lines).context("cannot write a hosts file")?;
    Ok(Named { policy: format!("{NAME}:{port}"), file })
}

impl Named {
    /// The command that runs another one where the name is known. It is the same process in the end.
    pub fn around(&self, command: Vec<OsString>) -> Vec<OsString> {
        let script = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
        let unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script];
        let mut around: Vec<OsString> = unshare.map(OsString::from).to_vec();
        around.push(self.file.clone().into_os_string());
        around.extend(command);
        around
    }
}
