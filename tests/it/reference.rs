//! The generated references: they are current (`cargo run --example reference` writes them), and complete.

#[path = "../../examples/reference/command_line.rs"]
mod command_line;
#[path = "../../examples/reference/configuration.rs"]
mod configuration;
#[path = "../../examples/reference/contract.rs"]
mod contract;
#[path = "../../examples/reference/pages.rs"]
mod pages;
#[path = "../../examples/reference/schema.rs"]
mod schema;

use std::path::Path;

use hookgate::config::Class;
use hookgate::config::{all_settings, callback_settings};
use hookgate::contract::Callback;
use hookgate::contract::metadata::{ATTEMPT, COMMAND, EVENT_ID, LATE, OPERATION_ID, REPLY_KEY, SEQUENCE};
use http::HeaderName;

fn docs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

#[test]
fn the_references_are_current() {
    for (path, page) in pages::all() {
        let written = std::fs::read_to_string(docs().join(&path)).unwrap_or_default();
        let differs = written.lines().zip(page.lines()).find(|(written, now)| written != now);
        assert!(written == page, "docs/{path} is stale (cargo run --example reference), first here: {differs:#?}");
    }
}

#[test]
fn no_page_of_something_that_is_gone_is_left() {
    let pages = pages::all();
    for folder in ["reference/contract", "man"] {
        for entry in std::fs::read_dir(docs().join(folder)).unwrap() {
            let path = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
            assert!(pages.contains_key(&path), "{path}");
        }
    }
}

#[test]
fn every_setting_is_in_the_reference_and_in_the_schema() {
    let (page, schema) = (configuration::page(), schema::schema());
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let in_schema = |root: &serde_json::Value, path: &str| {
        let found = path.split('.').try_fold(root, |schema, key| {
            let group = schema.get("anyOf").map_or(schema, |any| &any[1]);
            group.get("properties")?.get(key)
        });
        assert!(found.is_some(), "the schema lacks {path}");
    };
    for setting in all_settings() {
        assert!(page.contains(&format!("\n| `{}` |", setting.path)), "the reference lacks {}", setting.path);
        in_schema(&schema, &setting.path);
    }
    for setting in callback_settings() {
        let kind = if setting.path == "order" { "after_callback" } else { "before_callback" };
        in_schema(&schema["$defs"][kind], &setting.path);
    }
}

#[test]
fn the_reference_has_every_callback_once_with_all_that_is_to_be_known() {
    let pages = contract::pages();
    let shared =
        ["README.md", "messages.md"].map(|page| pages[&format!("reference/contract/{page}")].as_str()).concat();
    let services = pages.iter().filter(|(path, _)| !path.ends_with("README.md") && !path.ends_with("messages.md"));
    let sections: Vec<&str> = services.flat_map(|(_, page)| page.split("\n## ").skip(1)).collect();
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
        for other in callback.ordered_with() {
            let shared = format!("`{}`, with ", callback.order_domain);
            let link = format!("[{}](#", other.method());
            assert!(section.contains(&shared) && section.contains(&link), "{} lacks {link}", callback.method());
        }
        for name in names {
            let whole = format!("{section}{shared}");
            assert!(whole.contains(&format!("`{name}`")), "{} lacks {name}", callback.method());
        }
    }
}

#[test]
fn the_manual_says_how_to_serve() {
    let section = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies/serving.md"));
    let metadata = [OPERATION_ID, COMMAND, REPLY_KEY, EVENT_ID, ATTEMPT, SEQUENCE, LATE];
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
