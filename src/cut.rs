//! Truncation of texts from outside, which can be of any length, for logs and replies.

use std::borrow::Cow;

/// Returns the longest prefix of a text that has at most `longest` bytes and ends between two characters.
pub(crate) fn beginning(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// Truncates a text to at most `longest` bytes, and appends an ellipsis if something is missing.
pub(crate) fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    match beginning(text, longest) {
        all if all.len() == text.len() => all.into(),
        beginning => format!("{beginning}…").into(),
    }
}
