//! The webhook that was posted last, kept in the user's cache folder for nobody else to read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Webhook;

/// The first line of the file; the rest is the body.
#[derive(Serialize, Deserialize)]
struct Head {
    command: String,
    operation_id: String,
}

fn file() -> io::Result<PathBuf> {
    let cache = dirs::cache_dir().ok_or_else(|| io::Error::other("this user has no folder for caches"))?;
    Ok(cache.join("hookgate").join("last-webhook"))
}

/// Keeps a webhook in place of the last one.
pub fn remember(webhook: &Webhook) -> io::Result<()> {
    let file = file()?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let head = Head { command: webhook.command.clone(), operation_id: webhook.operation_id.clone() };
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(out, "{}", serde_json::to_string(&head)?)?;
    out.write_all(&webhook.body)
}

/// The webhook that was posted last; none where there was none.
pub fn recall() -> io::Result<Option<Webhook>> {
    let kept = match File::open(file()?).and_then(|mut file| {
        let mut kept = Vec::new();
        io::Read::read_to_end(&mut file, &mut kept)?;
        Ok(kept)
    }) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let end = kept.iter().position(|byte| *byte == b'\n').unwrap_or(kept.len());
    let Head { command, operation_id } = serde_json::from_slice(&kept[..end])?;
    let body = kept.get(end + 1..).unwrap_or_default().to_vec().into();
    Ok(Some(Webhook { command, operation_id, body }))
}
