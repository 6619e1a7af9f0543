//! The log's format, traces and the decision log.

use std::path::PathBuf;

use http::Uri;

use super::settings;
use crate::config::address::grpc_url;
use crate::config::report::{did_you_mean, nearest};
use crate::config::value::{Kind, fraction, quoted};
use crate::contract::request_field_names;

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum LogFormat {
    /// A line of text: time, level, phrase and fields.
    Text,
    /// A JSON object on a line.
    Json,
}

settings! {
    /// Export of traces.
    pub struct Traces("traces"), |config| config.traces;

    /// Collector of traces, OTLP over gRPC, as in http://127.0.0.1:4317. Without it there are no traces.
    endpoint: Option<Uri> = None, collector().optional(), needs_restart = true;

    /// Fraction of webhooks that are traced, from 0 to 1, of those without a traceparent; a caller's traceparent decides
    /// for itself.
    sample: f64 = 1.0, fraction(), needs_restart = true;
}

fn collector() -> Kind<Uri> {
    let expected = "expected http:// or https://, a host and a port, as in http://127.0.0.1:4317";
    let no_user = "a user and password are not sent to a collector; OTEL_EXPORTER_OTLP_HEADERS are";
    Kind::quoted("URL", move |text| grpc_url(text, expected, no_user))
}

settings! {
    /// The decision log: one line for each verdict.
    pub struct Decisions("decisions"), |config| config.decisions;

    /// Destination of the decision log, one JSON line for each verdict: stdout, or a file, which may be moved away at any
    /// time. Without it the log is off.
    to: Option<DecisionsTo> = None, destination().optional();

    /// Fraction of plain allows that is logged, from 0 to 1; all other verdicts always are.
    allows: f64 = 1.0, fraction(), needs = "decisions.to";

    /// Request fields to log beside the IDs of users and groups, by the contract's names, as in message.content.
    fields: Vec<String> = Vec::new(), request_field().list(), needs = "decisions.to";
}

/// Destination of the decision log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionsTo {
    /// Standard output.
    Stdout,
    /// The end of this file.
    File(PathBuf),
}

fn destination() -> Kind<DecisionsTo> {
    let read = |text: &str| match text {
        "" => Err("expected stdout or a file".to_owned()),
        // Opened as a file, a pipe or socket behind these names could not be appended to.
        "stdout" | "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Ok(DecisionsTo::Stdout),
        file => Ok(DecisionsTo::File(file.into())),
    };
    let print = |to: &DecisionsTo| match to {
        DecisionsTo::Stdout => "stdout".to_owned(),
        DecisionsTo::File(file) => quoted(&file.display().to_string()),
    };
    Kind::new("stdout or path", read, print)
}

fn request_field() -> Kind<String> {
    Kind::quoted("request field", |name| {
        let names = request_field_names();
        if names.contains(name) {
            return Ok(name.to_owned());
        }
        // Often the last part is right, and the message that holds it is missing.
        let within = || names.iter().find(|known| known.rsplit_once('.').is_some_and(|(_, last)| last == name));
        let meant = nearest(name, names.iter().map(String::as_str)).or_else(|| within().map(String::as_str));
        let hint = did_you_mean(meant, "docs/reference/contract lists the names");
        Err(format!("{name:?}: no request has such a field; {hint}"))
    })
}
