//! YAML text to a tree that keeps its lines. What such files have no use for is refused: aliases that multiply
//! without end, nesting without end, a second document.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// More than any of these files needs; aliases count as often as they are used.
const MOST_NODES: usize = 20_000;

/// Deeper than any of these files goes.
const DEEPEST: usize = 32;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// The line, from 1.
    pub line: usize,
    /// What stands there.
    pub value: Value,
}

/// A value. Scalars stay text: who reads them knows what they should be.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Text, a number, a truth.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in its order, with keys that are there twice.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The line of the key, from 1.
    pub line: usize,
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Node,
}

/// Why a text cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl Node {
    /// The value of a key, the first if there are several.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }
}

/// Reads a text of one document, or of none.
pub fn read(text: &str) -> Result<Node, Unreadable> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let (event, span) =
            event.map_err(|error| Unreadable { line: error.marker().line(), what: error.info().to_owned() })?;
        let line = span.start.line();
        tree.take(event, line).map_err(|what| Unreadable { line, what })?;
    }
    Ok(tree.root.unwrap_or(Node { line: 1, value: Value::Null }))
}

/// A tree that grows.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    documents: usize,
    /// What is begun and not ended, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

/// A list or map that is not ended.
struct Open {
    line: usize,
    anchor: usize,
    /// How many nodes there were before it.
    before: usize,
    value: Value,
    /// The key whose value comes next, and its line.
    key: Option<(String, usize)>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a second document begins; one is expected".to_owned());
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Scalar(text.into_owned()) };
                self.count(1)?;
                self.place(Node { line, value }, anchor, 1, null)?;
            }
            Event::SequenceStart(anchor, _) => self.begin(line, anchor, Value::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => self.begin(line, anchor, Value::Map(Vec::new()))?,
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Alias(anchor) => {
                let (node, size) = self.anchors.get(&anchor).ok_or("an alias stands inside of what it names")?;
                let (node, size) = (node.clone(), *size);
                self.count(size)?;
                self.place(node, 0, size, false)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES {
            return Err(format!("more than {MOST_NODES} values, aliases followed"));
        }
        Ok(())
    }

    fn begin(&mut self, line: usize, anchor: usize, value: Value) -> Result<(), String> {
        self.count(1)?;
        if self.open.len() == DEEPEST {
            return Err(format!("more than {DEEPEST} levels"));
        }
        self.open.push(Open { line, anchor, before: self.nodes - 1, value, key: None });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(Open { line, anchor, before, mut value, .. }) = self.open.pop() else { return Ok(()) };
        if let Value::Map(entries) = &mut value {
            merge(entries);
        }
        self.place(Node { line, value }, anchor, self.nodes - before, false)
    }

    /// Puts a node where it belongs: the next key or value of what is open.
    fn place(&mut self, node: Node, anchor: usize, size: usize, null: bool) -> Result<(), String> {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { value: Value::Map(entries), key, .. }) => match key.take() {
                Some((key, line)) => entries.push(Entry { line, key, value: node }),
                None => match node.value {
                    Value::Scalar(text) => *key = Some((text, node.line)),
                    _ if null => *key = Some(("null".to_owned(), node.line)),
                    _ => return Err("a key must be a word".to_owned()),
                },
            },
            Some(Open { value: Value::List(items), .. }) => items.push(node),
            // Only lists and maps are opened.
            Some(_) => {}
        }
        Ok(())
    }
}

/// Puts the entries of `<<: *other` among the map's own, which come first.
fn merge(entries: &mut Vec<Entry>) {
    while let Some(place) = entries.iter().position(|entry| entry.key == "<<" && mergeable(&entry.value)) {
        let merged = match entries.remove(place).value.value {
            Value::List(maps) => maps,
            value => vec![Node { line: 0, value }],
        };
        for map in merged {
            let Value::Map(more) = map.value else { continue };
            for entry in more {
                if entries.iter().all(|own| own.key != entry.key) {
                    entries.push(entry);
                }
            }
        }
    }
}

fn mergeable(node: &Node) -> bool {
    match &node.value {
        Value::Map(_) => true,
        Value::List(maps) => maps.iter().all(|map| matches!(map.value, Value::Map(_))),
        _ => false,
    }
}
