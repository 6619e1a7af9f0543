//! Matches the names of a JSON object's members to fields, as Go's encoding/json does.
//!
//! OpenIM reads and writes webhooks as Go structs: an exact name wins, else one that is equal without regard to case.
//! Go folds case as Unicode does, so two letters beyond ASCII match ASCII ones: the long s (U+017F) and the Kelvin sign
//! (U+212A). A body with two names for one field is ambiguous; the decoder refuses it.

use std::borrow::Cow;

use serde::Deserialize;

use crate::contract::{Field, Message};

/// The name of a JSON object's member, borrowed unless it has an escape.
#[derive(Deserialize)]
#[serde(transparent)]
pub(in crate::contract) struct Key<'a>(#[serde(borrow)] pub(in crate::contract) Cow<'a, str>);

/// The field that a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::contract) struct Match {
    /// The field's index in [`Message::fields`].
    pub(in crate::contract) index: usize,
    /// The alias that was used, unless the name is the contract's own.
    pub(in crate::contract) alias: Option<&'static str>,
    /// True if the name equals the field's only without regard to case.
    pub(in crate::contract) folded: bool,
}

impl Message {
    /// Finds the field that `name` stands for. Looks at index `near` first, as OpenIM writes fields in order.
    pub(in crate::contract) fn find(&self, name: &str, near: usize) -> Option<Match> {
        if self.fields.get(near).is_some_and(|field| field.json == name) {
            return Some(Match { index: near, alias: None, folded: false });
        }
        let exactly = |field: &Field| field.json == name || field.aliases.contains(&name);
        if let Some(index) = self.fields.iter().position(exactly) {
            let alias = self.fields[index].aliases.iter().find(|alias| **alias == name).copied();
            return Some(Match { index, alias, folded: false });
        }
        self.fields.iter().enumerate().find_map(|(index, field)| {
            if folds_to(name, field.json) {
                return Some(Match { index, alias: None, folded: true });
            }
            let alias = field.aliases.iter().find(|alias| folds_to(name, alias))?;
            Some(Match { index, alias: Some(alias), folded: true })
        })
    }
}

/// Returns true if `name` equals `field` without regard to case. `field` is ASCII (`build.rs` sees to it).
fn folds_to(name: &str, field: &str) -> bool {
    // The two letters beyond ASCII take more bytes than the ASCII letters that they match.
    match name.len().checked_sub(field.len()) {
        None => false,
        Some(0) => name.eq_ignore_ascii_case(field),
        Some(_) => !name.is_ascii() && name.chars().map(folded).eq(field.chars().map(folded)),
    }
}

fn folded(letter: char) -> char {
    match letter {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}
