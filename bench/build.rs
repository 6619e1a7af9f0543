//! hookgate's own contract in, for the handler by hand; the transcoders' descriptors out.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const CONTRACT: &str = "../proto";
const PEERS: &str = "peers/proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={CONTRACT}");
    println!("cargo:rerun-if-changed={PEERS}");

    let mut contract = protox::Compiler::new([CONTRACT])?;
    contract.include_imports(true).open_files(["openim/policy/v1/message.proto", "openim/policy/v1/relation.proto"])?;
    tonic_prost_build::configure().build_server(false).compile_fds(contract.file_descriptor_set())?;

    let mut flat = protox::Compiler::new([PEERS])?;
    flat.include_imports(true).open_file("flat.proto")?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    // protox's own encoding keeps the annotations, prost's types would drop them.
    fs::write(out.join("flat.bin"), flat.encode_file_descriptor_set())?;
    Ok(())
}
