//! From parser events to JSON values.
//!
//! Holds the open collections on a stack of its own, so that depth costs no call stack. Knows the words of YAML (anchor, alias, merge key,
//! tag) and asks `resolve` what a scalar means. Source of the rules: goyaml.v2 `decode.go` and sigs.k8s.io/yaml `yaml.go`.
//! Invariant: nothing is copied before the [`Budget`] has been asked.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag};
use serde_json::{Map, Value};

use super::explain;
use super::gaps::Gaps;
use super::read::{DEPTH_MAX, Document, DuplicateKeys, Limits, Marks, Position, ReadError, Settings};
use super::repair::{Expected, Stop};
use super::resolve::{self, Plain};
use super::source::Survey;

/// Why composing stopped.
pub(super) enum Fault {
    /// The parser stopped; perhaps it can be helped.
    Syntax(Stop),
    /// A repair was none: the parser sees the text otherwise than the repair took it.
    Misjudged,
    /// A key that its mapping has already.
    Duplicate(ReadError),
    Error(ReadError),
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Fault::Error(error)
    }
}

/// Which documents to compose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    First,
    All,
}

/// Composes documents of `text`, which has passed the survey, and in which the parser must see what is expected of repairs.
pub(super) fn compose(
    text: &str,
    survey: Survey,
    settings: &Settings,
    extent: Extent,
    expected: Expected<'_>,
) -> Result<Vec<Document>, Fault> {
    let depth_max = settings.limits.depth.min(DEPTH_MAX);
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.disallow_directives = true;
    options.emit_anchor_events = true;
    options.flow_nesting_limit = depth_max;
    options.block_nesting_limit = depth_max;
    let parser = Parser::new_from_str_with_options(text, options);
    let composer = Composer {
        text,
        // A stream that begins with a brace is JSON to kubectl, and JSON has escapes that YAML 1.1 lacks.
        json: text.trim_ascii_start().starts_with('{'),
        settings,
        extent,
        depth_max,
        budget: Budget { limits: settings.limits, nodes: 0, bytes: 0 },
        visits: Visits::default(),
        frames: Vec::new(),
        anchors: BTreeMap::new(),
        marking: settings.marks.then(Marking::default),
        gaps: Gaps::new(text, survey),
        expected,
        passed: 0,
        marker: Position::default(),
        start: None,
        root: Value::Null,
        documents: Vec::new(),
    };
    composer.run(parser)
}

struct Composer<'t> {
    text: &'t str,
    json: bool,
    settings: &'t Settings,
    extent: Extent,
    depth_max: usize,
    budget: Budget,
    visits: Visits,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Anchored>,
    marking: Option<Marking>,
    gaps: Option<Gaps<'t>>,
    expected: Expected<'t>,
    /// End of the last event.
    passed: usize,
    /// Where the document begins.
    marker: Position,
    /// Where its first value stands.
    start: Option<Position>,
    root: Value,
    documents: Vec<Document>,
}

/// An open collection.
struct Frame {
    collection: Collection,
    anchor: usize,
    /// Visits of the document before it.
    visited: usize,
    /// Offset of its beginning.
    start: usize,
    /// Column of its entries from 0 if it is in block style; `None` in flow style.
    block_column: Option<usize>,
    /// Length of its pointer.
    pointer_len: usize,
}

enum Collection {
    Sequence(Vec<Value>),
    Mapping(Mapping),
}

#[derive(Default)]
struct Mapping {
    entries: Map<String, Value>,
    /// Keys that a merge brought in; a later explicit entry replaces them without being a duplicate.
    merged: BTreeSet<String>,
    slot: Slot,
}

/// What the next node of a mapping is.
#[derive(Default)]
enum Slot {
    #[default]
    Key,
    Value(String),
    /// The value of a merge key that stands here.
    Merge(Position),
}

/// A value that an alias can stand for, and what a copy of it costs.
struct Anchored {
    value: Value,
    cost: Cost,
    visits: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Cost {
    fn of(value: &Value) -> Cost {
        let mut cost = Cost { nodes: 1, bytes: 0, depth: 0 };
        let mut add = |child: &Value| {
            let Cost { nodes, bytes, depth } = Cost::of(child);
            cost.nodes += nodes;
            cost.bytes += bytes;
            cost.depth = cost.depth.max(depth);
        };
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => cost.bytes += text.len(),
            Value::Array(items) => {
                items.iter().for_each(&mut add);
                cost.depth += 1;
            }
            Value::Object(entries) => {
                entries.values().for_each(&mut add);
                cost.bytes += entries.keys().map(String::len).sum::<usize>();
                cost.depth += 1;
            }
        }
        cost
    }
}

/// What has been spent of the limits.
struct Budget {
    limits: Limits,
    nodes: usize,
    bytes: usize,
}

impl Budget {
    fn spend(&mut self, cost: Cost, at: Position) -> Result<(), ReadError> {
        self.nodes = self.nodes.saturating_add(cost.nodes);
        self.bytes = self.bytes.saturating_add(cost.bytes);
        let Limits { nodes, bytes, .. } = self.limits;
        if self.nodes > nodes {
            let message = format!("more than {nodes} values, aliases included");
            return Err(ReadError { message, at });
        }
        if self.bytes > bytes {
            let message = format!("anchors and aliases copy more than {bytes} bytes");
            return Err(ReadError { message, at });
        }
        Ok(())
    }
}

/// How many nodes of a document have been looked at, keys and aliases among them, and how many of these because of an alias.
///
/// The rule is that of Go's reader, so that what it takes is taken: small documents may be nearly all aliases, large ones hardly.
#[derive(Default)]
struct Visits {
    all: usize,
    aliased: usize,
}

impl Visits {
    fn node(&mut self, at: Position) -> Result<(), ReadError> {
        self.all += 1;
        self.check(at)
    }

    fn alias(&mut self, visits: usize, at: Position) -> Result<(), ReadError> {
        self.all = self.all.saturating_add(visits);
        self.aliased = self.aliased.saturating_add(visits);
        self.check(at)
    }

    fn check(&self, at: Position) -> Result<(), ReadError> {
        const FREE: usize = 400_000;
        const SCARCE: usize = 4_000_000;
        let Visits { all, aliased } = *self;
        if aliased <= 100 || all <= 1000 {
            return Ok(());
        }
        let above = all.clamp(FREE, SCARCE) - FREE;
        let share_max = 0.99 - 0.89 * (above as f64 / (SCARCE - FREE) as f64);
        if aliased as f64 / all as f64 > share_max {
            let message = "document contains excessive aliasing: nearly all of its values are copies".to_owned();
            return Err(ReadError { message, at });
        }
        Ok(())
    }
}

/// Keeps the pointer of the node at hand and the marks of the document at hand.
#[derive(Default)]
pub(super) struct Marking {
    pub(super) pointer: String,
    pub(super) marks: Marks,
    /// Bytes of all pointers kept so far, of all documents.
    bytes: usize,
}

impl Marking {
    pub(super) fn descend(&mut self, parent_len: usize, token: &str) {
        self.pointer.truncate(parent_len);
        self.pointer.push('/');
        for part in token.split_inclusive(['~', '/']) {
            let (plain, escaped) = match part.as_bytes().last() {
                Some(b'~') => (part.strip_suffix('~'), "~0"),
                Some(b'/') => (part.strip_suffix('/'), "~1"),
                _ => (None, ""),
            };
            self.pointer.push_str(plain.unwrap_or(part));
            self.pointer.push_str(escaped);
        }
    }

    fn spend(&mut self, limits: Limits, at: Position) -> Result<(), ReadError> {
        self.bytes = self.bytes.saturating_add(self.pointer.len());
        let limit = limits.bytes.saturating_mul(4);
        if self.bytes > limit {
            return Err(ReadError { message: format!("the positions of all values take more than {limit} bytes"), at });
        }
        Ok(())
    }

    pub(super) fn mark_value(&mut self, limits: Limits, at: Position) -> Result<(), ReadError> {
        self.spend(limits, at)?;
        self.marks.values.insert(self.pointer.clone(), at);
        Ok(())
    }

    pub(super) fn mark_key(&mut self, limits: Limits, at: Position) -> Result<(), ReadError> {
        self.spend(limits, at)?;
        self.marks.keys.insert(self.pointer.clone(), at);
        Ok(())
    }

    /// Forgets the marks of all that is below the pointer.
    fn forget_below(&mut self) {
        // `0` follows `/`: from there on pointers are not below.
        let below = format!("{}/", self.pointer)..format!("{}0", self.pointer);
        for marks in [&mut self.marks.values, &mut self.marks.keys] {
            let stale: Vec<String> = marks.range(below.clone()).map(|(pointer, _)| pointer.clone()).collect();
            for pointer in stale {
                marks.remove(&pointer);
            }
        }
    }
}

impl<'t> Composer<'t> {
    fn run(mut self, mut parser: Parser<'t, StrInput<'t>>) -> Result<Vec<Document>, Fault> {
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|error| Fault::Syntax(self.stop(&error)))?;
            if let Some(gaps) = &mut self.gaps {
                let flow = self.frames.last().is_some_and(|frame| frame.block_column.is_none());
                let column = self.frames.iter().rev().find_map(|frame| frame.block_column);
                gaps.pass(&event, span, flow, column)?;
            }
            self.expected.see(&event, span);
            self.passed = self.passed.max(span.end.byte_offset().unwrap_or(0));
            match event {
                Event::DocumentStart(..) => self.start_document(span)?,
                Event::DocumentEnd => {
                    self.end_document();
                    if self.extent == Extent::First {
                        break;
                    }
                }
                Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), span)?,
                Event::SequenceStart(style, anchor, _) => {
                    let at = self.list_position(style, span);
                    self.open(Collection::Sequence(Vec::new()), style, anchor, at, span)?;
                }
                Event::MappingStart(style, anchor, _) => {
                    self.open(Collection::Mapping(Mapping::default()), style, anchor, position(span.start), span)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(position(span.start))?,
                Event::Alias(anchor) => self.alias(anchor, span)?,
                Event::Anchor(_, name) => explain::anchor(&name, position(span.start))?,
                Event::StreamStart | Event::StreamEnd => {}
                // None that the options ask for; an unknown one must not be skipped, it may be a value.
                _ => return Err(error("this kind of node is not supported".to_owned(), position(span.start))),
            }
        }
        if !self.expected.all_seen() {
            return Err(Fault::Misjudged);
        }
        Ok(self.documents)
    }

    fn stop(&self, error: &ScanError) -> Stop {
        let flow = self.frames.iter().find(|frame| frame.block_column.is_none());
        Stop {
            kind: error.kind().clone(),
            error: explain::syntax(error, self.text, self.depth_max),
            offset: error.marker().byte_offset().unwrap_or(self.passed),
            resume: self.passed,
            flow_start: flow.map(|frame| frame.start),
        }
    }

    fn start_document(&mut self, span: Span) -> Result<(), Fault> {
        let limit = self.settings.limits.documents;
        if self.documents.len() >= limit {
            return Err(error(format!("more than {limit} documents"), position(span.start)));
        }
        self.marker = position(span.start);
        self.start = None;
        self.anchors.clear();
        self.visits = Visits { all: 1, aliased: 0 };
        Ok(())
    }

    fn end_document(&mut self) {
        let marks = self.marking.as_mut().map(|marking| std::mem::take(&mut marking.marks)).unwrap_or_default();
        let value = self.root.take();
        // An empty document has a null of no width behind its marker.
        let start = self.start.take().filter(|_| !value.is_null()).unwrap_or(self.marker);
        self.documents.push(Document { value, marks, start });
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Fault> {
        let at = position(span.start);
        let plain = style == ScalarStyle::Plain;
        if style == ScalarStyle::DoubleQuoted && !self.json {
            explain::old_escapes(self.text, span)?;
        }
        if self.frames.last().is_some_and(|frame| frame.block_column.is_none()) {
            explain::old_flow(self.text, span, plain)?;
        }
        let tag = tag.map(|tag| tag.to_string());
        let tag = tag.as_deref();
        let is_merge = text == "<<" && (tag.is_none() && plain || matches!(tag, Some("!" | "tag:yaml.org,2002:merge")));
        if is_merge && self.expects_key() {
            return self.merge_key(at);
        }
        let (meaning, text) = match tag {
            None if plain => (resolve::plain(&text), text),
            None => (Plain::Text, text),
            Some(tag) => {
                resolve::tagged(tag, text).map_err(|message| error(message, span.tag_start().map_or(at, position)))?
            }
        };
        if self.expects_key() {
            if anchor != 0
                && let Some(value) = resolve::value(meaning, text.clone())
            {
                self.keep(anchor, &value, 1, at)?;
            }
            let written = span.slice(self.text).unwrap_or_default();
            let Some(key) = resolve::key(meaning, text) else {
                return Err(error(explain::key_without_name(meaning, written), at));
            };
            return self.key(key, written, at);
        }
        self.enter(at)?;
        let written = span.slice(self.text).unwrap_or_default();
        let value = resolve::value(meaning, text).ok_or_else(|| error(explain::not_finite(written), at))?;
        if anchor != 0 {
            self.keep(anchor, &value, 1, at)?;
        }
        self.place(value, false, at)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Fault> {
        let at = position(span.start);
        let name = span.slice(self.text).unwrap_or_default();
        explain::anchor(name.trim_start_matches('*'), at)?;
        let Some(Anchored { value, cost, visits }) = self.anchors.get(&anchor) else {
            let message = format!("the alias `{name}` stands inside the value that its anchor names");
            return Err(error(message, at));
        };
        self.visits.alias(*visits, at)?;
        self.budget.spend(*cost, at)?;
        if self.frames.len() + cost.depth > self.depth_max {
            return Err(error(explain::too_deep(self.depth_max), at));
        }
        let value = value.clone();
        if !self.expects_key() {
            self.enter(at)?;
            return self.place(value, true, at);
        }
        let key = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(bool) => bool.to_string(),
            Value::Null => return Err(error(explain::key_without_name(Plain::Null, name), at)),
            Value::Array(_) | Value::Object(_) => return Err(error(explain::collection_as_key(self.text, at), at)),
        };
        self.key(key, name, at)
    }

    fn open(
        &mut self,
        collection: Collection,
        style: StructureStyle,
        anchor: usize,
        at: Position,
        span: Span,
    ) -> Result<(), Fault> {
        if self.expects_key() {
            return Err(error(explain::collection_as_key(self.text, at), at));
        }
        if self.frames.len() >= self.depth_max {
            return Err(error(explain::too_deep(self.depth_max), at));
        }
        self.enter(at)?;
        let block_column = (style == StructureStyle::Block).then(|| at.column - 1);
        let pointer_len = self.marking.as_ref().map_or(0, |marking| marking.pointer.len());
        let start = span.start.byte_offset().unwrap_or(0);
        let visited = self.visits.all - 1;
        self.frames.push(Frame { collection, anchor, visited, start, block_column, pointer_len });
        Ok(())
    }

    fn close(&mut self, at: Position) -> Result<(), Fault> {
        let frame = self.frames.pop().expect("the parser closes what it opened");
        if let Some(marking) = &mut self.marking {
            marking.pointer.truncate(frame.pointer_len);
        }
        let value = match frame.collection {
            Collection::Sequence(items) => Value::Array(items),
            Collection::Mapping(mapping) => Value::Object(mapping.entries),
        };
        if frame.anchor != 0 {
            self.keep(frame.anchor, &value, self.visits.all - frame.visited, at)?;
        }
        self.place(value, false, at)
    }

    /// Remembers the value of an anchor, and how many nodes it took to read it.
    fn keep(&mut self, anchor: usize, value: &Value, visits: usize, at: Position) -> Result<(), Fault> {
        let cost = Cost::of(value);
        self.budget.spend(cost, at)?;
        self.anchors.insert(anchor, Anchored { value: value.clone(), cost, visits });
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.frames.last(),
            Some(Frame { collection: Collection::Mapping(Mapping { slot: Slot::Key, .. }), .. })
        )
    }

    /// Counts and marks a node that is a value.
    fn enter(&mut self, at: Position) -> Result<(), Fault> {
        self.start.get_or_insert(at);
        self.visits.node(at)?;
        self.budget.spend(Cost { nodes: 1, bytes: 0, depth: 0 }, at)?;
        let Some(marking) = &mut self.marking else { return Ok(()) };
        match self.frames.last() {
            None => marking.pointer.clear(),
            Some(Frame { collection: Collection::Sequence(items), pointer_len, .. }) => {
                marking.descend(*pointer_len, &items.len().to_string());
            }
            Some(Frame { collection: Collection::Mapping(_), .. }) => {} // its key has set the pointer
        }
        marking.mark_value(self.settings.limits, at)?;
        Ok(())
    }

    fn merge_key(&mut self, at: Position) -> Result<(), Fault> {
        let Some(Frame { collection: Collection::Mapping(mapping), pointer_len, .. }) = self.frames.last_mut() else {
            unreachable!("a merge key is a key of a mapping");
        };
        mapping.slot = Slot::Merge(at);
        if let Some(marking) = &mut self.marking {
            marking.descend(*pointer_len, "<<");
        }
        Ok(())
    }

    fn key(&mut self, key: String, written: &str, at: Position) -> Result<(), Fault> {
        self.visits.node(at)?;
        let Some(Frame { collection: Collection::Mapping(mapping), pointer_len, .. }) = self.frames.last_mut() else {
            unreachable!("a key is expected in mappings only");
        };
        if let Some(marking) = &mut self.marking {
            marking.descend(*pointer_len, &key);
        }
        let known = mapping.entries.contains_key(&key);
        let merged = known && mapping.merged.remove(&key);
        if known && !merged && self.settings.duplicate_keys == DuplicateKeys::Refuse {
            let first = self.marking.as_ref().and_then(|marking| marking.marks.keys.get(&marking.pointer).copied());
            return Err(Fault::Duplicate(ReadError { message: explain::duplicate(&key, written, first), at }));
        }
        if let Some(marking) = &mut self.marking {
            if known {
                marking.forget_below();
            }
            marking.mark_key(self.settings.limits, at)?;
        }
        mapping.slot = Slot::Value(key);
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, value: Value, by_alias: bool, at: Position) -> Result<(), Fault> {
        let Some(frame) = self.frames.last_mut() else {
            self.root = value;
            return Ok(());
        };
        let mapping = match &mut frame.collection {
            Collection::Sequence(items) => {
                items.push(value);
                return Ok(());
            }
            Collection::Mapping(mapping) => mapping,
        };
        match std::mem::take(&mut mapping.slot) {
            Slot::Key => unreachable!("a value follows its key"),
            Slot::Value(key) => {
                mapping.entries.insert(key, value);
                Ok(())
            }
            Slot::Merge(key_at) => {
                if let Some(marking) = &mut self.marking {
                    marking.forget_below();
                    marking.marks.values.remove(&marking.pointer);
                }
                let sources = match value {
                    Value::Array(items) if !by_alias => items,
                    value => vec![value],
                };
                // Earlier sources win over later ones, and any of them over what the mapping has already.
                for source in sources.into_iter().rev() {
                    let Value::Object(entries) = source else {
                        return Err(error("a merge key `<<` takes a mapping or a list of mappings".to_owned(), at));
                    };
                    for (key, value) in entries {
                        if let Some(marking) = &mut self.marking {
                            marking.descend(frame.pointer_len, &key);
                            if mapping.entries.contains_key(&key) {
                                marking.forget_below();
                            }
                            marking.mark_key(self.settings.limits, key_at)?;
                            marking.mark_value(self.settings.limits, at)?;
                        }
                        if mapping.entries.insert(key.clone(), value).is_none() {
                            mapping.merged.insert(key);
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Returns where a list stands: at its first `-`, which the parser has passed already where the list is not indented.
    fn list_position(&self, style: StructureStyle, span: Span) -> Position {
        let at = position(span.start);
        if style == StructureStyle::Flow {
            return at;
        }
        let Some(Frame { block_column: Some(column), collection: Collection::Mapping(_), .. }) = self.frames.last()
        else {
            return at;
        };
        // A list that is not indented has the column of the mapping it is in.
        let (before, after) =
            self.text.split_at_checked(span.start.byte_offset().unwrap_or(0)).unwrap_or((self.text, ""));
        let same_line = before.rsplit(['\n', '\r']).next().unwrap_or_default();
        if same_line.trim_ascii_end().ends_with('-') {
            return Position { line: at.line, column: column + 1 };
        }
        if after.starts_with('-') {
            return at;
        }
        let Some(dash) = before.rfind('-') else { return at };
        let lines = before.get(dash..).unwrap_or_default().matches('\n').count();
        Position { line: at.line - lines, column: column + 1 }
    }
}

fn error(message: String, at: Position) -> Fault {
    Fault::Error(ReadError { message, at })
}

/// Returns the position of a marker of the parser, whose columns count from 0.
pub(super) fn position(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}
