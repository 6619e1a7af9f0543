//! Filters: conditions on encoded requests, by the fields of the contract.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use smallvec::SmallVec;

use super::response::take_bytes;
use super::{Kind, Label, Message};

/// A set of IDs, or of other texts.
pub type Ids = HashSet<Box<str>>;

/// The conditions that all have to hold of a request; none hold of every request.
#[derive(Debug, Clone, Default)]
pub struct Filter(pub Vec<Condition>);

/// A condition on a request.
#[derive(Debug, Clone)]
pub enum Condition {
    /// A wanted value of a field.
    Field(Place, Wanted),
    /// A list with values, all of them wanted.
    All(Place, Wanted),
    /// No match of a filter.
    Not(Filter),
    /// A match of at least one of these filters.
    Any(Vec<Filter>),
}

/// The wanted values of a field.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// A number in one of these ranges; false is 0, true is 1.
    Numbers(Vec<RangeInclusive<i64>>),
    /// A text of these.
    Texts(Texts),
    /// True for a field with a value, false for one without. 0, false and an empty text are values in `optional` fields and in
    /// lists alone.
    Present(bool),
}

/// Wanted texts: those that are equal to one of these, are in a set, or begin with a prefix.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the struct says it")]
pub struct Texts {
    pub equal: Ids,
    pub sets: Vec<Arc<Ids>>,
    pub prefixes: Vec<Box<str>>,
}

/// The place of a field in the encoded requests of one callback.
#[derive(Debug, Clone)]
pub struct Place {
    /// The numbers of the fields on the way to it, and its own.
    numbers: SmallVec<[u32; 3]>,
    /// The type of its values.
    pub kind: PlaceKind,
    /// True if there may be several values: it is a list, or in a list of messages.
    pub is_list: bool,
    /// True if an absent value is zero.
    is_plain: bool,
    /// True if it is in no message that may be absent.
    is_at_hand: bool,
}

/// The type of the values at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceKind {
    /// Whole numbers.
    Number,
    /// True or false.
    Bool,
    /// Texts.
    Text,
}

/// A value in an encoded request.
#[derive(Debug, Clone, Copy)]
enum Encoded<'a> {
    Number(i64),
    Text(&'a str),
}

impl Place {
    /// Finds a field that holds no message itself, by the contract's names, joined by dots: `message.send_id`. The name of a
    /// group whose fields stand among the others in OpenIM's JSON may be left out: `send_id`.
    pub fn find(message: &'static Message, path: &str) -> Option<Self> {
        message.fields.iter().find_map(|field| {
            let group = field.group.and_then(|group| message.groups.get(group));
            let path = group.and_then(|group| path.strip_prefix(group.name)?.strip_prefix('.')).unwrap_or(path);
            let rest = path.strip_prefix(field.name)?;
            let mut numbers: SmallVec<[u32; 3]> = group.map(|group| group.number).into_iter().collect();
            numbers.push(field.number);
            let kind = match (field.kind, rest) {
                (Kind::Message(inner) | Kind::Bare(inner), _) => {
                    let inner = Self::find(inner, rest.strip_prefix('.')?)?;
                    numbers.extend(inner.numbers);
                    let is_list = inner.is_list || field.label == Label::Repeated;
                    return Some(Self { numbers, is_list, is_at_hand: false, ..inner });
                }
                (Kind::Bool, "") => PlaceKind::Bool,
                (Kind::String, "") => PlaceKind::Text,
                (Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::CodePoint, "") => PlaceKind::Number,
                _ => return None,
            };
            let is_at_hand = group.is_none_or(|group| !group.optional);
            let (is_list, is_plain) = (field.label == Label::Repeated, field.label == Label::Plain);
            (field.label != Label::Map).then_some(Self { numbers, kind, is_list, is_plain, is_at_hand })
        })
    }

    /// Returns the text at this place in a request; `None` where it is absent or empty, or no text.
    pub fn text<'a>(&self, request: &'a [u8]) -> Option<&'a str> {
        let mut text = "";
        self.each(request, &mut |value| {
            if let Encoded::Text(value) = value {
                text = value;
            }
        })?;
        Some(text).filter(|text| !text.is_empty())
    }

    /// Passes each value at this place to `see`: one at most, unless it is a list. `None` if the request cannot be read.
    fn each<'a>(&self, request: &'a [u8], see: &mut dyn FnMut(Encoded<'a>)) -> Option<()> {
        if self.is_list {
            self.collect(request, &self.numbers, see)?;
            return Some(());
        }
        // A later value overrides an earlier one.
        let mut last = None;
        let is_there = self.collect(request, &self.numbers, &mut |value| last = Some(value))?;
        let zero = (self.is_plain && (is_there || self.is_at_hand)).then(|| self.zero());
        last.or(zero).into_iter().for_each(see);
        Some(())
    }

    /// Passes on the values at the end of a way through messages. Returns true if a message is there that can hold the field.
    fn collect<'a>(&self, mut bytes: &'a [u8], numbers: &[u32], see: &mut dyn FnMut(Encoded<'a>)) -> Option<bool> {
        let (wanted, rest) = numbers.split_first()?;
        let (mut is_there, mut is_absent) = (rest.is_empty(), true);
        while !bytes.is_empty() {
            match decode_key(&mut bytes).ok()? {
                (number, WireType::LengthDelimited) if number == *wanted => {
                    let mut inner = take_bytes(&mut bytes)?;
                    is_absent = false;
                    match (rest, self.kind) {
                        ([], PlaceKind::Text) => see(Encoded::Text(std::str::from_utf8(inner).ok()?)),
                        ([], _) => {
                            // A packed list.
                            while !inner.is_empty() {
                                see(Encoded::Number(decode_varint(&mut inner).ok()? as i64));
                            }
                        }
                        (rest, _) => is_there |= self.collect(inner, rest, see)?,
                    }
                }
                (number, WireType::Varint) if number == *wanted && rest.is_empty() && self.kind != PlaceKind::Text => {
                    is_absent = false;
                    see(Encoded::Number(decode_varint(&mut bytes).ok()? as i64));
                }
                (number, wire_type) => skip_field(wire_type, number, &mut bytes, DecodeContext::default()).ok()?,
            }
        }
        if rest.is_empty() && is_absent && self.is_list && self.is_plain {
            see(self.zero());
        }
        Some(is_there)
    }

    fn zero(&self) -> Encoded<'static> {
        if self.kind == PlaceKind::Text { Encoded::Text("") } else { Encoded::Number(0) }
    }
}

impl Texts {
    fn contains(&self, text: &str) -> bool {
        self.equal.contains(text)
            || self.sets.iter().any(|set| set.contains(text))
            || self.prefixes.iter().any(|prefix| text.starts_with(&**prefix))
    }
}

impl Wanted {
    /// Returns true if a value is as wanted. One of `Present` is asked of values that are there.
    fn is_met_by(&self, place: &Place, value: Encoded<'_>) -> bool {
        match (self, value) {
            (Self::Present(_), value) => !place.is_plain || !matches!(value, Encoded::Number(0) | Encoded::Text("")),
            (Self::Numbers(ranges), Encoded::Number(number)) => ranges.iter().any(|range| range.contains(&number)),
            (Self::Texts(texts), Encoded::Text(text)) => texts.contains(text),
            _ => false,
        }
    }

    /// Returns true if one value at a place is as wanted, or `all` of them are; `None` if the request cannot be read.
    fn holds(&self, place: &Place, all: bool, request: &[u8]) -> Option<bool> {
        let (mut met, mut unmet) = (false, false);
        place.each(request, &mut |value| match self.is_met_by(place, value) {
            true => met = true,
            false => unmet = true,
        })?;
        let holds = met && !(all && unmet);
        Some(if let Self::Present(wanted) = self { holds == *wanted } else { holds })
    }
}

impl Filter {
    /// Returns true if the filter matches every request.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the filter matches a request; `None` if the request cannot be read, which those that hookgate encodes
    /// can.
    pub fn matches(&self, request: &[u8]) -> Option<bool> {
        for condition in &self.0 {
            let holds = match condition {
                Condition::Field(place, wanted) => wanted.holds(place, false, request)?,
                Condition::All(place, wanted) => wanted.holds(place, true, request)?,
                Condition::Not(filter) => !filter.matches(request)?,
                Condition::Any(filters) => {
                    let mut holds = false;
                    for filter in filters {
                        holds = holds || filter.matches(request)?;
                    }
                    holds
                }
            };
            if !holds {
                return Some(false);
            }
        }
        Some(true)
    }
}
