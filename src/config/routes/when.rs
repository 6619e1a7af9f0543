//! The rows of `when`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::read::RouteReader;
use crate::config::report::{did_you_mean, nearest};
use crate::config::yaml::{Entry, Node, Value};
use crate::contract::{Callback, Condition, Filter, Ids, Place, PlaceKind, Texts, Wanted, field_paths};

/// The content types of OpenIM's own notifications (openimsdk/protocol, constant: NotificationBegin to NotificationEnd).
const NOTIFICATIONS: RangeInclusive<i64> = 1000..=5000;

const TESTS: [&str; 5] = ["in", "prefix", "file", "present", "all"];

/// The values that a row wants, as the file has them.
#[derive(Default)]
struct Given<'n> {
    /// Single values, with their lines.
    values: Vec<(usize, &'n str)>,
    prefixes: Vec<&'n str>,
    files: Vec<Arc<Ids>>,
    present: Option<bool>,
    /// True if every value of a list must be wanted.
    all: Option<bool>,
    /// True if there was a file, even one that could not be read.
    has_file: bool,
}

impl RouteReader<'_, '_> {
    /// Reads rows, all of which have to hold. Returns the filter of each callback.
    pub(super) fn rows(&mut self, path: &str, node: &Node, callbacks: &[&'static Callback]) -> Vec<Filter> {
        let mut filters = vec![Filter::default(); callbacks.len()];
        if let Value::Null = node.value {
            // Conditions that are lost must not let everything pass.
            self.file.mistake(node.line, path, "has no value");
            return filters;
        }
        let entries = self.file.entries(path, node, "conditions by the name of a field");
        if node.entries().is_some() && entries.is_empty() {
            self.file.mistake(node.line, path, "must have one condition at least");
        }
        for entry in entries {
            let path = format!("{path}.{}", entry.key);
            let conditions: Vec<Option<Condition>> = match &*entry.key {
                "not" => {
                    let filters = self.rows(&path, &entry.value, callbacks);
                    filters.into_iter().map(|filter| Some(Condition::Not(filter))).collect()
                }
                "any" => self.any(&path, &entry.value, callbacks).into_iter().map(Some).collect(),
                "notification" => self.notification(&path, entry, callbacks),
                field => self.field(&path, entry, field, callbacks),
            };
            for (filter, condition) in filters.iter_mut().zip(conditions) {
                filter.0.extend(condition);
            }
        }
        filters
    }

    /// Reads a list of rows, one of which has to hold.
    fn any(&mut self, path: &str, node: &Node, callbacks: &[&'static Callback]) -> Vec<Condition> {
        let Value::List(items) = &node.value else {
            self.file.mistake(node.line, path, "expected a list of conditions");
            return Vec::new();
        };
        if items.is_empty() {
            self.file.mistake(node.line, path, "must name one at least");
        }
        let mut any = vec![Vec::new(); callbacks.len()];
        for (index, item) in items.iter().enumerate() {
            let filters = self.rows(&format!("{path}[{index}]"), item, callbacks);
            any.iter_mut().zip(filters).for_each(|(any, filter)| any.push(filter));
        }
        any.into_iter().map(Condition::Any).collect()
    }

    /// Reads whether messages are OpenIM's own notifications, by the field that says what kind their content is of.
    fn notification(&mut self, path: &str, entry: &Entry, callbacks: &[&'static Callback]) -> Vec<Option<Condition>> {
        let wanted = self.truth(path, entry.line, &entry.value);
        let places: Vec<_> = callbacks.iter().map(|callback| kind_of_content(callback)).collect();
        if let Some((callback, _)) = callbacks.iter().zip(&places).find(|(_, place)| place.is_none()) {
            let what = format!("no field of {} says what kind of message it is", callback.config_key);
            self.file.mistake(entry.line, path, what);
        }
        let condition = |place| Condition::Field(place, Wanted::Numbers(vec![NOTIFICATIONS]));
        let conditions = places.into_iter().map(|place| {
            let condition = condition(place?);
            Some(if wanted? { condition } else { Condition::Not(Filter(vec![condition])) })
        });
        conditions.collect()
    }

    /// Reads the condition on a field.
    fn field(
        &mut self,
        path: &str,
        entry: &Entry,
        field: &str,
        callbacks: &[&'static Callback],
    ) -> Vec<Option<Condition>> {
        let given = self.given(path, &entry.value);
        let places = self.places(path, entry.line, field, callbacks);
        let conditions = places.into_iter().map(|place| {
            let place = place?;
            match given.wanted(&place) {
                Ok(wanted) if given.all == Some(true) => Some(Condition::All(place, wanted)),
                Ok(wanted) => Some(Condition::Field(place, wanted)),
                Err((line, what)) => {
                    self.file.mistake(line.unwrap_or(entry.line), path, what);
                    None
                }
            }
        });
        conditions.collect()
    }

    /// Reads the wanted values of a field: one, a list, or tests by name.
    fn given<'n>(&mut self, path: &str, node: &'n Node) -> Given<'n> {
        let mut given = Given::default();
        match &node.value {
            Value::Null => self.file.mistake(node.line, path, "has no value"),
            Value::Scalar(_) | Value::List(_) => given.values = self.texts(path, node),
            Value::Map(tests) if tests.is_empty() => self.file.mistake(node.line, path, "must name one at least"),
            Value::Map(_) => {
                let expected = format!("expected {}", TESTS.join(", "));
                for Entry { line, key, value } in self.file.entries(path, node, &expected) {
                    let path = format!("{path}.{key}");
                    match &**key {
                        "in" => given.values = self.texts(&path, value),
                        "prefix" => {
                            given.prefixes = self.texts(&path, value).into_iter().map(|(_, text)| text).collect();
                            if given.prefixes.contains(&"") {
                                self.file.mistake(*line, &path, "must not be empty: every text begins with it");
                            }
                        }
                        "file" => {
                            given.has_file = true;
                            for (line, file) in self.texts(&path, value) {
                                given.files.extend(self.ids_of(&path, line, file));
                            }
                        }
                        "present" => given.present = self.truth(&path, *line, value),
                        "all" => given.all = self.truth(&path, *line, value),
                        _ => {
                            let hint = did_you_mean(nearest(key, TESTS), &expected);
                            self.file.mistake(*line, &path, format!("no such test; {hint}"));
                        }
                    }
                }
            }
        }
        given
    }

    fn truth(&mut self, path: &str, line: usize, node: &Node) -> Option<bool> {
        let truth = self.single(path, node).and_then(|text| text.parse().ok());
        if truth.is_none() {
            self.file.mistake(line, path, "expected true or false");
        }
        truth
    }
}

impl Given<'_> {
    /// Returns what is wanted of the values at a place. The error is a line, if it is of one value, and a sentence.
    fn wanted(&self, place: &Place) -> Result<Wanted, (Option<usize>, String)> {
        let Self { values, prefixes, files, present, all, has_file } = self;
        let others = !values.is_empty() || !prefixes.is_empty() || *has_file;
        match (present, others) {
            (Some(_), true) => {
                return Err((None, "present and values at once; not and any join conditions".to_owned()));
            }
            (Some(present), false) => return Ok(Wanted::Present(*present)),
            (None, _) if place.is_list && all.is_none() => {
                let what = "a list: say all: true if each of its values must be wanted, all: false if one is enough";
                return Err((None, what.to_owned()));
            }
            _ => {}
        }
        if !place.is_list && all.is_some() {
            return Err((None, "all has no effect: this field has one value".to_owned()));
        }
        if place.kind == PlaceKind::Text {
            for (line, text) in values {
                if text.contains(',') {
                    return Err((Some(*line), format!("{text:?}: expected one value; a list is [a, b]")));
                }
                if text.contains("..") && range(text).is_ok() {
                    return Err((Some(*line), format!("{text:?}: a range is for numbers, and this field is a text")));
                }
            }
            return Ok(Wanted::Texts(Texts {
                equal: values.iter().map(|(_, text)| (*text).into()).collect(),
                sets: files.clone(),
                prefixes: prefixes.iter().map(|prefix| (*prefix).into()).collect(),
            }));
        }
        if !prefixes.is_empty() || *has_file {
            return Err((None, "prefix and file are for texts, and this field is none".to_owned()));
        }
        let ranges = values.iter().map(|(line, text)| {
            let range = match place.kind {
                PlaceKind::Bool => number_of(text),
                _ => range(text),
            };
            range.map_err(|what| (Some(*line), format!("{text:?}: {what}")))
        });
        Ok(Wanted::Numbers(ranges.collect::<Result<_, _>>()?))
    }
}

/// Returns the place of the number that says what kind a message's content is of; `None` for callbacks without messages.
fn kind_of_content(callback: &Callback) -> Option<Place> {
    let known = field_paths(callback.request);
    let name = known.iter().find_map(|(_, field)| field.content_of)?;
    let (path, _) = known.iter().find(|(_, field)| field.json == name)?;
    Place::find(callback.request, &path.name)
}

/// Reads true or false as the number that stands for it.
fn number_of(text: &str) -> Result<RangeInclusive<i64>, &'static str> {
    match text {
        "true" => Ok(1..=1),
        "false" => Ok(0..=0),
        _ => Err("expected true or false"),
    }
}

/// Reads a number, or a range of which either end may be left out; both ends belong to it.
fn range(text: &str) -> Result<RangeInclusive<i64>, &'static str> {
    const EXPECTED: &str = "expected a whole number or a range, as in 101 or 1000..5000";
    let end = |text: &str| text.parse::<i64>().ok();
    let ends = match text.split_once("..") {
        None => end(text).map(|number| (number, number)),
        Some(("", to)) => end(to).map(|to| (i64::MIN, to)),
        Some((from, "")) => end(from).map(|from| (from, i64::MAX)),
        Some((from, to)) => end(from).zip(end(to)),
    };
    match ends.ok_or(EXPECTED)? {
        (from, to) if from > to => Err("its end is before its beginning"),
        (from, to) => Ok(from..=to),
    }
}
