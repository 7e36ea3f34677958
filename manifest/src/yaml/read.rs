//! Reads YAML as `kubectl` does, with positions.
//!
//! Types are those of sigs.k8s.io/yaml: YAML 1.1 through JSON. What a scalar means is in `resolve`, how events become values in `compose`, how
//! nearly all of them are read without a parser in `lines`,
//! which characters may occur in `source`, what lies between the tokens in `gaps`. Knows nothing of Kubernetes. Invariant: the same text
//! gives the same values or the same error, and memory spent is bounded by the [`Limits`] before it is spent.
//!
//! # Where we differ from `kubectl`
//! Compared with kubectl 1.32 (`tests/yaml_kubectl.rs`) and, over random texts, with sigs.k8s.io/yaml. No text of more than one scalar is known
//! that both read and read differently. On purpose:
//! - duplicate keys are refused unless [`DuplicateKeys::LastWins`] is asked for;
//! - bytes that are no text are refused by [`decode`](super::decode()), not replaced by U+FFFD;
//! - every document of a text is read; `kubectl` drops, silently, what follows `...` or a `--- value` on one line;
//! - limits of depth, nodes, documents and bytes are ours; a repair of white space (`repair`) is made 50 times at most;
//! - notations that YAML 1.1 and 1.2 read differently are refused: `[a?b]`, `[a:, b]`, `[!tag, b]`, names of anchors with punctuation.
//!
//! Because the parser speaks YAML 1.2:
//! - a few texts are refused that nobody writes: `>#comment`, `!tag,`, `[-]`, a block scalar that begins left of its key;
//! - some texts are taken that `kubectl` refuses: keys of several lines and `?` inside brackets, a tab after `-`. What [`write()`](super::write())
//!   makes of them `kubectl` reads.
//!
//! Copies that aliases make are rationed as Go's reader rations them, by their share of a document: what it takes is taken, to the same copy.
//!
//! A text that lacks its final newline is read as if it had one, which matters to a literal block at its end; so does `kubectl`, while Helm
//! reads a `values.yaml` as it is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::compose::{self, Extent, Fault};
use super::lines;
use super::repair::Repairs;
use super::source::{self, Survey};

/// A place in a text: line and column, both from 1; columns count Unicode scalar values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// Where each value of a document stands in its text, by JSON pointer (RFC 6901).
///
/// For a mapping entry the position of its key is kept too. What an alias or a merge key brings in stands where the alias or the merge
/// key stands; its parts have no position of their own, see [`Marks::nearest`].
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// Pointer of a value -> position of the value.
    pub values: BTreeMap<String, Position>,
    /// Pointer of a value in a mapping -> position of its key.
    pub keys: BTreeMap<String, Position>,
}

impl Marks {
    /// Returns the position of the value at `pointer`, or of the nearest value around it that has one. `None` where nothing has, that is,
    /// where marks were not asked for.
    pub fn nearest(&self, pointer: &str) -> Option<Position> {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.values.get(pointer) {
                return Some(*position);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }
}

/// One YAML document. An empty document has the value `null`.
#[derive(Debug, Clone)]
pub struct Document {
    /// The value, as JSON.
    pub value: Value,
    /// Where its parts stand; empty when [`Settings::marks`] is off.
    pub marks: Marks,
    /// Where the document starts: its first value, or its `---` if that is null.
    pub start: Position,
}

/// What a second entry with the same key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// An error that names both places.
    Refuse,
    /// The last one wins, silently, as in `kubectl` and Helm.
    LastWins,
}

/// Bounds that no document may pass.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the whole text, and again of all that aliases and anchors copy. Positions may take four times as many.
    pub bytes: usize,
    /// Nesting of mappings and sequences. Never more than [`DEPTH_MAX`].
    pub depth: usize,
    /// Values of all documents together, aliases counted as often as they are used and anchored values twice.
    pub nodes: usize,
    /// Documents.
    pub documents: usize,
}

/// The deepest nesting that may be asked for: a deeper value could not be walked, or even dropped, on a small stack.
pub const DEPTH_MAX: usize = 1_000;

/// How to read.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Duplicate keys.
    pub duplicate_keys: DuplicateKeys,
    /// Whether to keep positions.
    pub marks: bool,
    /// Bounds.
    pub limits: Limits,
}

/// Why a text could not be read, and where.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ReadError {
    /// What is wrong and what to do about it, in lower case, without a full stop.
    pub message: String,
    /// Where.
    pub at: Position,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            duplicate_keys: DuplicateKeys::Refuse,
            marks: false,
            limits: Limits { bytes: 64 << 20, depth: 200, nodes: 4_000_000, documents: 100_000 },
        }
    }
}

/// Reads all documents of `text`, in their order. A byte order mark is skipped.
///
/// A text without any document (empty, or comments alone) gives an empty list; a document without a value (`---` and nothing) gives
/// `null`.
///
/// # Errors
/// The first thing that is not YAML, passes a limit, or has no JSON value.
pub fn read(text: &str, settings: &Settings) -> Result<Vec<Document>, ReadError> {
    read_extent(text, settings, Extent::All)
}

/// Reads the first document of `text` and nothing behind it, as readers of one document do: what follows a `{}` at the top of it, a `...` or the next
/// `---` is not looked at, but for its characters, which have to be text, and for brackets that close nothing. `None` if there is no document.
///
/// # Errors
/// As for [`read()`], in the first document.
pub fn read_first(text: &str, settings: &Settings) -> Result<Option<Document>, ReadError> {
    Ok(read_extent(text, settings, Extent::First)?.into_iter().next())
}

fn read_extent(text: &str, settings: &Settings, extent: Extent) -> Result<Vec<Document>, ReadError> {
    let limit = settings.limits.bytes;
    if text.len() > limit {
        let message = format!("the text has {} bytes, more than the limit of {limit}", text.len());
        return Err(ReadError { message, at: Position { line: 1, column: 1 } });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let survey = source::survey(text)?;
    if !(survey.old_breaks || survey.tabs_or_returns)
        && let Some(documents) = lines::read(text, settings, extent)
    {
        return Ok(documents);
    }
    read_parsed(text, survey, settings, extent)
}

/// Composes a text, repaired where the parser of YAML 1.2 needs that.
pub(super) fn read_parsed(
    text: &str,
    survey: Survey,
    settings: &Settings,
    extent: Extent,
) -> Result<Vec<Document>, ReadError> {
    let limit = settings.limits.bytes;
    let mut repairs = Repairs::default();
    let mut text = Cow::Borrowed(text);
    let mut settings = *settings;
    let mut duplicate = None;
    loop {
        match compose::compose(&text, survey, &settings, extent, repairs.expected()) {
            Ok(mut documents) => {
                documents.iter_mut().for_each(|document| repairs.restore_document(document));
                return Ok(documents);
            }
            Err(Fault::Syntax(stop)) => match repairs.attempt(&text, &stop, limit.saturating_mul(2)) {
                Some(repaired) => text = Cow::Owned(repaired),
                None => return Err(repairs.restore_error(stop.error)),
            },
            Err(Fault::Duplicate(error)) if !settings.marks => {
                // Where the first one stands is known only to a reader that keeps positions.
                duplicate = Some(error);
                settings.marks = true;
            }
            Err(Fault::Misjudged) => return Err(repairs.misjudged()),
            Err(Fault::Duplicate(error)) => return Err(repairs.restore_error(error)),
            Err(Fault::Error(error)) => return Err(repairs.restore_error(duplicate.unwrap_or(error))),
        }
    }
}
