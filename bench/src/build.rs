//! Other programs that are run to the end: compilers, and who tells its version.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// This package's folder.
pub fn here() -> PathBuf {
    PathBuf::from(HERE)
}

/// A folder for what is made on the way, which no repository keeps.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let place = here().join("target").join(name);
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    Ok(place)
}

/// Builds the repository's hookgate as people do; where the binary is.
pub fn hookgate() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--release",
        "--locked",
        "--bin",
        "hookgate",
        "--message-format",
        "json-render-diagnostics",
    ]);
    // What it says while it builds is for whoever waits.
    command.current_dir(here().join("..")).stderr(Stdio::inherit());
    let built = command.output().context("cannot run cargo")?;
    ensure!(built.status.success(), "hookgate cannot be built");
    let said = String::from_utf8_lossy(&built.stdout);
    let messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.next_back().context("cargo built no hookgate")
}

/// What a program prints, or what it complained about.
pub fn output(program: &Path, arguments: &[&str]) -> Result<String> {
    let name = program.display();
    let ran = Command::new(program).args(arguments).output().with_context(|| format!("cannot run {name}"))?;
    let complaint = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{name} {} failed: {}", arguments.join(" "), complaint.trim());
    Ok(String::from_utf8_lossy(&ran.stdout).trim().to_owned())
}

pub fn on_path(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let places = env::var_os("PATH")?;
    env::split_paths(&places).map(|place| place.join(program.as_ref())).find(|file| file.is_file())
}
