//! The content of messages: JSON as a rule, but a client may send any string there.
//!
//! It is not read into a map: of two members with one name that keeps one, and a client may show the other. The strings
//! are found where they stand instead, which also leaves every byte around a changed one as it was.

use std::ops::Range;

use serde::de::IgnoredAny;
use serde_bytes::ByteBuf;

use crate::text::{Words, mask_phone_numbers};

/// Returns true if a client could show one of the words: one of the strings in the content holds it, or the content is
/// no JSON and holds it itself. The content type says nothing that could be trusted.
pub fn holds_word(content: &str, words: &Words) -> bool {
    !is_json(content) && words.are_in(content) || strings_hold_word(content, words)
}

/// Looks into the strings of a JSON text, and of the JSON that they hold themselves.
fn strings_hold_word(json: &str, words: &Words) -> bool {
    strings(json).any(|found| {
        let text = unquoted(&json[found.place]);
        words.are_in(&text) || strings_hold_word(&text, words)
    })
}

/// The content with the phone numbers in its text masked: in each string named "content" or "text", wherever it is.
/// Everything else, such as users' IDs, stays as it was. None where nothing changes, as in content that is no JSON
/// object: OpenIM takes nothing else in its place.
pub fn mask(content: &str) -> Option<String> {
    if !is_object(content) {
        return None;
    }
    let (mut masked, mut end) = (String::new(), 0);
    for found in strings(content) {
        // Clients read names as Go does, in any case.
        let name = unquoted(&content[found.name]);
        if !["content", "text"].iter().any(|text| name.eq_ignore_ascii_case(text)) {
            continue;
        }
        let text = unquoted(&content[found.place.clone()]);
        // The content of a quoted message can stand here.
        let changed = if is_object(&text) { mask(&text) } else { mask_phone_numbers(&text) };
        if let Some(text) = changed {
            masked += &content[end..found.place.start];
            masked += &serde_json::Value::from(text).to_string();
            end = found.place.end;
        }
    }
    (end > 0).then(|| masked + &content[end..])
}

/// A string in a JSON text that is not a member's name, with its quotes.
struct JsonString {
    place: Range<usize>,
    /// The name of the member whose value it is; nothing in an array.
    name: Range<usize>,
}

/// The strings of a JSON text, at any depth. In JSON a quote begins a string or ends it, unless it is escaped.
fn strings(json: &str) -> impl Iterator<Item = JsonString> {
    let mut last = 0..0;
    std::iter::from_fn(move || {
        loop {
            let start = last.end + json[last.end..].find('"')?;
            let end = end_of_string(json, start)?;
            let is_value = json[last.end..start].trim() == ":";
            let is_name = json[end..].trim_start().starts_with(':');
            let before = std::mem::replace(&mut last, start..end);
            if !is_name {
                return Some(JsonString { place: start..end, name: if is_value { before } else { 0..0 } });
            }
        }
    })
}

/// Where the string ends that begins at this quote; none if it has no end.
fn end_of_string(json: &str, start: usize) -> Option<usize> {
    let mut bytes = json.bytes().enumerate().skip(start + 1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    None
}

/// The text of a JSON string; nothing if it is none. JSON can escape half a surrogate pair, which is no UTF-8: it is
/// read as U+FFFD, so that nobody gets past the policy by adding one.
fn unquoted(json: &str) -> String {
    let text: ByteBuf = serde_json::from_str(json).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && is_json(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The messages that all the examples are tested with.
    fn messages() -> Value {
        serde_json::from_str(include_str!("../../content.json")).unwrap()
    }

    fn words(words: &[Value]) -> Words {
        let mut list = Words::default();
        words.iter().for_each(|word| list.add(word.as_str().unwrap()));
        list
    }

    #[test]
    fn no_string_is_overlooked() {
        let messages = messages();
        let words = words(messages["words"].as_array().unwrap());
        for message in messages["filter"].as_array().unwrap() {
            assert_eq!(holds_word(message["content"].as_str().unwrap(), &words), message["denied"], "{message}");
        }
    }

    #[test]
    fn phone_numbers_are_masked_in_texts_alone() {
        for message in messages()["mask"].as_array().unwrap() {
            assert_eq!(mask(message["content"].as_str().unwrap()).as_deref(), message["masked"].as_str(), "{message}");
        }
    }

    #[test]
    fn what_is_hard_to_read_hides_nothing() {
        let words = words(&["spam".into()]);
        for content in [
            "[".repeat(100_000) + "spam",
            format!(r#"{{"x":{}{},"content":"\u0073pam"}}"#, "[".repeat(9_000), "]".repeat(9_000)),
            format!(r#"{{"content":"{}\u0073pam"}}"#, r"\n".repeat(1_000_000)),
            format!(r#"{{"content":"{}\u0073pam"}}"#, r#"\""#.repeat(1_000_000)),
            format!(r#"[{}"\u0073pam"]"#, r#""","#.repeat(100_000)),
        ] {
            assert!(holds_word(&content, &words), "{content:.40}");
        }
        assert!(!holds_word(&format!("\"{}", r#"\""#.repeat(1_000_000)), &words), "a string without an end");
    }

    #[test]
    fn half_of_a_surrogate_pair_is_no_way_out() {
        let masked = mask(r#"{"content":"5550100 \ud800"}"#).unwrap();
        assert!(masked.starts_with(r#"{"content":"*****00 "#), "{masked}");
    }
}
