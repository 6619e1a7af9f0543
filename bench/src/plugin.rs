//! Runs protoc's plugins without protoc: a request in, files out (google/protobuf/compiler/plugin.proto).

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use prost::Message;

/// `FileDescriptorSet`, whose files stay as they are: read and written again they would lose their annotations.
#[derive(Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

/// `CodeGeneratorRequest`.
#[derive(Message)]
struct Request {
    #[prost(string, repeated, tag = "1")]
    file_to_generate: Vec<String>,
    #[prost(string, tag = "2")]
    parameter: String,
    #[prost(bytes = "vec", repeated, tag = "15")]
    proto_file: Vec<Vec<u8>>,
}

/// `CodeGeneratorResponse`.
#[derive(Message)]
struct Response {
    #[prost(string, optional, tag = "1")]
    error: Option<String>,
    #[prost(message, repeated, tag = "15")]
    file: Vec<File>,
}

#[derive(Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "15")]
    content: String,
}

/// Has a plugin generate code for one of the descriptors' files into a folder.
pub fn generate(plugin: &Path, descriptors: &[u8], file: &str, into: &Path) -> Result<()> {
    let name = plugin.display();
    let request = Request {
        file_to_generate: vec![file.to_owned()],
        parameter: "paths=source_relative".to_owned(),
        proto_file: Files::decode(descriptors).context("the descriptors are none")?.file,
    };
    let mut command = Command::new(plugin);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().with_context(|| format!("cannot run {name}"))?;
    // It answers when it has read all, and knows that by the end of the input.
    let mut stdin = running.stdin.take().context("a plugin without a stdin")?;
    stdin.write_all(&request.encode_to_vec()).with_context(|| format!("{name} does not read"))?;
    drop(stdin);
    let ran = running.wait_with_output().with_context(|| format!("{name} cannot be heard"))?;
    ensure!(ran.status.success(), "{name} failed: {}", String::from_utf8_lossy(&ran.stderr).trim());
    let response = Response::decode(ran.stdout.as_slice()).with_context(|| format!("{name} gave no answer"))?;
    if let Some(error) = response.error {
        bail!("{name}: {error}");
    }
    for File { name, content } in response.file {
        // No plugin of these makes a folder; one that did would write elsewhere.
        ensure!(!name.contains('/'), "a plugin wants to write {name}");
        fs::write(into.join(&name), content).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}
