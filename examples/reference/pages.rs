//! All generated pages.

use std::collections::BTreeMap;

use super::{command_line, configuration, contract, schema};

/// Returns every generated page, by its path under `docs/`.
pub fn all() -> BTreeMap<String, String> {
    let mut pages = contract::pages();
    pages.insert("reference/configuration.md".to_owned(), configuration::page());
    pages.insert("reference/command-line.md".to_owned(), command_line::page());
    pages.insert("hookgate.schema.json".to_owned(), schema::schema());
    pages.extend(command_line::man_pages());
    pages
}
