//! Kinds of values: how each is read from text, and written so that it is read back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use tokio_rustls::rustls::pki_types::ServerName;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The longest time that means anything here.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A kind of value.
pub struct Kind<T> {
    /// Whether it is a list: of YAML, or with commas as [`parts`] has it.
    pub list: bool,
    /// Reads one, or says what is wrong with it.
    pub read: fn(&str) -> Result<T, String>,
    /// Writes one as YAML; nothing where there is none.
    pub show: fn(&T) -> Option<String>,
}

/// An IP address and a port to listen on, if any.
pub const MAYBE_ADDRESS: Kind<Option<SocketAddr>> = Kind {
    list: false,
    read: |text| {
        let address = text.parse().map(Some);
        address.map_err(|_| format!("{text:?}: expected an IP address and a port, as in 127.0.0.1:50051"))
    },
    show: |address| address.as_ref().map(|address| quoted(&address.to_string())),
};

/// What is logged.
pub const LOG: Kind<Targets> = Kind { list: false, read: log, show: |targets| Some(quoted(&targets.to_string())) };

/// A time of more than nothing.
pub const TIME: Kind<Duration> = Kind {
    list: false,
    read: |text| {
        let time = time(text)?;
        if time.is_zero() { Err(format!("{text:?}: must be more than nothing")) } else { Ok(time) }
    },
    show: |time| Some(show_time(*time)),
};

/// A time, or none at all.
pub const TIME_OR_NONE: Kind<Duration> = Kind { list: false, read: time, show: |time| Some(show_time(*time)) };

/// A time that is perhaps not set.
pub const MAYBE_TIME: Kind<Option<Duration>> =
    Kind { list: false, read: |text| (TIME.read)(text).map(Some), show: |time| time.map(show_time) };

/// A number of bytes.
pub const SIZE: Kind<usize> = Kind { list: false, read: size, show: |size| Some(show_size(*size)) };

/// How many.
pub const COUNT: Kind<usize> = Kind {
    list: false,
    read: |text| match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?}: expected a whole number of 1 or more")),
        Ok(count) => Ok(count),
    },
    show: |count| Some(count.to_string()),
};

/// How often.
pub const TIMES: Kind<u32> = Kind {
    list: false,
    read: |text| match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?}: expected a whole number from 1 to {}", u32::MAX)),
        Ok(times) => Ok(times),
    },
    show: |times| Some(times.to_string()),
};

/// A part of a whole.
pub const SHARE: Kind<f64> = Kind {
    list: false,
    read: |text| match text.parse() {
        Ok(share @ 0.0..=1.0) => Ok(share),
        _ => Err(format!("{text:?}: expected a number from 0 to 1, as in 0.1")),
    },
    show: |share| Some(share.to_string()),
};

/// The code of a denial.
pub const CODE: Kind<i32> = Kind {
    list: false,
    read: |text| match text.parse() {
        Ok(code @ 100..) => Ok(code),
        _ => Err(format!("{text:?}: expected a whole number of 100 or more: OpenIM replaces lower ones")),
    },
    show: |code| Some(code.to_string()),
};

/// What an API client is told.
pub const SENTENCE: Kind<String> = Kind {
    list: false,
    read: |text| {
        if text.trim().is_empty() { Err("must say something".to_owned()) } else { Ok(text.to_owned()) }
    },
    show: |text| Some(quoted(text)),
};

/// Yes or no.
pub const SWITCH: Kind<bool> = Kind {
    list: false,
    read: |text| text.parse().map_err(|_| format!("{text:?}: expected true or false")),
    show: |on| Some(on.to_string()),
};

/// A file, if any.
pub const FILE: Kind<Option<PathBuf>> = Kind {
    list: false,
    read: |text| if text.is_empty() { Err("expected a file".to_owned()) } else { Ok(Some(text.into())) },
    show: |file| file.as_ref().map(|file| quoted(&file.display().to_string())),
};

/// A name that a certificate can have, if any.
pub const MAYBE_NAME: Kind<Option<String>> = Kind {
    list: false,
    read: |text| match ServerName::try_from(text) {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(_) => Err(format!("{text:?}: expected a host name or an IP address")),
    },
    show: |name| name.as_ref().map(|name| quoted(name)),
};

/// Text in double quotes, as JSON and YAML have in common.
pub fn quoted(text: &str) -> String {
    let mut out = serde_json::Value::from(text).to_string();
    // YAML refuses or folds these where JSON has them as they are.
    for odd in ('\u{7f}'..='\u{9f}').chain(['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}']) {
        if out.contains(odd) {
            out = out.replace(odd, &format!("\\u{:04x}", u32::from(odd)));
        }
    }
    out
}

/// The parts of a list in one text. An empty one is a part too, and for whoever reads it to refuse.
pub fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

/// Parts that are YAML as a list of it; nothing where there are none.
pub fn show_list(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| format!("[{}]", parts.join(", ")))
}

fn time(text: &str) -> Result<Duration, String> {
    let example = "as in 800ms, 5s, 1m or 1h";
    if text.starts_with('-') {
        return Err(format!("{text:?}: a time cannot be negative"));
    }
    if text.parse::<f64>().is_ok() {
        return Err(format!("{text:?}: a time needs a unit, {example}"));
    }
    match humantime::parse_duration(text) {
        Ok(time) if time > LONGEST => Err(format!("{text:?}: expected a year at most")),
        Ok(time) => Ok(time),
        Err(_) => Err(format!("{text:?}: expected a time, {example}")),
    }
}

/// A time in the largest unit that leaves no rest.
pub fn show_time(time: Duration) -> String {
    const UNITS: [(u128, &str); 5] =
        [(3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let nanos = time.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let fits = UNITS.iter().find(|(unit, _)| nanos.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{nanos}ns"), |(unit, name)| format!("{}{name}", nanos / unit))
}

fn size(text: &str) -> Result<usize, String> {
    let example = "as in 64KiB or 1MiB";
    if text.starts_with('-') {
        return Err(format!("{text:?}: a size cannot be negative"));
    }
    if text.parse::<f64>().is_ok() {
        return Err(format!("{text:?}: a size needs a unit, {example}"));
    }
    let size: ByteSize = text.parse().map_err(|_| format!("{text:?}: expected a size, {example}"))?;
    match usize::try_from(size.as_u64()) {
        Ok(0) => Err(format!("{text:?}: must be more than nothing")),
        // No allocation can be larger.
        Ok(size) if size <= isize::MAX as usize => Ok(size),
        _ => Err(format!("{text:?}: more than this machine can hold")),
    }
}

/// A size in the largest unit that leaves no rest.
fn show_size(size: usize) -> String {
    let fits = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")].into_iter();
    let fits = fits.filter(|(unit, _)| size >= *unit).find(|(unit, _)| size.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{size}B"), |(unit, name)| format!("{}{name}", size / unit))
}

fn log(text: &str) -> Result<Targets, String> {
    let accepted = "expected error, warn, info, debug, trace or off, or a list as in info,hookgate=debug";
    // A word alone would be taken for a module, and silence everything else.
    let word = text.split(',').find(|part| !part.contains('=') && part.trim().parse::<LevelFilter>().is_err());
    if word.is_some() {
        return Err(format!("{text:?}: {accepted}"));
    }
    text.parse().map_err(|_| format!("{text:?}: {accepted}"))
}
