//! Parses YAML to a tree with line numbers. Unbounded aliases, unbounded nesting and a second document are refused.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

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

/// A syntax error.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// The line, from 1.
    pub line: usize,
    /// The sentence.
    pub what: String,
}

impl Node {
    /// Returns the value of a key, the first if it is repeated.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }
}

/// Parses a text of one document, or of none.
pub(super) fn read(text: &str) -> Result<Node, Unreadable> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let (event, span) =
            event.map_err(|error| Unreadable { line: error.marker().line(), what: error.info().to_owned() })?;
        let line = span.start.line();
        tree.take(event, line).map_err(|what| Unreadable { line, what })?;
    }
    Ok(tree.root.unwrap_or(Node { line: 1, value: Value::Null }))
}

/// A tree under construction.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    documents: usize,
    /// The lists and maps that are not complete, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

/// A list or map that is not complete.
struct Open {
    line: usize,
    anchor: usize,
    /// The number of nodes before it.
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
        if self.nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} values, aliases followed"));
        }
        Ok(())
    }

    fn begin(&mut self, line: usize, anchor: usize, value: Value) -> Result<(), String> {
        self.count(1)?;
        if self.open.len() == MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} levels"));
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

    /// Adds a node as the next item, key or value of the innermost open list or map.
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

/// Merges the entries of `<<: *other` into the map; its own keys take precedence.
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
