//! The kinds of values: how each is read from text, and printed so that it is read back.

use std::fmt::Display;
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The longest time that a setting takes.
const LONGEST_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads a value; the error is a sentence.
type Read<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;

/// Prints a value as YAML; `None` for no value.
type Print<T> = Box<dyn Fn(&T) -> Option<String> + Send + Sync>;

/// A kind of value.
pub struct Kind<T> {
    /// Its name in the reference and in the JSON Schema.
    pub name: &'static str,
    /// True for a list: of YAML, or in one text with commas.
    pub is_list: bool,
    /// Reads one.
    pub read: Read<T>,
    /// Prints one.
    pub print: Print<T>,
}

impl<T: 'static> Kind<T> {
    /// A kind that is read and printed by these functions.
    pub fn new(
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
        print: impl Fn(&T) -> String + Send + Sync + 'static,
    ) -> Self {
        Self { name, is_list: false, read: Box::new(read), print: Box::new(move |value| Some(print(value))) }
    }

    /// A kind that is read by a function, and printed as a quoted text.
    pub fn quoted(name: &'static str, read: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static) -> Self
    where
        T: Display,
    {
        Self::new(name, read, |value| quoted(&value.to_string()))
    }

    /// A kind that is read and printed as its type is: numbers and words. The error names what was `expected`.
    pub fn plain(name: &'static str, expected: &'static str) -> Self
    where
        T: FromStr + Display,
    {
        Self::new(name, expecting(expected, |text| text.parse().ok()), T::to_string)
    }

    /// Makes it optional: a setting of this kind need not have a value.
    pub fn optional(self) -> Kind<Option<T>> {
        let Self { name, is_list, read, print } = self;
        Kind {
            name,
            is_list,
            read: Box::new(move |text| read(text).map(Some)),
            print: Box::new(move |value| value.as_ref().and_then(&print)),
        }
    }

    /// Makes it a list of this kind. An empty list has no value.
    pub fn list(self) -> Kind<Vec<T>> {
        let Self { name, read, print, .. } = self;
        Kind {
            name,
            is_list: true,
            read: Box::new(move |text| parts(text).map(&read).collect()),
            print: Box::new(move |values: &Vec<T>| {
                let values: Vec<_> = values.iter().filter_map(&print).collect();
                (!values.is_empty()).then(|| format!("[{}]", values.join(", ")))
            }),
        }
    }
}

/// Returns a reader that reads with `read`; the error names what was `expected`.
pub(super) fn expecting<T>(
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> impl Fn(&str) -> Result<T, String> {
    move |text| read(text).ok_or_else(|| format!("{text:?}: expected {expected}"))
}

/// Times from 1 ns on.
pub(super) fn time() -> Kind<Duration> {
    Kind::new("time", parse_time, |time| show_time(*time))
}

/// Times, 0 among them.
pub(super) fn time_or_zero() -> Kind<Duration> {
    Kind::new("time or 0s", parse_time_or_zero, |time| show_time(*time))
}

/// Numbers of bytes from 1 on.
pub(super) fn size() -> Kind<usize> {
    const UNITS: [(u128, &str); 4] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];
    Kind::new("size", parse_size, |size| with_unit(*size as u128, &UNITS))
}

/// Numbers within a range. The error names what was expected.
pub(super) fn number<T: FromStr + Display + PartialOrd + 'static>(
    name: &'static str,
    range: impl RangeBounds<T> + Send + Sync + 'static,
    expected: &'static str,
) -> Kind<T> {
    let read = move |text: &str| text.parse().ok().filter(|number| range.contains(number));
    Kind::new(name, expecting(expected, read), T::to_string)
}

/// Whole numbers from 1 on.
pub(super) fn count() -> Kind<usize> {
    number("count", 1.., "a whole number of 1 or more")
}

/// Whole numbers of 32 bits from 1 on.
pub(super) fn count32() -> Kind<u32> {
    number("count", 1.., "a whole number from 1 to 4294967295")
}

/// Fractions from 0 to 1.
pub(super) fn fraction() -> Kind<f64> {
    number("fraction", 0.0..=1.0, "a number from 0 to 1, as in 0.1")
}

/// Paths of files and directories.
pub(super) fn path() -> Kind<PathBuf> {
    let read = |text: &str| if text.is_empty() { Err("expected a path".to_owned()) } else { Ok(text.into()) };
    Kind::new("path", read, |path: &PathBuf| quoted(&path.display().to_string()))
}

/// Quotes text so that both JSON and YAML read it back.
pub(super) fn quoted(text: &str) -> String {
    let mut out = serde_json::Value::from(text).to_string();
    // YAML refuses or folds these, which JSON leaves as they are.
    for odd in ('\u{7f}'..='\u{9f}').chain(['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}']) {
        out = out.replace(odd, &format!("\\u{:04x}", u32::from(odd)));
    }
    out
}

/// Splits a list at its commas. An empty part is returned too, so that the reader refuses it.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

/// Parses a time of more than 0, as in `800ms`. The error is a sentence.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let time = parse_time_or_zero(text)?;
    if time.is_zero() { Err(format!("{text:?}: must be more than 0")) } else { Ok(time) }
}

fn parse_time_or_zero(text: &str) -> Result<Duration, String> {
    let example = "as in 800ms, 5s, 1m or 1h";
    refuse_bare_number(text, "time", example)?;
    match humantime::parse_duration(text) {
        Ok(time) if time > LONGEST_TIME => Err(format!("{text:?}: expected a year at most")),
        Ok(time) => Ok(time),
        Err(_) => Err(format!("{text:?}: expected a time, {example}")),
    }
}

/// Formats a time in the largest unit that needs no fraction.
pub(super) fn show_time(time: Duration) -> String {
    const UNITS: [(u128, &str); 6] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    if time.is_zero() { "0s".to_owned() } else { with_unit(time.as_nanos(), &UNITS) }
}

/// Formats an amount in the first of these units that needs no fraction.
fn with_unit(amount: u128, units: &[(u128, &str)]) -> String {
    let fits = units.iter().find(|(unit, _)| amount.is_multiple_of(*unit));
    fits.map(|(unit, name)| format!("{}{name}", amount / unit)).unwrap_or_default()
}

fn parse_size(text: &str) -> Result<usize, String> {
    let example = "as in 64KiB or 1MiB";
    refuse_bare_number(text, "size", example)?;
    let size: ByteSize = text.parse().map_err(|_| format!("{text:?}: expected a size, {example}"))?;
    match usize::try_from(size.as_u64()) {
        Ok(0) => Err(format!("{text:?}: must be more than 0")),
        // No allocation can be larger.
        Ok(size) if size <= isize::MAX as usize => Ok(size),
        _ => Err(format!("{text:?}: more than this machine can hold")),
    }
}

/// Refuses a number without a unit, and a negative one.
fn refuse_bare_number(text: &str, kind: &str, example: &str) -> Result<(), String> {
    if text.starts_with('-') {
        return Err(format!("{text:?}: a {kind} cannot be negative"));
    }
    if text.parse::<f64>().is_ok() {
        return Err(format!("{text:?}: a {kind} needs a unit, {example}"));
    }
    Ok(())
}

/// Log levels, by module or for all.
pub(super) fn log_levels() -> Kind<Targets> {
    let expected = "error, warn, info, debug, trace or off, or a list as in info,h2=debug";
    // A single word would be read as the name of a module, and silence all others.
    let is_module = |part: &str| !part.contains('=') && part.trim().parse::<LevelFilter>().is_err();
    let read = move |text: &str| if text.split(',').any(is_module) { None } else { text.parse().ok() };
    Kind::quoted("log levels", expecting(expected, read))
}
