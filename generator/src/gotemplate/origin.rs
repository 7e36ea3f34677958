//! Which template wrote which bytes of an output.
//!
//! Recorded while executing, so that "line 80 of the rendered document" can be told as a line of a template. What a
//! function returned counts as written by the action that printed it, unless the execution follows texts.

use super::set::Source;
use std::ops::Range;
use std::sync::Arc;

/// A map from output to source.
#[derive(Debug, Default)]
pub struct Origins {
    sources: Vec<Arc<Source>>,
    /// By offset in the output, ascending.
    pieces: Vec<Piece>,
}

/// How bytes came to where they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The actions that printed what was written elsewhere, innermost first: text and byte of it.
    pub calls: Vec<(Arc<Source>, usize)>,
    /// Where in the data of the execution the printed value stands.
    pub value: Option<Vec<String>>,
}

/// Pieces that there is room for from the beginning: as many as small templates have.
const PIECES: usize = 16;

/// The source of what no source wrote.
const UNKNOWN: usize = usize::MAX;

#[derive(Clone, Debug)]
struct Piece {
    /// Where it begins in the output.
    start: usize,
    source: usize,
    /// The byte of the source that wrote it.
    pos: usize,
    /// Copied byte by byte, so that its inside can be told, too.
    verbatim: bool,
    way: Option<Arc<Way>>,
}

impl Origins {
    /// Returns the source that wrote the byte at an offset, and the byte of the source; `None` where nothing is known.
    pub fn locate(&self, offset: usize) -> Option<(&Arc<Source>, usize)> {
        let at = self.pieces.partition_point(|piece| piece.start <= offset).checked_sub(1)?;
        let piece = &self.pieces[at];
        let inside = if piece.verbatim { offset - piece.start } else { 0 };
        let source = self.sources.get(piece.source)?;
        Some((source, (piece.pos + inside).min(source.text.len())))
    }

    /// Whether an action printed the byte at an offset: it is no text of a template.
    pub fn is_printed(&self, offset: usize) -> bool {
        let at = self.pieces.partition_point(|piece| piece.start <= offset).checked_sub(1);
        at.is_some_and(|at| !self.pieces[at].verbatim)
    }

    /// Returns how the byte at an offset came there, where that was followed.
    pub fn way(&self, offset: usize) -> Option<&Way> {
        let at = self.pieces.partition_point(|piece| piece.start <= offset).checked_sub(1)?;
        self.pieces[at].way.as_deref()
    }

    /// Records that what is written from `start` on comes from a byte of a source.
    pub(super) fn record(&mut self, start: usize, source: &Arc<Source>, pos: usize, verbatim: bool) {
        let source = self.known(source);
        self.put(Piece { start, source, pos, verbatim, way: None });
    }

    /// Records how what was recorded last came there.
    pub(super) fn came(&mut self, way: Option<Arc<Way>>) {
        if let Some(last) = self.pieces.last_mut() {
            last.way = way;
        }
    }

    /// Records that nothing is known of what is written from `start` on.
    pub(super) fn record_unknown(&mut self, start: usize) {
        self.put(Piece { start, source: UNKNOWN, pos: 0, verbatim: false, way: None });
    }

    /// Records that what is written from `start` on is a part of another output.
    pub(super) fn copy(&mut self, start: usize, of: &Origins, part: Range<usize>) {
        let first = of.pieces.partition_point(|piece| piece.start <= part.start).saturating_sub(1);
        for piece in of.pieces[first..].iter().take_while(|piece| piece.start < part.end) {
            let skipped = part.start.saturating_sub(piece.start);
            let source = of.sources.get(piece.source).map_or(UNKNOWN, |source| self.known(source));
            let pos = piece.pos + if piece.verbatim { skipped } else { 0 };
            self.put(Piece { start: start + (piece.start + skipped - part.start), source, pos, ..piece.clone() });
        }
    }

    /// Records that a text with origins of its own was printed from `start` on, by an action of `source` at `pos`.
    pub(super) fn print(&mut self, start: usize, of: &Origins, source: &Arc<Source>, pos: usize) {
        self.record(start, source, pos, false);
        for piece in &of.pieces {
            let Some(written_in) = of.sources.get(piece.source) else {
                self.record(start + piece.start, source, pos, false);
                continue;
            };
            let mut way = piece.way.as_deref().cloned().unwrap_or_default();
            way.calls.push((Arc::clone(source), pos));
            let written_in = self.known(written_in);
            self.put(Piece {
                start: start + piece.start,
                source: written_in,
                way: Some(Arc::new(way)),
                ..piece.clone()
            });
        }
    }

    fn known(&mut self, source: &Arc<Source>) -> usize {
        let known = self.sources.iter().rposition(|known| Arc::ptr_eq(known, source));
        known.unwrap_or_else(|| {
            self.sources.push(Arc::clone(source));
            self.sources.len() - 1
        })
    }

    fn put(&mut self, piece: Piece) {
        // Something that wrote nothing is overwritten by what follows it.
        if self.pieces.last().is_some_and(|last| last.start == piece.start) {
            self.pieces.pop();
        }
        if self.pieces.capacity() == 0 {
            self.pieces.reserve(PIECES);
        }
        self.pieces.push(piece);
    }

    /// Follows the removal of ranges, ascending and apart, from the output.
    pub(super) fn remove(&mut self, removed: &[Range<usize>]) {
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.pieces.len());
        let mut gone = 0;
        let mut ranges = removed.iter().peekable();
        let mut put = |piece: Piece| {
            if pieces.last().is_some_and(|last| last.start == piece.start) {
                pieces.pop();
            }
            pieces.push(piece);
        };
        for (index, piece) in self.pieces.iter().enumerate() {
            let end = self.pieces.get(index + 1).map_or(usize::MAX, |next| next.start);
            // A range may have begun in an earlier piece and reach into this one.
            let begins = piece.start.max(gone_end(removed, piece.start));
            let skipped = begins - piece.start;
            let shift = |offset: usize, gone: usize| offset - gone;
            while let Some(range) = ranges.next_if(|range| range.end <= begins) {
                gone += range.len();
            }
            let pos = piece.pos + if piece.verbatim { skipped } else { 0 };
            put(Piece { start: shift(begins, gone), pos, ..piece.clone() });
            while let Some(range) = ranges.next_if(|range| range.end <= end) {
                gone += range.len();
                let inside = if piece.verbatim { range.end - piece.start } else { 0 };
                put(Piece { start: shift(range.end, gone), pos: piece.pos + inside, ..piece.clone() });
            }
        }
        self.pieces = pieces;
    }
}

/// Returns the end of the removed range an offset lies in, or the offset itself.
fn gone_end(removed: &[Range<usize>], offset: usize) -> usize {
    let at = removed.partition_point(|range| range.end <= offset);
    removed.get(at).filter(|range| range.contains(&offset)).map_or(offset, |range| range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Str;

    fn source(name: &str) -> Arc<Source> {
        Arc::new(Source { name: Str::from(name), text: Str::from("x".repeat(1000).as_str()) })
    }

    #[test]
    fn bytes_are_told_by_piece_and_inside_of_text() {
        let (a, b) = (source("a"), source("b"));
        let mut origins = Origins::default();
        origins.record(0, &a, 5, true);
        origins.record(10, &b, 7, false);
        origins.record(10, &b, 8, false);
        origins.record(20, &a, 50, true);
        let at = |offset| origins.locate(offset).map(|(source, pos)| (source.name.to_string(), pos));
        assert_eq!(at(0), Some(("a".into(), 5)));
        assert_eq!(at(9), Some(("a".into(), 14)));
        assert_eq!(at(15), Some(("b".into(), 8)));
        assert_eq!(at(99), Some(("a".into(), 129)));
        assert!(Origins::default().locate(0).is_none());
    }

    #[test]
    fn removal_shifts_and_splits() {
        let (a, b) = (source("a"), source("b"));
        let mut origins = Origins::default();
        origins.record(0, &a, 0, true);
        origins.record(10, &b, 7, false);
        origins.record(20, &a, 50, true);
        // Inside the first piece; across the border of the second and third.
        origins.remove(&[2..4, 18..23]);
        let at = |offset| origins.locate(offset).map(|(source, pos)| (source.name.to_string(), pos));
        assert_eq!(at(1), Some(("a".into(), 1)));
        assert_eq!(at(2), Some(("a".into(), 4)));
        assert_eq!(at(7), Some(("a".into(), 9)));
        assert_eq!(at(8), Some(("b".into(), 7)));
        assert_eq!(at(15), Some(("b".into(), 7)));
        assert_eq!(at(16), Some(("a".into(), 53)));
        assert_eq!(at(17), Some(("a".into(), 54)));
    }
}
