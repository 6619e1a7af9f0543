//! CONTRACT.md: the reference of every callback, made of the contract's comments, and how to serve, from docs/policies/serving.md. This
//! test sees to it that the file is current; `HOOKGATE_WRITE_REFERENCE=1 cargo test --test it reference::` makes it so.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hookgate::contract::metadata::{ATTEMPT, COMMAND, EVENT_ID, OPERATION_ID, REPLY_KEY};
use hookgate::contract::{Callback, Timing};
use hookgate::failure::Class;
use http::HeaderName;
use prost_reflect::{Cardinality, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, ServiceDescriptor};

use crate::support::CONTRACT;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/CONTRACT.md");

const INTRODUCTION: &str = "\
# The contract

Every callback of OpenIM that hookgate knows: when it is sent, by which releases, what it carries, what an answer can
change, and what is to be minded. It is made of the comments in [`proto/`](proto/openim/policy/v1), which say the same to
your editor; `hookgate proto --out DIR` writes these files.

Releases are OpenIM's branches: 3.5, 3.7 and 3.8 are `release-v3.x`, 3.8.3 is `3.8.3-patch`, 3.8.4 is `pre-release-v3.8.4`
and what came after. A Before callback is waited for and obeyed, an After callback tells. A field's JSON name stands
beside it where OpenIM's differs from the contract's. Where a response leaves a change out, nothing is changed.

Every request also has `unknown_fields` (number 100): what the webhook carried beyond the contract, JSON path to raw JSON.
Every response has `denial`: a code from 100 on, a message and a detail; it stops the operation. So does the gRPC status
`PERMISSION_DENIED`, whose message is the denial's. Each text is cut at 4 KiB, at a character; bytes that are not UTF-8
become U+FFFD, and the denial stays one.

An event (an After callback) can come twice, with the same `hookgate-event-id` in the metadata: a policy that counts or
writes down notes the IDs that it has dealt with. As texts these IDs sort by the time at which hookgate received the events.
Where a callback is \"in order by\" a field, events with the same value in it come one after another in that order; between two
rpcs no order is kept, so compare the IDs there. OpenIM itself posts events from two workers at once, and repeats some: see each
callback.

[How to serve](#how-to-serve): the connection, the time, metadata, statuses, the longest request, and calls without generated code.
";

/// Chapter that is written by hand, a page of the manual.
const HOW_TO_SERVE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies/serving.md"));

#[test]
fn the_reference_is_current() {
    let reference = reference();
    if std::env::var_os("HOOKGATE_WRITE_REFERENCE").is_some() {
        std::fs::write(FILE, &reference).unwrap();
    }
    let written = std::fs::read_to_string(FILE).unwrap_or_default();
    let differs = written.lines().zip(reference.lines()).find(|(written, now)| written != now);
    assert!(written == reference, "CONTRACT.md is not current, first here: {differs:#?}");
}

#[test]
fn the_reference_has_every_callback_once_with_all_that_is_to_be_known() {
    let reference = reference();
    let sections: Vec<&str> = reference.split("\n### ").skip(1).collect();
    assert_eq!(sections.len(), 54, "53 callbacks and the fallback");
    for callback in Callback::all() {
        let mut its = sections.iter().filter(|section| section.starts_with(&format!("{}\n", callback.method())));
        let (section, twice) = (its.next().unwrap(), its.next());
        assert!(twice.is_none(), "{}", callback.method());
        let facts = [callback.command, callback.config_key, callback.timing.as_str()];
        let names = callback.request.fields.iter().chain(callback.response.fields).map(|field| field.name);
        for fact in facts.into_iter().chain(callback.releases.iter().copied()) {
            assert!(section.contains(fact), "{} lacks {fact}", callback.method());
        }
        for name in names {
            let whole = format!("{section}{reference}");
            assert!(whole.contains(&format!("`{name}`")), "{} lacks {name}", callback.method());
        }
    }
}

#[test]
fn the_reference_says_how_to_serve() {
    let reference = reference();
    let section = reference.split("\n## ").find(|section| section.starts_with("How to serve\n")).unwrap();
    let metadata = [OPERATION_ID, COMMAND, REPLY_KEY, EVENT_ID, ATTEMPT];
    for name in metadata.iter().map(HeaderName::as_str).chain(["grpc-timeout", "traceparent", "tracestate"]) {
        assert!(section.contains(&format!("`{name}`")), "it lacks the metadata {name}");
    }
    for class in Class::ALL {
        assert!(section.contains(&format!("`{}`", class.as_str())), "it lacks the failure {}", class.as_str());
    }
    // Every library's own limit is half of what OpenIM can send.
    for setting in [
        "grpc.MaxRecvMsgSize",
        "maxInboundMessageSize",
        "grpc.max_receive_message_length",
        "SetMaxReceiveMessageSize",
        "max_decoding_message_size",
        "options.MaxReceiveMessageSize",
        "connect.WithReadMaxBytes",
        "readMaxBytes",
    ] {
        assert!(section.contains(setting), "it lacks {setting}");
    }
    let rpc = Callback::by_name("beforeSendSingleMsg").unwrap().rpc;
    for words in [rpc, "application/grpc", "grpc-status", "00 00 00 00 00", "loadSync", "go_package"] {
        assert!(section.contains(words), "it lacks {words}");
    }
}

fn reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    let services: Vec<_> = CONTRACT.services().filter(|service| service.package_name() == "openim.policy.v1").collect();
    for service in &services {
        let _ = writeln!(out, "\n**{}**", service.name());
        for method in service.methods() {
            let _ = writeln!(out, "[{}](#{})", method.name(), method.name().to_lowercase());
        }
    }
    // The page's heading becomes a chapter's.
    let _ = write!(out, "\n#{HOW_TO_SERVE}");
    let mut shared = BTreeSet::new();
    for service in &services {
        write_service(service, &mut shared, &mut out);
    }
    out.push_str("\n## Messages that are shared\n");
    // Those that a shared message holds are shared too.
    let mut written = BTreeSet::new();
    while let Some(name) = shared.iter().find(|name| !written.contains(*name)).cloned() {
        let message = CONTRACT.get_message_by_name(&name).unwrap();
        let _ = writeln!(out, "\n#### {}\n\n{}\n", message.name(), comment(&message.parent_file(), message.path()));
        write_fields(&message, 0, &mut shared, &mut out);
        written.insert(name);
    }
    out
}

fn write_service(service: &ServiceDescriptor, shared: &mut BTreeSet<String>, out: &mut String) {
    let _ = writeln!(out, "\n## {}\n\n{}", service.name(), comment(&service.parent_file(), service.path()));
    for rpc in service.methods() {
        let path = format!("/{}/{}", service.full_name(), rpc.name());
        let callback = Callback::by_rpc(&path).unwrap();
        let _ = writeln!(out, "\n### {}\n\n{}\n", rpc.name(), comment(&rpc.parent_service().parent_file(), rpc.path()));
        write_facts(callback, out);
        for (title, message, skipped) in [("Request", rpc.input(), 0), ("Changes", rpc.output(), 1)] {
            let _ = writeln!(out, "\n**{title}.** {}\n", comment(&message.parent_file(), message.path()));
            write_fields(&message, skipped, shared, out);
        }
    }
}

fn write_facts(callback: &Callback, out: &mut String) {
    if callback.command.is_empty() {
        return;
    }
    let code = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let older = |names: &[&str]| match names {
        [] => String::new(),
        names => format!("; on older servers {}", code(names)),
    };
    let releases = match callback.releases {
        [] => "none that is known".to_owned(),
        releases => releases.join(", "),
    };
    let timing = match callback.timing {
        Timing::Before => "before: OpenIM waits for the answer",
        Timing::After => "after: it has happened",
    };
    let _ = writeln!(out, "| | |\n|---|---|");
    let _ = writeln!(out, "| timing | {timing} |");
    let _ = writeln!(out, "| releases | {releases} |");
    let _ = writeln!(out, "| config key | `{}`{} |", callback.config_key, older(callback.older_config_keys));
    if callback.timing == Timing::Before {
        let rule = match callback.fails_open {
            true => format!("allow, unless `callbacks.{}.on_failure` says otherwise", callback.config_key),
            false => "the operator's rule, deny by default".to_owned(),
        };
        let _ = writeln!(out, "| on failure | {rule} |");
    }
    let fields = |places: &&[usize]| {
        let names: Vec<_> = places.iter().map(|place| callback.request.fields[*place].name).collect();
        format!("`{}`", names.join("` and `"))
    };
    let order: Vec<String> = callback.ordered_by.iter().map(fields).collect();
    if !order.is_empty() {
        let _ = writeln!(out, "| in order by | {} |", order.join(", else "));
    }
    let _ = writeln!(out, "| command | `{}`{} |", callback.command, older(callback.older_commands));
}

/// The fields of a message as a table, without the first ones and without what every request has.
fn write_fields(message: &MessageDescriptor, skipped: usize, shared: &mut BTreeSet<String>, out: &mut String) {
    let mut fields: Vec<_> = message.fields().filter(|field| field.name() != "unknown_fields").collect();
    fields.sort_by_key(FieldDescriptor::number);
    let fields = &fields[skipped.min(fields.len())..];
    if fields.is_empty() {
        out.push_str("None.\n");
        return;
    }
    out.push_str("| field | type | |\n|---|---|---|\n");
    for field in fields {
        let camel = json_name_of(field.name());
        let json = if field.json_name() == camel { String::new() } else { format!(" (`{}`)", field.json_name()) };
        let text = comment(&field.parent_message().parent_file(), field.path()).replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(out, "| `{}`{json} | {} | {text} |", field.name(), type_of(field, shared));
    }
}

/// What protobuf makes of a name where the contract gives no other.
fn json_name_of(name: &str) -> String {
    let mut upper = false;
    let letters = name.chars().filter_map(|letter| match letter {
        '_' => {
            upper = true;
            None
        }
        letter => Some(if std::mem::take(&mut upper) { letter.to_ascii_uppercase() } else { letter }),
    });
    letters.collect()
}

fn type_of(field: &FieldDescriptor, shared: &mut BTreeSet<String>) -> String {
    if field.is_map() {
        return "map".to_owned();
    }
    let kind = match field.kind() {
        Kind::Message(message) => {
            shared.insert(message.full_name().to_owned());
            format!("[{}](#{})", message.name(), message.name().to_lowercase())
        }
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    match (field.cardinality(), field.supports_presence() && !matches!(field.kind(), Kind::Message(_))) {
        (Cardinality::Repeated, _) => format!("repeated {kind}"),
        (_, true) => format!("optional {kind}"),
        (_, false) => kind,
    }
}

/// The comment of a place in a file.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let proto = file.file_descriptor_proto();
    let locations = &proto.source_code_info.as_ref().unwrap().location;
    let comment = locations.iter().find(|location| location.path == path).unwrap().leading_comments();
    comment.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
}
