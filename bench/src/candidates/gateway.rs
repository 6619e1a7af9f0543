//! grpc-gateway, a reverse proxy of generated Go code; made here with Go alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Candidate, DESCRIPTORS, Kind, note};
use crate::{build, plugin};

/// The generators, and the packages that they are built from.
const PLUGINS: [(&str, &str); 3] = [
    ("protoc-gen-go", "google.golang.org/protobuf/cmd/protoc-gen-go"),
    ("protoc-gen-go-grpc", "google.golang.org/grpc/cmd/protoc-gen-go-grpc"),
    ("protoc-gen-grpc-gateway", "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway"),
];

/// Where the code goes, in the module.
const GENERATED: &str = "flat";

/// Builds the generators, generates, and builds the gateway.
pub fn build() -> Result<Candidate> {
    ensure!(build::on_path("go").is_some(), "grpc-gateway (no `go` on the path)");
    note("building grpc-gateway");
    let module = build::here().join("peers/grpc-gateway");
    let programs = build::scratch("grpc-gateway")?;
    let packages = PLUGINS.map(|(_, package)| package);
    go(&module, &programs, &packages).context("grpc-gateway (its generators cannot be built)")?;
    let generated = module.join(GENERATED);
    fs::create_dir_all(&generated).context("grpc-gateway (no folder for its code)")?;
    for (name, _) in PLUGINS {
        plugin::generate(&programs.join(name), DESCRIPTORS, "flat.proto", &generated)?;
    }
    go(&module, &programs, &["."]).context("grpc-gateway")?;
    let list = ["-C", &text(&module)?, "list", "-m", "github.com/grpc-ecosystem/grpc-gateway/v2"];
    let version = build::output(Path::new("go"), &list)?;
    let version = version.rsplit(' ').next().unwrap_or_default();
    let go = build::output(Path::new("go"), &["env", "GOVERSION"])?;
    Ok(Candidate {
        name: "grpc-gateway".to_owned(),
        version: Some(format!("grpc-gateway {} ({go})", version.trim_start_matches('v'))),
        kind: Kind::Gateway(programs.join("gateway")),
    })
}

fn go(module: &Path, programs: &Path, packages: &[&str]) -> Result<()> {
    let mut command = Command::new("go");
    command.current_dir(module).args(["build", "-buildvcs=false", "-o"]).arg(programs).args(packages);
    let ran = command.output().context("cannot run go")?;
    ensure!(ran.status.success(), "go build failed: {}", String::from_utf8_lossy(&ran.stderr).trim());
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).context("the path of the build is no text")
}
