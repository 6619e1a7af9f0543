//! Texts that others choose, cut for logs and replies: they are as long as their author likes.

use std::borrow::Cow;

/// The beginning of a text: at most so many bytes, cut between two characters.
pub(crate) fn beginning(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// The beginning of a text, with an ellipsis where something is left out.
pub(crate) fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    match beginning(text, longest) {
        all if all.len() == text.len() => all.into(),
        beginning => format!("{beginning}…").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_text_is_cut_between_characters() {
        let letters = "ä".repeat(128);
        assert_eq!(cut(&letters, 256), letters);
        assert_eq!(cut(&format!("x{letters}"), 256), format!("x{}…", "ä".repeat(127)));
    }
}
