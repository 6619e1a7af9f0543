//! The reference of the contract: a page for each service, from the comments in `proto/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hookgate::contract::proto::DESCRIPTORS;
use hookgate::contract::{Callback, Timing};
use prost_reflect::{
    Cardinality, DescriptorPool, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, ServiceDescriptor,
};

const INTRODUCTION: &str = "\
# The contract

Every callback of OpenIM that hookgate knows: when it is sent, by which releases, what it carries, what an answer can
change, and what is to be minded. It is made of the comments in [`proto/`](../../../proto/openim/policy/v1), which say the same to
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
Where a callback is \"in order by\" a field, events with the same value in it come one after another in that order; the rpcs of
one domain, such as `membership`, share an order. Between other rpcs no order is kept, so compare the IDs there. An event that fails
for too long, or is replayed, comes after those behind it, with `hookgate-late: 1`; `hookgate-sequence` rises in the order in which
the events of one value arrived. OpenIM itself posts events from two workers at once, and repeats some: see each callback.

[How to serve](../../policies/serving.md): the connection, the time, metadata, statuses, the longest request, and calls without generated code.
";

/// The page of the messages that several others have.
const MESSAGES: &str = "messages.md";

/// Returns the pages, by their paths under `docs/`.
pub fn pages() -> BTreeMap<String, String> {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("the descriptors are complete");
    let services: Vec<_> = pool.services().filter(|service| service.package_name() == "openim.policy.v1").collect();
    let mut pages = BTreeMap::new();
    let mut shared = BTreeSet::new();
    let mut readme = INTRODUCTION.to_owned();
    for service in &services {
        let file = file_name(service);
        let _ = writeln!(readme, "\n**[{}]({file})**", service.name());
        for method in service.methods() {
            let _ = writeln!(readme, "[{}]({file}#{})", method.name(), method.name().to_lowercase());
        }
        pages.insert(format!("reference/contract/{file}"), service_page(service, &mut shared));
    }
    let _ = write!(readme, "\n[Messages that several others have]({MESSAGES})");
    pages.insert("reference/contract/README.md".to_owned(), readme);
    pages.insert(format!("reference/contract/{MESSAGES}"), messages_page(&pool, shared));
    pages
}

/// Returns the file of a service: `message.md` for `MessagePolicyService`.
fn file_name(service: &ServiceDescriptor) -> String {
    format!("{}.md", service.name().trim_end_matches("PolicyService").to_lowercase())
}

/// Returns the page of the messages that several others have, with those that they have in turn.
fn messages_page(pool: &DescriptorPool, mut shared: BTreeSet<String>) -> String {
    let mut out = "# Shared messages\n\nMessages that several others of [the contract](README.md) have.\n".to_owned();
    let mut written = BTreeSet::new();
    while let Some(name) = shared.iter().find(|name| !written.contains(*name)).cloned() {
        let message = pool.get_message_by_name(&name).expect("it was found in the pool");
        let _ = writeln!(out, "\n## {}\n\n{}\n", message.name(), comment(&message.parent_file(), message.path()));
        write_fields(&message, 0, &mut shared, &mut out);
        written.insert(name);
    }
    out
}

fn service_page(service: &ServiceDescriptor, shared: &mut BTreeSet<String>) -> String {
    let words = comment(&service.parent_file(), service.path());
    let mut out = format!("# {}\n\n{words}\n\nA service of [the contract](README.md).\n", service.name());
    for rpc in service.methods() {
        let path = format!("/{}/{}", service.full_name(), rpc.name());
        let callback = Callback::by_rpc(&path).expect("every rpc has a callback");
        let _ = writeln!(out, "\n## {}\n\n{}\n", rpc.name(), comment(&rpc.parent_service().parent_file(), rpc.path()));
        write_facts(callback, &mut out);
        let response = if rpc.output().fields().len() > 1 { "Changes" } else { "Response" };
        for (title, message, skipped) in [("Request", rpc.input(), 0), (response, rpc.output(), 1)] {
            let _ = writeln!(out, "\n**{title}.** {}\n", comment(&message.parent_file(), message.path()));
            write_fields(&message, skipped, shared, &mut out);
        }
    }
    out
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
    let order: Vec<String> = callback.ordering_fields().map(|names| format!("`{}`", names.join("` and `"))).collect();
    if !order.is_empty() {
        let others: Vec<_> = callback
            .ordered_with()
            .map(|other| format!("[{0}](#{1})", other.method(), other.method().to_lowercase()))
            .collect();
        let shared = match &*others {
            [] => String::new(),
            others => format!("; one order, `{}`, with {}", callback.order_domain, others.join(", ")),
        };
        let _ = writeln!(out, "| in order by | {}{shared} |", order.join(", else "));
    }
    let _ = writeln!(out, "| command | `{}`{} |", callback.command, older(callback.older_commands));
}

/// Writes the fields of a message as a table, without the first `skipped` and without what every request has.
fn write_fields(message: &MessageDescriptor, skipped: usize, shared: &mut BTreeSet<String>, out: &mut String) {
    let mut fields: Vec<_> = message.fields().filter(|field| field.name() != "unknown_fields").collect();
    fields.sort_by_key(FieldDescriptor::number);
    let fields = &fields[skipped.min(fields.len())..];
    if fields.is_empty() {
        out.push_str("No changes.\n");
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

/// Returns the JSON name that protobuf derives from a field's name.
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
            format!("[{}]({MESSAGES}#{})", message.name(), message.name().to_lowercase())
        }
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    match (field.cardinality(), field.supports_presence() && !matches!(field.kind(), Kind::Message(_))) {
        (Cardinality::Repeated, _) => format!("repeated {kind}"),
        (_, true) => format!("optional {kind}"),
        (_, false) => kind,
    }
}

/// Returns the comment of an element of a file.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let proto = file.file_descriptor_proto();
    let locations = &proto.source_code_info.as_ref().expect("the descriptors have comments").location;
    let comment =
        locations.iter().find(|location| location.path == path).expect("everything has a comment").leading_comments();
    comment.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
}
