//! Paths of files in routes, which begin in the folder of the configuration file.

use std::path::Path;

use crate::config::yaml::{Entry, Node, Value};

/// Returns a route of the file `name` whose paths begin in the working directory.
pub(super) fn resolved(route: &Node, name: &Path) -> Node {
    let mut route = route.clone();
    for Entry { key, value, .. } in route.entries_mut() {
        match &**key {
            "cohort" => resolve(value, name),
            "when" => resolve_rows(value, name),
            _ => {}
        }
    }
    route
}

fn resolve_rows(rows: &mut Node, name: &Path) {
    for Entry { key, value, .. } in rows.entries_mut() {
        match (&**key, &mut value.value) {
            ("not", _) => resolve_rows(value, name),
            ("any", Value::List(items)) => items.iter_mut().for_each(|item| resolve_rows(item, name)),
            _ => {
                let tests = value.entries_mut().iter_mut();
                tests.filter(|test| test.key == "file").for_each(|test| resolve(&mut test.value, name));
            }
        }
    }
}

fn resolve(node: &mut Node, name: &Path) {
    match &mut node.value {
        Value::Scalar(file) => *file = name.with_file_name(&*file).to_string_lossy().into_owned(),
        Value::List(items) => items.iter_mut().for_each(|item| resolve(item, name)),
        Value::Null | Value::Map(_) => {}
    }
}
