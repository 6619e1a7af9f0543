//! The contract in; messages, service traits and descriptors out.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

/// The only source. Set it to where you keep your copy.
const PROTO: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let mut compiler = protox::Compiler::new([PROTO])?;
    // Source info carries the comments, so that the generated code has the contract's manual.
    compiler.include_imports(true).include_source_info(true).open_files([
        "openim/policy/v1/group.proto",
        "openim/policy/v1/message.proto",
        "openim/policy/v1/relation.proto",
    ])?;

    // For reflection. protox's own encoding keeps the custom options, prost's types would drop them.
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        // Clients, without connecting by themselves, are for the tests.
        .build_transport(false)
        // An rpc that the policy does not implement answers UNIMPLEMENTED, instead of being asked for by the compiler.
        .generate_default_stubs(true)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
