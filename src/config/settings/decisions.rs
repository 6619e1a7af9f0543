//! The decision log.

use std::path::PathBuf;

use super::{Setting, row};
use crate::config::draft::Draft;
use crate::config::report::nearest;
use crate::config::value::{Kind, SHARE, parts, quoted, show_list};
use crate::contract::request_field_names;

/// The decision log: one line a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Decisions {
    /// Where it is written; it is off without that.
    pub to: Option<DecisionsTo>,
    /// The share of plain allows that is written, from 0 to 1.
    pub allows: f64,
    /// The fields of requests that are written beside the IDs of users and groups, as in `message.content`.
    pub fields: Vec<String>,
}

/// Where the decision log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionsTo {
    /// To standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

impl Default for Decisions {
    fn default() -> Self {
        Self { to: None, allows: 1.0, fields: Vec::new() }
    }
}

/// Where lines go, if anywhere.
const TO: Kind<Option<DecisionsTo>> = Kind {
    list: false,
    read: |text| match text {
        "" => Err("expected stdout or a file".to_owned()),
        "stdout" => Ok(Some(DecisionsTo::Stdout)),
        file => Ok(Some(DecisionsTo::File(file.into()))),
    },
    show: |to| match to {
        None => None,
        Some(DecisionsTo::Stdout) => Some("stdout".to_owned()),
        Some(DecisionsTo::File(file)) => Some(quoted(&file.display().to_string())),
    },
};

/// Fields of requests, by the contract's names.
const FIELDS: Kind<Vec<String>> = Kind {
    list: true,
    read: |text| parts(text).map(field).collect(),
    show: |fields| show_list(fields.iter().map(|name| quoted(name))),
};

pub(super) fn rows() -> Vec<Setting<Draft>> {
    vec![
        row(
            "decisions.to",
            TO,
            |d| &mut d.config.decisions.to,
            "Where one JSON line a verdict is written: stdout, or a file, which may be moved away at any time",
        ),
        row(
            "decisions.allows",
            SHARE,
            |d| &mut d.config.decisions.allows,
            "The share of plain allows that is written, from 0 to 1; everything else always is",
        ),
        row(
            "decisions.fields",
            FIELDS,
            |d| &mut d.config.decisions.fields,
            "Fields of requests to write too, beside the IDs of users and groups, by the contract's names as in message.content",
        ),
    ]
}

fn field(name: &str) -> Result<String, String> {
    let names = request_field_names();
    if names.contains(name) {
        return Ok(name.to_owned());
    }
    // Often the last part is right and what it stands in is missing.
    let within = || names.iter().find(|known| known.rsplit_once('.').is_some_and(|(_, last)| last == name));
    let meant = nearest(name, names.iter().map(String::as_str)).or_else(|| within().map(String::as_str));
    let hint = meant.map_or_else(|| "CONTRACT.md has their names".to_owned(), |meant| format!("did you mean {meant}?"));
    Err(format!("{name:?}: no request has such a field; {hint}"))
}
