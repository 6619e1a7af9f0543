//! Text: what the policy looks for in it and changes in it. Pure functions, nothing of gRPC.

use std::sync::LazyLock;

use regex::{Captures, Regex};

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
