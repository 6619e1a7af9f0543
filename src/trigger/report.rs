//! A webhook and its reply, shown. Bodies are shown as they were: nothing of them is read and written anew.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::{Outlook, Reply, Verdict, Webhook};

/// All of it, for programs.
#[derive(Debug, Serialize)]
struct Report<'a> {
    callback: &'static str,
    rpc: &'static str,
    url: &'a str,
    operation_id: &'a str,
    request: Box<RawValue>,
    status: u16,
    headers: BTreeMap<&'a str, String>,
    reply: Box<RawValue>,
    milliseconds: f64,
    verdict: Option<Verdict>,
    openim: &'a [Outlook],
}

/// For programs: one JSON object.
pub fn report(
    url: &str,
    webhook: &Webhook,
    reply: &Reply,
    outlooks: &[Outlook],
    out: &mut impl Write,
) -> io::Result<()> {
    let callback = webhook.callback();
    let report = Report {
        callback: callback.config_key,
        rpc: callback.rpc,
        url,
        operation_id: &webhook.operation_id,
        request: json(&webhook.body)?,
        status: reply.status.as_u16(),
        headers: texts(&reply.headers).collect(),
        reply: json(&reply.body)?,
        milliseconds: reply.took.as_secs_f64() * 1000.0,
        verdict: outlooks.first().map(|outlook| outlook.verdict),
        openim: outlooks,
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

/// For people: all of it, as far as there is a reply.
pub fn print(
    url: &str,
    webhook: &Webhook,
    reply: Option<&Reply>,
    outlooks: &[Outlook],
    out: &mut impl Write,
) -> io::Result<()> {
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    writeln!(out, "{bold}POST {url}{bold:#}")?;
    writeln!(out, "{dim}operationID: {}{dim:#}", webhook.operation_id)?;
    writeln!(out, "{}\n", pretty(&webhook.body))?;
    let Some(reply) = reply else { return Ok(()) };
    writeln!(out, "{bold}{} after {:.1} ms{bold:#}", reply.status, reply.took.as_secs_f64() * 1000.0)?;
    for (name, value) in texts(&reply.headers) {
        writeln!(out, "{dim}{name}: {value}{dim:#}")?;
    }
    writeln!(out, "{}\n", pretty(&reply.body))?;
    if webhook.callback().releases.is_empty() {
        writeln!(out, "{dim}No OpenIM that is known sends this callback.{dim:#}")?;
    }
    for Outlook { releases, verdict, sentence } in outlooks {
        let style = style(*verdict);
        writeln!(out, "OpenIM {}: {style}{}{style:#}: {sentence}", releases.join(", "), verdict.as_str())?;
    }
    Ok(())
}

fn texts(headers: &HeaderMap) -> impl Iterator<Item = (&str, String)> {
    headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
}

fn style(verdict: Verdict) -> Style {
    let color = match verdict {
        Verdict::Allowed | Verdict::Told => AnsiColor::Green,
        Verdict::Changed => AnsiColor::Cyan,
        Verdict::Denied => AnsiColor::Yellow,
        Verdict::Unreadable | Verdict::Harmful => AnsiColor::Red,
    };
    color.on_default().bold()
}

/// JSON as it is, or a JSON string of the text that should have been some.
fn json(body: &[u8]) -> serde_json::Result<Box<RawValue>> {
    serde_json::from_slice(body).or_else(|_| to_raw_value(&String::from_utf8_lossy(body)))
}

/// JSON over several lines, where that says the same.
fn pretty(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(json) if json.to_string().as_bytes() == body => format!("{json:#}"),
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}
