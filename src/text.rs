//! Text for people: colours, lines wrapped to the terminal, numbers of things.

use std::fmt::Display;
use std::io;

use anstyle::{AnsiColor, Style};
use terminal_size::{Width, terminal_size_of};
use textwrap::{Options, WordSplitter, fill};

/// Style of what is well. These styles are legible on black and on white: yellow and cyan are not, nor is green in bold,
/// which many terminals show as a brighter colour.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Style of what needs attention.
pub(crate) const NOTABLE: Style = AnsiColor::Magenta.on_default().bold();
/// Style of what is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Style of headings.
pub(crate) const BOLD: Style = Style::new().bold();
/// Style of what is rarely needed.
pub(crate) const DIM: Style = Style::new().dimmed();

/// Width of text where no terminal has another, and the largest that is easily read.
const WIDTH: usize = 100;
/// The largest width of a page.
const PAGE: usize = 80;

/// Returns the columns of the terminal that standard output is, or what `COLUMNS` says; `None` without either.
pub(crate) fn columns() -> Option<usize> {
    let terminal = terminal_size_of(io::stdout()).map(|(Width(width), _)| width.into()).filter(|width| *width > 0);
    terminal.or_else(|| std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0))
}

/// Returns the width that text is wrapped to: of the terminal, and at most as wide as is easily read.
pub(crate) fn width() -> usize {
    columns().map_or(WIDTH, |columns| columns.min(WIDTH))
}

/// Returns the width of the pages that are best read beside others.
pub(crate) fn page_width() -> usize {
    width().min(PAGE)
}

/// Wraps a text between words at `width`, with `indent` spaces before each line but the first. A word that is longer than a line
/// is left to the terminal, so that an address can be copied whole.
pub(crate) fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let indent = " ".repeat(indent);
    let options = Options::new(width).subsequent_indent(&indent);
    fill(text, options.word_splitter(WordSplitter::NoHyphenation).break_words(false))
}

/// Wraps each line of a message to the terminal that standard error is. Elsewhere it stays as it is.
pub(crate) fn wrapped_message(message: impl Display) -> String {
    let message = message.to_string();
    let Some((Width(width), _)) = terminal_size_of(io::stderr()).filter(|(Width(width), _)| *width > 0) else {
        return message;
    };
    message.lines().map(|line| wrapped(line, 4, width.into())).collect::<Vec<_>>().join("\n")
}

/// Returns a number of things: `1 event`, `2 events`.
pub(crate) fn count<N: Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    format!("{number} {what}{}", if number == N::from(1) { "" } else { "s" })
}
