//! Compiles the .proto files to messages, service traits, the callback table and the descriptors. Names the commit.

use std::path::{Path, PathBuf};
use std::{env, error::Error, ffi::OsStr, fs};

#[path = "build/commit.rs"]
mod commit;
#[path = "build/contract.rs"]
mod contract;
#[path = "build/table.rs"]
mod table;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=tests/fixtures");

    name_commit();

    let mut files: Vec<PathBuf> = fs::read_dir("proto/openim/policy/v1")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    fs::write(out.join("files.rs"), embedded(&files)?)?;

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let contract = contract::read(&compiler.descriptor_pool())?;
    fs::write(out.join("table.rs"), table::table(&contract, &examples()?)?)?;
    // protox's own encoding keeps the options of options.proto; prost's types drop them.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    // The clients take any transport; none brings its own.
    tonic_prost_build::configure().build_transport(false).compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Gives the commit to the program, as `HOOKGATE_COMMIT`: from the variable of that name, or in release builds from git. A
/// development build has none, or it would be made anew after each commit.
fn name_commit() {
    println!("cargo:rerun-if-env-changed=HOOKGATE_COMMIT");
    let is_given = env::var_os("HOOKGATE_COMMIT").is_some_and(|commit| !commit.is_empty());
    if is_given || env::var_os("PROFILE").is_none_or(|profile| profile != "release") {
        return;
    }
    let here = Path::new(".");
    if let Some(commit) = commit::of_clone(here) {
        println!("cargo:rustc-env=HOOKGATE_COMMIT={commit}");
    }
    if let Some(file) = commit::changes_with(here) {
        println!("cargo:rerun-if-changed={file}");
    }
}

/// Returns the contract's files as Rust source: a list of names and texts.
fn embedded(files: &[PathBuf]) -> Result<String, Box<dyn Error>> {
    let mut list = String::from("[\n");
    for file in files {
        let name = file.strip_prefix("proto")?;
        list += &format!("    ({name:?}, include_str!({:?})),\n", file.canonicalize()?);
    }
    Ok(list + "]\n")
}

/// Returns an example body of each webhook: the one of its fixture's first story.
fn examples() -> Result<table::Examples, Box<dyn Error>> {
    let mut examples = table::Examples::new();
    for entry in fs::read_dir("tests/fixtures")? {
        let file = entry?.path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let fixture: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
        let command = file.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        examples.insert(command.to_owned(), fixture["stories"][0]["webhook_sends"].to_string());
    }
    Ok(examples)
}
