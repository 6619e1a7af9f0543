//! The last webhook, kept in the user's cache directory and readable by that user alone.
//!
//! The first line of the file is a JSON object of command and operation ID; the rest is the body.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::Webhook;

fn file() -> io::Result<PathBuf> {
    let cache = dirs::cache_dir().ok_or_else(|| io::Error::other("this user has no cache directory"))?;
    Ok(cache.join("hookgate").join("last-webhook"))
}

/// Stores a webhook as the last one.
pub(crate) fn remember(webhook: &Webhook) -> io::Result<()> {
    let file = file()?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(out, "{}", serde_json::to_string(webhook)?)?;
    out.write_all(&webhook.body)
}

/// Reads the last webhook. The error is `NotFound` if there is none.
pub(crate) fn recall() -> io::Result<Webhook> {
    let text = fs::read(file()?)?;
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let webhook: Webhook = serde_json::from_slice(&text[..end])?;
    Ok(Webhook { body: text.get(end + 1..).unwrap_or_default().to_vec().into(), ..webhook })
}
