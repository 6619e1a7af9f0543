//! Prints a webhook and its reply. Bodies are printed byte for byte, unless they can be indented without a change.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::Style;
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::{Account, Reply, Webhook};
use crate::openim::{Explanation, Interpretation};
use crate::text::{BAD, BOLD, DIM, GOOD, NOTABLE, columns, wrapped};

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
    /// Null if no hookgate wrote the reply.
    hookgate: Option<Account<'a>>,
    notes: &'a [String],
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
            hookgate: reply.account(),
            notes: &reply.notes,
            verdict: reply.verdict(),
            openim: &reply.explanations,
        })
    }
}

/// Prints a webhook as text, and its reply if there is one.
pub(crate) fn print(url: &str, webhook: &Webhook, reply: Option<&Reply>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{BOLD}POST {url}{BOLD:#}")?;
    writeln!(out, "operationID: {}", webhook.operation_id)?;
    writeln!(out, "{}\n", indented(&webhook.body))?;
    let Some(reply) = reply else { return Ok(()) };
    writeln!(out, "{BOLD}{} after {:.1} ms{BOLD:#}", reply.response.status(), reply.millis)?;
    for (name, value) in texts(reply.response.headers()) {
        let style = if name.starts_with("hookgate-") { Style::new() } else { DIM };
        writeln!(out, "{style}{name}: {value}{style:#}")?;
    }
    writeln!(out, "{}\n", indented(reply.response.body()))?;
    print_notes(reply.is_of_hookgate(), &reply.notes, out)?;
    if webhook.callback().releases.is_empty() {
        writeln!(out, "{NOTABLE}No OpenIM that is known sends this callback.{NOTABLE:#}")?;
    }
    for Explanation { releases, verdict, sentence, emptied } in &reply.explanations {
        let style = match verdict {
            Interpretation::Allowed | Interpretation::Told => GOOD,
            Interpretation::Changed if emptied.is_empty() => GOOD,
            Interpretation::Changed | Interpretation::Denied => NOTABLE,
            Interpretation::Unreadable | Interpretation::Harmful => BAD,
        };
        print_line(&format!("OpenIM {}: {style}{verdict}{style:#}: {sentence}", releases.join(", ")), out)?;
    }
    Ok(())
}

/// Prints the notes on a reply.
pub(super) fn print_notes(is_of_hookgate: bool, notes: &[String], out: &mut impl Write) -> io::Result<()> {
    let (by, style) = if is_of_hookgate { ("hookgate", NOTABLE) } else { ("no hookgate", BAD) };
    notes.iter().try_for_each(|note| print_line(&format!("{style}{by}:{style:#} {note}"), out))
}

/// Prints a line, wrapped to the terminal. It stays one line if standard output is none and `COLUMNS` is not set.
pub(super) fn print_line(line: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", wrapped(line, 4, columns().unwrap_or(usize::MAX)))
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
