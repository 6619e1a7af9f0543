//! Reads named policies from the file.

use std::path::Path;

use http::HeaderName;

use super::{LONGEST_NAME, NamedPolicy, is_name};
use crate::config::Config;
use crate::config::file::{Reader, join};
use crate::config::yaml::{Entry, Node};

const POLICIES: &str = "policies";

/// Beginnings of names of metadata that are hookgate's own, gRPC's or HTTP's.
const RESERVED: [&str; 8] =
    ["hookgate-", "openim-", "grpc-", "content-", "traceparent", "tracestate", "baggage", "user-agent"];

/// Names of metadata that HTTP/2 forbids, or that have a meaning of their own in it.
const FORBIDDEN: [&str; 8] =
    ["connection", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// Reads the policies of `node`, the value of the file's key `policies`. The rest of the file has been read.
pub(in crate::config) fn read(file: &mut Reader<'_>, node: &Node, config: &Config) -> Vec<NamedPolicy> {
    file.found(POLICIES, node.line);
    let mut policies = Vec::new();
    for Entry { line, key, value } in file.entries(POLICIES, node, "policies by their names") {
        let path = join(POLICIES, key);
        if !is_name(key) {
            let what = format!("expected a name of 1 to {LONGEST_NAME} lower-case letters, digits, - and _");
            file.mistake(*line, &path, what);
        }
        if key == "lock" {
            file.mistake(*line, &path, "is the name of a file of the outbox: it needs another name");
        }
        file.found(&path, *line);
        let mut policy = NamedPolicy::inheriting(key, config);
        file.settings(super::settings(), &mut policy, &path, "", value);
        if !file.has(&join(&path, "url")) {
            file.mistake(*line, &path, "names no url; say which service is asked");
        }
        if let Some(metadata) = value.get("metadata") {
            policy.metadata_files = metadata_files(file, &join(&path, "metadata"), metadata);
        }
        policies.push(policy);
    }
    if policies.is_empty() {
        file.mistake(node.line, POLICIES, "must name one at least");
    }
    policies
}

/// Reads the names of metadata, each with the file of its value.
fn metadata_files(file: &mut Reader<'_>, path: &str, node: &Node) -> Vec<(String, std::path::PathBuf)> {
    let mut files = Vec::new();
    for Entry { line, key, value } in file.entries(path, node, "names of metadata with the files of their values") {
        let path = join(path, key);
        let is_taken = RESERVED.iter().any(|start| key.starts_with(start)) || FORBIDDEN.contains(&&**key);
        let is_name = HeaderName::from_bytes(key.as_bytes()).is_ok_and(|name| name.as_str() == key);
        let what = match value.text() {
            _ if !is_name || key.ends_with("-bin") => {
                "expected a name of lower-case letters, digits, - and _, that does not end in -bin"
            }
            _ if is_taken => "is hookgate's own, or has a meaning in gRPC or HTTP",
            None | Some("") => "expected the path of the file that holds its value",
            Some(name) => {
                files.push((key.clone(), Path::new(file.name).with_file_name(name)));
                file.found(&path, *line);
                continue;
            }
        };
        file.mistake(*line, &path, what);
    }
    files
}
