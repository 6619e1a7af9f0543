//! The rooms of `src/`: each uses only those below it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The rooms, from the bottom up. A new one stands above all that it uses.
const ROOMS: [&str; 20] = [
    "cut", "text", "memory", "backoff", "contract", "openim", "failure", "config", "observe", "policy", "outbox",
    "server", "reload", "admin", "app", "client", "trigger", "verify", "cli", "main",
];

#[test]
fn no_room_uses_one_above_it() {
    let mut files = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let used = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    assert_eq!(uses_of_rooms_above(used), [""; 0], "move what both need into a room below");
}

#[test]
fn every_room_has_its_place() {
    let mut files = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let rooms: BTreeSet<_> = files.iter().map(|(path, _)| room(path)).filter(|room| *room != "lib").collect();
    assert_eq!(rooms, ROOMS.into_iter().collect());
}

#[test]
fn a_use_of_a_room_above_is_found() {
    let files = [
        ("policy/client.rs", "use crate::contract::Callback;\nuse crate::server::Refusal; // crate::cli"),
        ("server/mod.rs", "use crate::policy::Policy;"),
    ];
    assert_eq!(uses_of_rooms_above(files), ["policy/client.rs uses server"]);
}

/// Returns the uses of rooms that stand above the file's own, as in `policy/client.rs uses server`.
fn uses_of_rooms_above<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let height = |room: &str| ROOMS.iter().position(|candidate| *candidate == room);
    let mut found = BTreeSet::new();
    for (path, text) in files {
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let uses = code.flat_map(|line| line.split("crate::").skip(1));
        for used in uses.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()) {
            if height(used) > height(room(path)) && room(path) != "lib" {
                found.insert(format!("{path} uses {used}"));
            }
        }
    }
    found.into_iter().collect()
}

/// Returns the room of a file under `src/`: its folder, or its own name.
fn room(path: &str) -> &str {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// Reads all Rust files under a folder, with their paths below `src/`.
fn read(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
            let name = path.strip_prefix(source).unwrap().to_str().unwrap().to_owned();
            files.push((name, fs::read_to_string(path).unwrap()));
        }
    }
}
