//! One callback in full.

use std::io::{self, Write};

use crate::config::Config;
use crate::contract::comments::Comments;
use crate::contract::{Callback, Kind, Label, Message, Timing};
use crate::text::{BOLD, width, wrapped};

/// The columns before the facts about a callback.
const FACTS: usize = 13;

/// The columns before the meaning of a field.
const MEANING: usize = 6;

/// Prints what there is to know about a callback: its names, when it is sent, what it carries, what an answer can change; with
/// a configuration, who is asked.
pub(super) fn print(
    callback: &Callback,
    config: Option<&Config>,
    comments: &Comments,
    out: &mut impl Write,
) -> io::Result<()> {
    let width = width();
    writeln!(out, "{BOLD}{}{BOLD:#}\n", callback.config_key)?;
    for paragraph in comments.of_callback(callback).split("\n\n") {
        writeln!(out, "{}\n", wrapped(&on_one_line(paragraph), 0, width))?;
    }
    let older = |names: &[&str]| match names {
        [] => String::new(),
        names => format!(" (older servers: {})", names.join(", ")),
    };
    let timing = match callback.timing {
        Timing::Before => "before: OpenIM waits for the reply and obeys it",
        Timing::After => "after: OpenIM tells what has happened",
    };
    let failure = match (callback.timing, callback.fails_open) {
        (Timing::After, _) => "delivered again until the policy answers".to_owned(),
        (Timing::Before, true) => format!("allow, unless callbacks.{}.on_failure says otherwise", callback.config_key),
        (Timing::Before, false) => "deny, unless on_failure says otherwise".to_owned(),
    };
    let facts = [
        ("key", format!("{}{}, in OpenIM's webhooks.yml", callback.config_key, older(callback.older_config_keys))),
        ("command", format!("{}{}", callback.command, older(callback.older_commands))),
        ("rpc", format!("{}, in the package openim.policy.v1", callback.service_and_method())),
        ("timing", timing.to_owned()),
        ("on failure", failure),
        ("releases", callback.releases.join(", ")),
    ];
    let order = order(callback).map(|order| ("order", order));
    let asked = config.map(|config| ("asked", super::asked(callback, config)));
    for (name, fact) in facts.into_iter().chain(order).chain(asked) {
        writeln!(out, "{}", wrapped(&format!("{name:<FACTS$}{fact}"), FACTS, width))?;
    }
    let (request, response) = (callback.request, callback.response);
    writeln!(out, "\nRequest {}: fields, with OpenIM's names", request.name)?;
    print_fields(request, "", false, 0, comments, out)?;
    let changes = if callback.changes().next().is_some() { "or changes" } else { "and no changes" };
    writeln!(out, "\nResponse {}: a denial, {changes}", response.name)?;
    // The first field of a response is its denial.
    print_fields(response, "", false, 1, comments, out)
}

/// Returns what the events of a callback are delivered in order by, and with which others; `None` for a Before callback.
fn order(callback: &Callback) -> Option<String> {
    if callback.timing == Timing::Before {
        return None;
    }
    let fields: Vec<_> = callback.ordering_fields().map(|names| names.join(" and ")).collect();
    let others: Vec<_> = callback.ordered_with().map(|other| other.config_key).collect();
    let by = fields.join(", else ");
    Some(match &*others {
        _ if fields.is_empty() => "none".to_owned(),
        [] => format!("by {by}"),
        others => format!("by {by}, in one order ({}) with {}", callback.order_domain, others.join(", ")),
    })
}

/// Prints the fields of a message without the first `skipped`, and those inside of them, with `path` before their names.
fn print_fields(
    message: &Message,
    path: &str,
    is_bare: bool,
    skipped: usize,
    comments: &Comments,
    out: &mut impl Write,
) -> io::Result<()> {
    for field in message.fields.iter().skip(skipped) {
        let (kind, inner) = match field.kind {
            Kind::Message(inner) | Kind::Bare(inner) => (inner.name, Some(inner)),
            scalar => (scalar.into(), None),
        };
        let (label, of_each) = match field.label {
            Label::Plain => ("", ""),
            Label::Optional => ("optional ", ""),
            Label::Repeated => ("repeated ", "[]"),
            Label::Map => ("map of ", "{}"),
        };
        let group = field.group.map(|group| format!("{}.", message.groups[group].name)).unwrap_or_default();
        let path = format!("{path}{group}{}", field.name);
        // A bare list or map is the value of the field that holds it: its own name is not in the JSON.
        let json = if field.json == field.name || is_bare { String::new() } else { format!(" ({})", field.json) };
        writeln!(out, "{}", wrapped(&format!("  {path}{json}: {label}{kind}"), MEANING, width()))?;
        let meaning = format!("{:MEANING$}{}", "", on_one_line(comments.of_field(message, field)));
        writeln!(out, "{}", wrapped(&meaning, MEANING, width()))?;
        if let Some(inner) = inner {
            let is_bare = matches!(field.kind, Kind::Bare(_));
            print_fields(inner, &format!("{path}{of_each}."), is_bare, 0, comments, out)?;
        }
    }
    Ok(())
}

/// Joins the lines of a comment.
fn on_one_line(comment: &str) -> String {
    comment.split_whitespace().collect::<Vec<_>>().join(" ")
}
