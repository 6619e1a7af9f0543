//! Prints a webhook and its reply. Bodies are printed byte for byte, unless they can be indented without a change.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use terminal_size::{Width, terminal_size_of};
use textwrap::{Options, WordSplitter, fill};

use super::{Account, Reply, Webhook};
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
    print_notes(reply.is_of_hookgate(), &reply.notes, out)?;
    if webhook.callback().releases.is_empty() {
        writeln!(out, "{dim}No OpenIM that is known sends this callback.{dim:#}")?;
    }
    for Explanation { releases, verdict, sentence, emptied } in &reply.explanations {
        let color = match verdict {
            Interpretation::Allowed | Interpretation::Told => AnsiColor::Green,
            Interpretation::Changed if emptied.is_empty() => AnsiColor::Cyan,
            Interpretation::Changed | Interpretation::Denied => AnsiColor::Yellow,
            Interpretation::Unreadable | Interpretation::Harmful => AnsiColor::Red,
        };
        let style = color.on_default().bold();
        let line = format!("OpenIM {}: {style}{verdict}{style:#}: {sentence}", releases.join(", "));
        writeln!(out, "{}", wrapped(&line))?;
    }
    Ok(())
}

/// Prints the notes on a reply.
pub(super) fn print_notes(is_of_hookgate: bool, notes: &[String], out: &mut impl Write) -> io::Result<()> {
    let (by, color) = if is_of_hookgate { ("hookgate", AnsiColor::Yellow) } else { ("no hookgate", AnsiColor::Red) };
    let style = color.on_default().bold();
    notes.iter().try_for_each(|note| writeln!(out, "{}", wrapped(&format!("{style}{by}:{style:#} {note}"))))
}

/// Wraps a line between words to the width of the terminal. It stays one line if standard output is no terminal.
fn wrapped(line: &str) -> String {
    let Some((Width(width), _)) = terminal_size_of(io::stdout()) else { return line.to_owned() };
    let options = Options::new(width.into()).subsequent_indent("    ");
    fill(line, options.word_splitter(WordSplitter::NoHyphenation))
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
