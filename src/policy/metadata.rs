//! What travels beside a message.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use tonic::metadata::MetadataMap;

/// What a header cannot carry as it is: all but printable ASCII, and what makes the encoding ambiguous.
const NOT_METADATA: &AsciiSet = &CONTROLS.add(b'%');

/// How many entries there are on the wire, tonic's own among them.
const ON_THE_WIRE: usize = 12;

/// Names and values, as a list: it is kept, and sent with every attempt; a map of it has a kilobyte of room to grow.
#[derive(Debug, Clone, Default)]
pub struct Metadata(Vec<(HeaderName, HeaderValue)>);

impl Metadata {
    /// Without entries.
    pub fn new() -> Self {
        Self(Vec::with_capacity(4))
    }

    /// Adds an entry. What metadata cannot carry of `text` is percent-encoded.
    ///
    /// # Panics
    /// If `name` is not the lower-case name of a header.
    pub fn insert(&mut self, name: &'static str, text: &str) {
        let text: Cow<'_, str> = percent_encode(text.as_bytes(), NOT_METADATA).into();
        if let Ok(value) = HeaderValue::from_str(&text) {
            self.0.push((HeaderName::from_static(name), value));
        }
    }

    /// The value of an entry; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        let value = self.0.iter().find(|(candidate, _)| candidate == name);
        value.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default()
    }

    /// The memory that it takes, about.
    pub(crate) fn size(&self) -> usize {
        self.0.iter().map(|pair| size_of_val(pair) + pair.1.len()).sum()
    }

    /// What is sent with the first, second, … attempt.
    pub(super) fn of_attempt(&self, attempt: u32) -> MetadataMap {
        let mut headers = HeaderMap::with_capacity(ON_THE_WIRE);
        for (name, value) in &self.0 {
            headers.insert(name, value.clone());
        }
        headers.insert("hookgate-attempt", attempt.into());
        MetadataMap::from_headers(headers)
    }
}
