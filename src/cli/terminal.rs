//! The terminal that standard output is: its width, and text wrapped to it.

use std::io;

use terminal_size::{Width, terminal_size_of};

/// Width of text where no terminal has another.
const PLAIN: usize = 100;

/// Returns the columns of the terminal that standard output is, or what `COLUMNS` says; `None` without either.
pub(super) fn columns() -> Option<usize> {
    let terminal = terminal_size_of(io::stdout()).map(|(Width(width), _)| width.into()).filter(|width| *width > 0);
    terminal.or_else(|| std::env::var("COLUMNS").ok()?.parse().ok())
}

/// Returns the width that text is wrapped to: of the terminal, and at most as wide as is easily read.
pub(super) fn text_width() -> usize {
    columns().map_or(PLAIN, |columns| columns.min(PLAIN))
}

/// Wraps words at `width`, with `indent` spaces before each line but the first, which begins there.
pub(super) fn wrap(text: &str, indent: usize, width: usize) -> String {
    let (mut out, mut column) = (String::new(), indent);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            out += &format!("\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out += word;
        column += length;
    }
    out
}
