//! Text: finding it in a message, and what the policy does with it. Pure functions, nothing of gRPC.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_bytes::{ByteBuf, Bytes};
use serde_json::value::RawValue;

/// The content types whose text is looked at; the contract lists them all.
const TEXT: i32 = 101;
const AT_TEXT: i32 = 106;
const QUOTE: i32 = 114;

/// The text of a message, and where it stands in the JSON that is the message's content.
pub struct MessageText<'a> {
    content: &'a str,
    place: Range<usize>,
    text: String,
}

impl<'a> MessageText<'a> {
    /// Finds it; none in content of other types or of another shape, which any client may send.
    pub fn find(content_type: i32, content: &'a str) -> Option<Self> {
        let member = match content_type {
            TEXT => "content",
            AT_TEXT | QUOTE => "text",
            _ => return None,
        };
        // Raw values are slices of the content, not parsed any further. Names and text are read as bytes, because JSON
        // can escape half a surrogate pair, which is no UTF-8: nobody shall get past the policy by adding one.
        let members: HashMap<ByteBuf, &'a RawValue> = serde_json::from_str(content).ok()?;
        let raw = members.get(Bytes::new(member.as_bytes()))?.get();
        if !raw.starts_with('"') {
            return None;
        }
        let text: ByteBuf = serde_json::from_str(raw).ok()?;
        let start = raw.as_ptr().addr() - content.as_ptr().addr();
        let place = start..start + raw.len();
        Some(Self { content, place, text: String::from_utf8_lossy(&text).into_owned() })
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The content with another text. Every other byte stays, so no number loses a digit.
    pub fn replaced(&self, text: &str) -> String {
        let text = serde_json::Value::from(text).to_string();
        [&self.content[..self.place.start], &text, &self.content[self.place.end..]].concat()
    }
}

/// Words that are found whatever their case.
#[derive(Default)]
pub struct Words(Vec<String>);

impl Words {
    /// Adds a word.
    pub fn add(&mut self, word: &str) {
        self.0.push(lower_case(word));
    }

    /// Adds one word a line. Blank lines and those that begin with `#` are none.
    pub fn add_lines(&mut self, lines: &str) {
        // Some editors begin a file with a byte order mark.
        let lines = lines.trim_start_matches('\u{feff}').lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).for_each(|word| self.add(word));
    }

    /// Whether there is no word at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the text holds one of them.
    pub fn are_in(&self, text: &str) -> bool {
        let text = lower_case(text);
        self.0.iter().any(|word| text.contains(word))
    }
}

/// Greek has two small sigmas, one for the ends of words; a word shall be found in a longer one too.
fn lower_case(text: &str) -> String {
    text.to_lowercase().replace('ς', "σ")
}

/// The text with its phone numbers masked but for the last two digits; none where it has no phone number.
pub fn mask_phone_numbers(text: &str) -> Option<String> {
    static DIGITS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\+?[0-9](?:[ -]?[0-9])+").expect("the pattern is right, the tests use it"));
    let masked = DIGITS.replace_all(text, |found: &Captures| mask(&found[0]));
    (masked != text).then(|| masked.into_owned())
}

fn mask(number: &str) -> String {
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    if digits < 7 {
        return number.to_owned();
    }
    let mut left = digits;
    let masked = number.chars().map(|char| {
        left -= usize::from(char.is_ascii_digit());
        if char.is_ascii_digit() && left >= 2 { '*' } else { char }
    });
    masked.collect()
}

/// The first characters of a text that has more; none where it is short enough.
pub fn cut(text: &str, most: usize) -> Option<&str> {
    let (end, _) = text.char_indices().nth(most)?;
    Some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(content_type: i32, content: &str) -> Option<String> {
        MessageText::find(content_type, content).map(|found| found.text)
    }

    #[test]
    fn the_content_type_says_where_the_text_stands() {
        let content = r#" { "content" : "a" , "text" : "b", "quoteMessage": {"text": "c"} } "#;
        assert_eq!(find(101, content).as_deref(), Some("a"));
        assert_eq!(find(106, content).as_deref(), Some("b"));
        assert_eq!(find(114, content).as_deref(), Some("b"));
        assert_eq!(find(118, content), None);
    }

    #[test]
    fn content_of_another_shape_has_no_text() {
        let deep = "[".repeat(100_000);
        for content in
            ["", "hello", "null", "[]", "\"a\"", "{", "{}", r#"{"content":1}"#, r#"{"content":[104,105]}"#, &deep]
        {
            assert_eq!(find(101, content), None, "{content:.40}");
        }
    }

    #[test]
    fn odd_escapes_hide_nothing() {
        assert_eq!(find(101, r#"{"content":"a\u0000b"}"#).as_deref(), Some("a\0b"));
        assert!(find(101, r#"{"content":"bad \ud800"}"#).unwrap().starts_with("bad "));
        assert_eq!(find(101, r#"{"\ud800":"\udc00","\u0063ontent":"bad"}"#).as_deref(), Some("bad"));
        // The last one counts, as in OpenIM.
        assert_eq!(find(101, r#"{"content":"good","content":"bad"}"#).as_deref(), Some("bad"));
    }

    #[test]
    fn a_replacement_keeps_every_other_byte() {
        let content = r#"{"z":1.10, "text":"a","quoteMessage":{"seq":12345678901234567890,"e":1E5,"text":"\u003c"}}"#;
        let replaced = MessageText::find(114, content).unwrap().replaced("<\"\n\u{1f600}");
        assert_eq!(replaced, content.replace("\"a\"", "\"<\\\"\\n\u{1f600}\""));
    }

    #[test]
    fn words_are_found_in_any_case() {
        let mut words = Words::default();
        assert!(words.is_empty());
        words.add_lines("\u{feff}# not this\r\n\r\n  Straße \n#nor this\nΟΔΟΣ");
        for text in ["STRAßENBAHN", "a straße", "οδος", "ΟΔΟΣΑ"] {
            assert!(words.are_in(text), "{text}");
        }
        for text in ["", "not this", "nor this", "Strasse"] {
            assert!(!words.are_in(text), "{text}");
        }
    }

    #[test]
    fn phone_numbers_are_masked() {
        for (text, masked) in [
            ("call +86 138-0013-8000 now", "call +** ***-****-**00 now"),
            ("1234567", "*****67"),
            ("1234567, 030 123 456 7", "*****67, *** *** **6 7"),
            ("+1--2345678", "+1--*****78"),
        ] {
            assert_eq!(mask_phone_numbers(text).as_deref(), Some(masked));
        }
        for text in ["", "room 1234", "123456", "12 34 56", "123  4567", "١٢٣٤٥٦٧٨", "+", "12 - 34567"] {
            assert_eq!(mask_phone_numbers(text), None, "{text}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("", 2), None);
        assert_eq!(cut("äé", 2), None);
        assert_eq!(cut("äéx", 2), Some("äé"));
        assert_eq!(cut("\u{1f600}\u{1f600}\u{1f600}", 2), Some("\u{1f600}\u{1f600}"));
    }
}
