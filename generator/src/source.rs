//! The whole input, in memory.
//!
//! [`crate::disk`] fills a [`SourceTree`] once; everything above is a pure function of it. Knows no disk, no symlink and no order but the
//! one of paths. Invariant: paths are relative to the root of the repository, separated by `/`, without `.`, `..` or empty parts, and
//! iterated in byte order, so that the order in which a disk lists its entries cannot reach an output.

use std::collections::BTreeMap;

/// Files by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTree {
    files: BTreeMap<String, Vec<u8>>,
}

impl SourceTree {
    /// Adds a file, or replaces it.
    ///
    /// # Panics
    /// If `path` breaks the invariant of the module: paths come from code that has checked them.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        let path = path.into();
        let clean = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        assert!(clean, "`{path}` is not a clean relative path");
        self.files.insert(path, content.into());
    }

    /// Returns the content of a file.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// Iterates over all files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    /// Iterates over the files below a folder: their paths from that folder on, and their contents.
    pub fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let prefix = format!("{folder}/");
        let start = prefix.len();
        self.files
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(move |(path, content)| (&path[start..], content.as_slice()))
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

impl<P: Into<String>, C: Into<Vec<u8>>> FromIterator<(P, C)> for SourceTree {
    fn from_iter<I: IntoIterator<Item = (P, C)>>(files: I) -> Self {
        let mut tree = SourceTree::default();
        for (path, content) in files {
            tree.insert(path, content);
        }
        tree
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
