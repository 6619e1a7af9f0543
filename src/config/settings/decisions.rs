//! The decision log.

use std::path::PathBuf;

use super::settings;
use crate::config::report::nearest;
use crate::config::value::{Kind, fraction, quoted};
use crate::contract::request_field_names;

settings! {
    /// The decision log: one line for each verdict.
    pub struct Decisions("decisions"), |builder| builder.config.decisions;

    /// Destination of the decision log, one JSON line for each verdict: stdout, or a file, which may be moved away at any
    /// time. Without it the log is off.
    to: Option<DecisionsTo> = None, destination().optional();

    /// Fraction of plain allows that is logged, from 0 to 1; all other verdicts always are.
    allows: f64 = 1.0, fraction(), needs("decisions.to");

    /// Request fields to log beside the IDs of users and groups, by the contract's names, as in message.content.
    fields: Vec<String> = Vec::new(), request_field().list(), needs("decisions.to");
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
        "stdout" => Ok(DecisionsTo::Stdout),
        file => Ok(DecisionsTo::File(file.into())),
    };
    let print = |to: &DecisionsTo| match to {
        DecisionsTo::Stdout => "stdout".to_owned(),
        DecisionsTo::File(file) => quoted(&file.display().to_string()),
    };
    Kind::new("stdout or path", read, print)
}

fn request_field() -> Kind<String> {
    Kind::new("request field", parse_field, |name: &String| quoted(name))
}

fn parse_field(name: &str) -> Result<String, String> {
    let names = request_field_names();
    if names.contains(name) {
        return Ok(name.to_owned());
    }
    // Often the last part is right, and the message that holds it is missing.
    let within = || names.iter().find(|known| known.rsplit_once('.').is_some_and(|(_, last)| last == name));
    let meant = nearest(name, names.iter().map(String::as_str)).or_else(|| within().map(String::as_str));
    let hint = meant
        .map_or_else(|| "docs/reference/contract lists the names".to_owned(), |meant| format!("did you mean {meant}?"));
    Err(format!("{name:?}: no request has such a field; {hint}"))
}
