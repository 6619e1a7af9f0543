//! Kinds of values: how each is read from text, and written so that it is read back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use tonic::transport::Uri;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The longest time that means anything here.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A kind of value.
pub struct Kind<T> {
    /// Reads one, or says what is wrong with it.
    pub read: fn(&str) -> Result<T, String>,
    /// Writes one as YAML; nothing where there is none.
    pub show: fn(&T) -> Option<String>,
}

/// An address to listen on.
pub const ADDRESS: Kind<SocketAddr> = Kind {
    read: |text| {
        text.parse().map_err(|_| format!("{text:?}: expected an IP address and a port, as in 127.0.0.1:10006"))
    },
    show: |address| Some(quoted(&address.to_string())),
};

/// An address to listen on, if any.
pub const MAYBE_ADDRESS: Kind<Option<SocketAddr>> = Kind {
    read: |text| (ADDRESS.read)(text).map(Some),
    show: |address| address.as_ref().and_then(|address| (ADDRESS.show)(address)),
};

/// A policy service, if any.
pub const POLICY: Kind<Option<Uri>> = Kind {
    read: |text| policy_url(text).map(Some),
    show: |policy| policy.as_ref().map(|url| quoted(&url.to_string())),
};

/// What is logged.
pub const LOG: Kind<Targets> = Kind { read: log, show: |targets| Some(quoted(&targets.to_string())) };

/// A time of more than nothing.
pub const TIME: Kind<Duration> = Kind {
    read: |text| {
        let time = time(text)?;
        if time.is_zero() { Err(format!("{text:?}: must be more than nothing")) } else { Ok(time) }
    },
    show: |time| Some(show_time(*time)),
};

/// A time, or none at all.
pub const TIME_OR_NONE: Kind<Duration> = Kind { read: time, show: |time| Some(show_time(*time)) };

/// A time that is perhaps not set.
pub const MAYBE_TIME: Kind<Option<Duration>> =
    Kind { read: |text| (TIME.read)(text).map(Some), show: |time| time.map(show_time) };

/// A number of bytes.
pub const SIZE: Kind<usize> = Kind { read: size, show: |size| Some(show_size(*size)) };

/// How many.
pub const COUNT: Kind<usize> = Kind {
    read: |text| match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?}: expected a whole number of 1 or more")),
        Ok(count) => Ok(count),
    },
    show: |count| Some(count.to_string()),
};

/// How often.
pub const TIMES: Kind<u32> = Kind {
    read: |text| match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?}: expected a whole number from 1 to {}", u32::MAX)),
        Ok(times) => Ok(times),
    },
    show: |times| Some(times.to_string()),
};

/// The code of a denial.
pub const CODE: Kind<i32> = Kind {
    read: |text| match text.parse() {
        Ok(code @ 100..) => Ok(code),
        _ => Err(format!("{text:?}: expected a whole number of 100 or more: OpenIM replaces lower ones")),
    },
    show: |code| Some(code.to_string()),
};

/// What an API client is told.
pub const SENTENCE: Kind<String> = Kind {
    read: |text| {
        if text.trim().is_empty() { Err("must say something".to_owned()) } else { Ok(text.to_owned()) }
    },
    show: |text| Some(quoted(text)),
};

/// Yes or no.
pub const SWITCH: Kind<bool> = Kind {
    read: |text| text.parse().map_err(|_| format!("{text:?}: expected true or false")),
    show: |on| Some(on.to_string()),
};

/// A file, if any.
pub const FILE: Kind<Option<PathBuf>> = Kind {
    read: |text| if text.is_empty() { Err("expected a file".to_owned()) } else { Ok(Some(text.into())) },
    show: |file| file.as_ref().map(|file| quoted(&file.display().to_string())),
};

/// Text in double quotes, as JSON and YAML have in common.
fn quoted(text: &str) -> String {
    let mut out = serde_json::Value::from(text).to_string();
    // YAML refuses or folds these where JSON has them as they are.
    for odd in ('\u{7f}'..='\u{9f}').chain(['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}']) {
        if out.contains(odd) {
            out = out.replace(odd, &format!("\\u{:04x}", u32::from(odd)));
        }
    }
    out
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

/// Takes what a policy can be reached by: a scheme, a host, a port, and no path. The text may hold a password and is
/// not repeated.
pub fn policy_url(text: &str) -> Result<Uri, String> {
    let example = "expected http:// or https://, a host and a port, as in http://policy:50051";
    let uri: Uri = text.parse().map_err(|error| format!("{error}; {example}"))?;
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(example.to_owned());
    };
    if authority.as_str().contains('@') {
        return Err("a user and password are not sent to a policy service".to_owned());
    }
    if authority.host().is_empty() || authority.port().is_some_and(|port| port.as_u16() == 0) {
        return Err(format!("no host or no port; {example}"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(format!("a path or query has no meaning here; {example}"));
    }
    Ok(uri)
}
