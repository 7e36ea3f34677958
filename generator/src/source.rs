//! The whole input, in memory.
//!
//! [`crate::disk`] fills a [`SourceTree`] once; everything above is a pure function of it. Knows no disk, no symlink and no order but the
//! one of paths. Invariant: paths are relative to the root of the repository, separated by `/`, without `.`, `..` or empty parts, and
//! iterated in byte order, so that the order in which a disk lists its entries cannot reach an output.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Files by path. A copy shares their contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTree {
    files: BTreeMap<String, Content>,
}

/// The content of a file: a part of a text that other files may be parts of, too. A copy shares it.
#[derive(Clone, Default)]
pub struct Content {
    whole: Arc<Vec<u8>>,
    part: Range<usize>,
}

impl Content {
    /// Returns a part of a text.
    ///
    /// # Panics
    /// If the text has no such part.
    pub fn of(whole: Arc<Vec<u8>>, part: Range<usize>) -> Self {
        assert!(part.start <= part.end && part.end <= whole.len(), "the part {part:?} of {} bytes", whole.len());
        Content { whole, part }
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.whole[self.part.clone()]
    }
}

impl<C: Into<Vec<u8>>> From<C> for Content {
    fn from(content: C) -> Self {
        let whole = content.into();
        Content { part: 0..whole.len(), whole: Arc::new(whole) }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Content {}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self), f)
    }
}

impl SourceTree {
    /// Adds a file, or replaces it.
    ///
    /// # Panics
    /// If `path` breaks the invariant of the module: paths come from code that has checked them.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Content>) {
        let path = path.into();
        assert_clean(&path);
        self.files.insert(path, content.into());
    }

    /// Returns the content of a file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|content| &**content)
    }

    /// Returns the content of a file, to be shared with another tree.
    pub fn shared(&self, path: &str) -> Option<Content> {
        self.files.get(path).cloned()
    }

    /// Iterates over all files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, content)| (path.as_str(), &**content))
    }

    /// Iterates over the files below a folder: their paths from that folder on, and their contents.
    pub fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let prefix = format!("{folder}/");
        let start = prefix.len();
        self.files
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(move |(path, content)| (&path[start..], &**content))
    }

    /// Returns the names of the folders directly below a folder that hold at least one file, in byte order.
    pub fn folders(&self, folder: &str) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.below(folder).filter_map(|(path, _)| path.split_once('/')).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn assert_clean(path: &str) {
    let clean = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    assert!(clean, "`{path}` is not a clean relative path");
}

impl<P: Into<String>, C: Into<Content>> FromIterator<(P, C)> for SourceTree {
    fn from_iter<I: IntoIterator<Item = (P, C)>>(files: I) -> Self {
        let files = files.into_iter().map(|(path, content)| (path.into(), content.into()));
        SourceTree { files: files.inspect(|(path, _)| assert_clean(path)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_what_is_below_them() {
        let tree: SourceTree = [("a/x", "1"), ("a/b/y", "2"), ("a-b/z", "3"), ("a/b/c/z", "4")].into_iter().collect();
        assert_eq!(tree.below("a").map(|(path, _)| path).collect::<Vec<_>>(), ["b/c/z", "b/y", "x"]);
        assert_eq!(tree.folders("a"), ["b"]);
        assert_eq!(tree.below("nothing").count(), 0);
        assert_eq!(tree.get("a/x"), Some(b"1".as_slice()));
    }
}
