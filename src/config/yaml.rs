//! Parses YAML to a tree with line numbers. Unbounded aliases and unbounded nesting are refused.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::value::quoted;

/// Maximum number of nodes; an alias counts as often as it is used.
const MAX_NODES: usize = 20_000;

/// Maximum depth.
const MAX_DEPTH: usize = 32;

/// A value and its line.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The line, from 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// A value. Scalars stay text until a setting parses them.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// An empty value, `~` or `null`.
    Null,
    /// Text, a number, a boolean.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in its order; repeated keys are kept.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The line of the key, from 1.
    pub line: usize,
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Node,
}

/// A syntax error: its line, from 1, and a sentence.
pub(super) type Unreadable = (usize, String);

impl Node {
    /// Returns the value of a key, the first if it is repeated.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Returns the entries of a map; `None` for another value.
    pub(super) fn entries(&self) -> Option<&[Entry]> {
        if let Value::Map(entries) = &self.value { Some(entries) } else { None }
    }

    /// Returns the entries of a map, to be changed; none of another value.
    pub(super) fn entries_mut(&mut self) -> &mut [Entry] {
        if let Value::Map(entries) = &mut self.value { entries } else { &mut [] }
    }

    /// Writes the value as YAML on one line, which is read back to the same.
    pub(super) fn flow(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(", ");
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Scalar(text) => plain_or_quoted(text),
            Value::List(items) => format!("[{}]", joined(items.iter().map(Self::flow).collect())),
            Value::Map(entries) => {
                let entry = |entry: &Entry| format!("{}: {}", plain_or_quoted(&entry.key), entry.value.flow());
                format!("{{{}}}", joined(entries.iter().map(entry).collect()))
            }
        }
    }

    /// Returns the text of a scalar; `None` for another value.
    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Scalar(text) = &self.value { Some(text) } else { None }
    }
}

/// Writes a scalar without quotes if it is a plain word or number.
fn plain_or_quoted(text: &str) -> String {
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.*".contains(letter))
        && !text.eq_ignore_ascii_case("null");
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// Parses a text of one document, or of none.
pub(super) fn read(text: &str) -> Result<Node, Unreadable> {
    let mut documents = read_all(text)?.into_iter();
    let root = documents.next().unwrap_or(Node { line: 1, value: Value::Null });
    match documents.next() {
        None => Ok(root),
        Some(second) => Err((second.line, "a second document begins; one is expected".to_owned())),
    }
}

/// Parses a text of any number of documents.
pub(super) fn read_all(text: &str) -> Result<Vec<Node>, Unreadable> {
    let events = Parser::new_from_str(text.trim_start_matches('\u{feff}'));
    let mut reader = Reader { events, anchors: HashMap::new(), nodes: 0 };
    let (mut documents, mut start) = (Vec::new(), 1);
    loop {
        let (event, line) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentStart(_) => start = line,
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            event => documents.push(Node { line: start, ..reader.node(event, line, 0)? }),
        }
    }
}

/// Builds the tree from the parser's events.
struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    /// The nodes with an anchor, and the number of nodes in each.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    /// Returns the next event and its line.
    fn next(&mut self) -> Result<(Event<'t>, usize), Unreadable> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err((error.marker().line(), error.info().to_owned())),
            None => Ok((Event::StreamEnd, 1)),
        }
    }

    /// Reads the next node, `depth` levels below the root; `None` at the end of what it would be in.
    fn next_node(&mut self, depth: usize) -> Result<Option<Node>, Unreadable> {
        match self.next()? {
            (Event::SequenceEnd | Event::MappingEnd | Event::StreamEnd, _) => Ok(None),
            (event, line) => self.node(event, line, depth).map(Some),
        }
    }

    /// Reads the node that begins with an event.
    fn node(&mut self, event: Event<'t>, line: usize, depth: usize) -> Result<Node, Unreadable> {
        let before = self.nodes;
        let (node, size) = match event {
            Event::Alias(anchor) => {
                let inside = || (line, "an alias stands inside of what it names".to_owned());
                self.anchors.get(&anchor).cloned().ok_or_else(inside)?
            }
            _ => (Node { line, value: Value::Null }, 1),
        };
        self.nodes += size;
        if self.nodes > MAX_NODES {
            return Err((line, format!("more than {MAX_NODES} values, aliases followed")));
        }
        if depth >= MAX_DEPTH && matches!(event, Event::SequenceStart(..) | Event::MappingStart(..)) {
            return Err((line, format!("more than {MAX_DEPTH} levels")));
        }
        let (anchor, value) = match event {
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                while let Some(item) = self.next_node(depth + 1)? {
                    items.push(item);
                }
                (anchor, Value::List(items))
            }
            Event::MappingStart(anchor, _) => (anchor, Value::Map(self.entries(depth + 1)?)),
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                (anchor, if null { Value::Null } else { Value::Scalar(text.into_owned()) })
            }
            // An alias: no node begins with another event.
            _ => return Ok(node),
        };
        let node = Node { line, value };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    /// Reads the entries of a map. Those that `<<: *other` merges stand behind its own, which take precedence.
    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, Unreadable> {
        let (mut entries, mut merged) = (Vec::<Entry>::new(), Vec::new());
        while let Some(Node { line, value }) = self.next_node(depth)? {
            let key = match value {
                Value::Scalar(text) => text,
                Value::Null => "null".to_owned(),
                Value::List(_) | Value::Map(_) => return Err((line, "a key must be a word".to_owned())),
            };
            let Some(value) = self.next_node(depth)? else { break };
            match (key == "<<").then(|| mergeable(&value)).flatten() {
                Some(more) => merged.extend(more),
                None => entries.push(Entry { line, key, value }),
            }
        }
        for entry in merged {
            if entries.iter().all(|own| own.key != entry.key) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

/// Returns the entries of a map, or of all maps in a list; `None` for another value.
fn mergeable(node: &Node) -> Option<Vec<Entry>> {
    let maps = if let Value::List(maps) = &node.value { maps } else { std::slice::from_ref(node) };
    let entries: Option<Vec<_>> = maps.iter().map(Node::entries).collect();
    entries.map(|entries| entries.concat())
}
