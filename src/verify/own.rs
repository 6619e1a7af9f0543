//! Webhooks that a user has at hand: bodies as OpenIM posts them, and fixtures.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::nearest;
use crate::contract::{Callback, check_object, transcode};

/// Ends of the names of a directory's files that are read.
const EXTENSIONS: [&str; 3] = ["json", "jsonl", "ndjson"];

/// Maximum mistakes of a file that are reported.
const MOST_MISTAKES: usize = 10;

/// A webhook of the user's.
#[derive(Debug)]
pub(crate) struct OwnRequest {
    /// The callback.
    pub callback: &'static Callback,
    /// Path and query of the URL.
    pub path: String,
    /// JSON body.
    pub body: Bytes,
    /// The file and the line, as in `webhooks.jsonl:3`.
    pub source: String,
}

/// A story of a fixture.
#[derive(Deserialize)]
struct Story<'a> {
    #[serde(borrow)]
    webhook_sends: &'a RawValue,
    command: Option<String>,
    query: Option<String>,
}

/// Reads a file, the files of a directory, or standard input (`-`).
///
/// # Errors
///
/// All mistakes, each with file, line and field.
pub(crate) fn read(path: &Path) -> Result<Vec<OwnRequest>, Vec<String>> {
    let failed = |path: &Path, error: io::Error| vec![format!("{}: {error}", path.display())];
    let stdin = Path::new("-");
    let mut files = vec![path.to_owned()];
    if path != stdin && path.is_dir() {
        let entries =
            fs::read_dir(path).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
        files = entries.map_err(|error| failed(path, error))?;
        let is_read = |file: &PathBuf| file.extension().is_some_and(|end| EXTENSIONS.iter().any(|read| *read == end));
        files.retain(is_read);
        files.sort_unstable();
    }
    let (mut requests, mut mistakes) = (Vec::new(), Vec::new());
    for file in files {
        let text = if file == stdin { io::read_to_string(io::stdin()) } else { fs::read_to_string(&file) };
        let text = text.map_err(|error| failed(&file, error));
        let stem = file.file_stem().and_then(|stem| stem.to_str()).and_then(Callback::by_name);
        match text.and_then(|text| parse(&file.display().to_string(), stem, &text)) {
            Ok(read) => requests.extend(read),
            Err(found) => mistakes.extend(found),
        }
    }
    if requests.is_empty() && mistakes.is_empty() {
        mistakes.push(format!("{}: holds no webhook", path.display()));
    }
    if mistakes.is_empty() { Ok(requests) } else { Err(mistakes) }
}

/// Parses the text of a file. `by_name` is the callback that the file is named after.
fn parse(name: &str, by_name: Option<&'static Callback>, text: &str) -> Result<Vec<OwnRequest>, Vec<String>> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader { name, by_name, text, counted: (0, 1), requests: Vec::new(), mistakes: Vec::new() };
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        match value {
            Ok(raw) => reader.value(raw.get(), true),
            Err(error) => reader.invalid(text, &error),
        }
    }
    let Reader { requests, mut mistakes, .. } = reader;
    if mistakes.len() > MOST_MISTAKES {
        let more = mistakes.split_off(MOST_MISTAKES).len();
        mistakes.push(format!("{name}: and {more} more"));
    }
    if mistakes.is_empty() { Ok(requests) } else { Err(mistakes) }
}

struct Reader<'t> {
    name: &'t str,
    by_name: Option<&'static Callback>,
    text: &'t str,
    /// A place in the text, in bytes, and its line.
    counted: (usize, usize),
    requests: Vec<OwnRequest>,
    mistakes: Vec<String>,
}

impl<'t> Reader<'t> {
    /// Reads a body, a fixture, or a list of them, which stands in no other list.
    fn value(&mut self, raw: &'t str, may_be_list: bool) {
        if may_be_list && raw.starts_with('[') {
            return self.list(raw);
        }
        let members: BTreeMap<Cow<'t, str>, &'t RawValue> = match serde_json::from_str(raw) {
            Ok(members) => members,
            Err(_) => return self.mistake(raw, "a webhook's body must be an object"),
        };
        if let Some(stories) = members.get("stories").filter(|_| may_be_list) {
            self.list(stories.get());
        } else if members.contains_key("webhook_sends") {
            match serde_json::from_str::<Story<'t>>(raw) {
                Ok(story) => self.body(story.webhook_sends.get(), story.command.as_deref(), story.query.as_deref()),
                Err(error) => self.invalid(raw, &error),
            }
        } else {
            self.body(raw, None, None);
        }
    }

    fn list(&mut self, raw: &'t str) {
        match serde_json::from_str::<Vec<&RawValue>>(raw) {
            Ok(values) => values.into_iter().for_each(|value| self.value(value.get(), false)),
            Err(error) => self.invalid(raw, &error),
        }
    }

    /// Adds a body, if OpenIM would send it. A story may be about a command that the contract does not have.
    fn body(&mut self, raw: &'t str, command: Option<&str>, query: Option<&str>) {
        #[derive(Deserialize)]
        struct Body {
            #[serde(rename = "callbackCommand")]
            command: Option<String>,
        }

        let named = match serde_json::from_str::<Body>(raw) {
            Ok(body) => body.command,
            Err(error) => return self.invalid(raw, &error),
        };
        let by_name = self.by_name.map(|callback| callback.command.to_owned());
        let Some(posted) = command.map(str::to_owned).or(named).or(by_name).filter(|command| !command.is_empty())
        else {
            return self.mistake(raw, "callbackCommand must be there: it names the callback");
        };
        let known = Callback::by_command(&posted);
        let Some(callback) = known.or_else(|| command.map(|_| Callback::fallback())) else {
            let nearest = nearest(&posted, Callback::all().iter().map(|callback| callback.command));
            let nearest = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
            return self.mistake(raw, &format!("callbackCommand {posted:?}: no such callback{nearest}"));
        };
        let check = |body: &str| match known {
            Some(callback) => transcode(callback.request, &posted, body.as_bytes()).map(drop),
            None => check_object(body.as_bytes()).map(drop),
        };
        if check(raw).is_err() {
            // As white space before it keeps its place in the file, the error has that place.
            let (line, column) = self.place(raw);
            let placed = ["\n".repeat(line - 1), " ".repeat(column - 1), raw.to_owned()].concat();
            let mistake = check(&placed).err().map(|malformed| format!("{}: {malformed}", self.name));
            return self.mistakes.extend(mistake);
        }
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let line = self.place(raw).0;
        let source = format!("{}:{line}", self.name);
        let body = raw.to_owned().into();
        self.requests.push(OwnRequest { callback, path: format!("/{posted}{query}"), body, source });
    }

    fn mistake(&mut self, raw: &str, what: &str) {
        let (line, column) = self.place(raw);
        self.mistakes.push(format!("{}: {what} (line {line}, column {column})", self.name));
    }

    /// Adds the mistake of JSON that cannot be read; `raw` was read.
    fn invalid(&mut self, raw: &str, error: &serde_json::Error) {
        let (mut line, mut column) = self.place(raw);
        let text = error.to_string();
        let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
        if error.line() > 1 {
            (line, column) = (line + error.line() - 1, error.column());
        } else {
            column += error.column().saturating_sub(1);
        }
        self.mistakes.push(format!("{}: {reason} (line {line}, column {column})", self.name));
    }

    /// Returns line and column of a part of the text.
    fn place(&mut self, raw: &str) -> (usize, usize) {
        let at = raw.as_ptr().addr() - self.text.as_ptr().addr();
        // Mostly the parts come in their order: lines are counted once.
        let (counted, line) = if at < self.counted.0 { (0, 1) } else { self.counted };
        self.counted = (at, line + self.text[counted..at].matches('\n').count());
        let column = at - self.text[..at].rfind('\n').map_or(0, |end| end + 1) + 1;
        (self.counted.1, column)
    }
}
