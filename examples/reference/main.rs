//! Writes the generated references under `docs/`: `cargo run --example reference`. A test (`tests/reference.rs`) fails when
//! they are stale.

mod command_line;
mod configuration;
mod contract;
mod pages;
mod schema;

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for folder in ["reference/contract", "man"] {
        let folder = docs.join(folder);
        // A page of something that is gone must not stay.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
    }
    for (path, text) in pages::all() {
        fs::write(docs.join(path), text)?;
    }
    Ok(())
}
