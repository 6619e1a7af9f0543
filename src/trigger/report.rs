//! Prints a webhook and its reply. Bodies are printed byte for byte, unless they can be indented without a change.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::{Reply, Webhook};
use crate::openim::{Explanation, Interpretation};

/// The object of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    callback: &'static str,
    rpc: &'static str,
    url: &'a str,
    operation_id: &'a str,
    request: Box<RawValue>,
    status: u16,
    headers: BTreeMap<&'a str, String>,
    reply: Box<RawValue>,
    milliseconds: f64,
    verdict: Interpretation,
    openim: &'a [Explanation],
}

impl<'a> Report<'a> {
    /// Makes the report of a webhook that was posted to this URL.
    pub(crate) fn new(url: &'a str, webhook: &'a Webhook, reply: &'a Reply) -> serde_json::Result<Self> {
        let callback = webhook.callback();
        Ok(Self {
            callback: callback.config_key,
            rpc: callback.rpc,
            url,
            operation_id: &webhook.operation_id,
            request: json(&webhook.body)?,
            status: reply.response.status().as_u16(),
            headers: texts(reply.response.headers()).collect(),
            reply: json(reply.response.body())?,
            milliseconds: reply.millis,
            verdict: reply.verdict(),
            openim: &reply.explanations,
        })
    }
}

/// Prints a webhook as text, and its reply if there is one.
pub(crate) fn print(url: &str, webhook: &Webhook, reply: Option<&Reply>, out: &mut impl Write) -> io::Result<()> {
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    writeln!(out, "{bold}POST {url}{bold:#}")?;
    writeln!(out, "{dim}operationID: {}{dim:#}", webhook.operation_id)?;
    writeln!(out, "{}\n", indented(&webhook.body))?;
    let Some(reply) = reply else { return Ok(()) };
    writeln!(out, "{bold}{} after {:.1} ms{bold:#}", reply.response.status(), reply.millis)?;
    for (name, value) in texts(reply.response.headers()) {
        writeln!(out, "{dim}{name}: {value}{dim:#}")?;
    }
    writeln!(out, "{}\n", indented(reply.response.body()))?;
    if webhook.callback().releases.is_empty() {
        writeln!(out, "{dim}No OpenIM that is known sends this callback.{dim:#}")?;
    }
    for Explanation { releases, verdict, sentence } in &reply.explanations {
        let color = match verdict {
            Interpretation::Allowed | Interpretation::Told => AnsiColor::Green,
            Interpretation::Changed => AnsiColor::Cyan,
            Interpretation::Denied => AnsiColor::Yellow,
            Interpretation::Unreadable | Interpretation::Harmful => AnsiColor::Red,
        };
        let style = color.on_default().bold();
        writeln!(out, "OpenIM {}: {style}{verdict}{style:#}: {sentence}", releases.join(", "))?;
    }
    Ok(())
}

fn texts(headers: &HeaderMap) -> impl Iterator<Item = (&str, String)> {
    headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
}

/// Returns a body as it is if it is JSON, else as a JSON string.
fn json(body: &[u8]) -> serde_json::Result<Box<RawValue>> {
    serde_json::from_slice(body).or_else(|_| to_raw_value(&String::from_utf8_lossy(body)))
}

/// Indents JSON that can be written anew without a change.
fn indented(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(json) if json.to_string().as_bytes() == body => format!("{json:#}"),
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}
