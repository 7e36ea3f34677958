//! The entries of a map, sorted by key.
//!
//! Nearly every map has few entries and is read far more often than written: a sorted list beats a tree there, above all where keys are
//! compared by their first bytes as one number. Maps that grow large become trees, so that no template can make filling one slow.
//! Knows no Go type. Invariant: keys come once, in byte order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};

use super::{Str, Value};

/// Entries that a list may have.
const LISTED_MAX: usize = 128;

/// Sorted entries.
#[derive(Clone, Debug)]
pub struct Entries(Form);

#[derive(Clone, Debug)]
enum Form {
    Listed(Vec<Entry>),
    Tree(BTreeMap<Str, Value>),
}

#[derive(Clone, Debug)]
struct Entry {
    /// The first bytes of the key, so that they compare as the keys do.
    head: u64,
    key: Str,
    value: Value,
}

/// Returns the first bytes of a key as a number; a short key is filled up with zeros.
fn head(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(bytes)
        }
    }
}

impl Entries {
    /// Returns no entries.
    pub fn new() -> Entries {
        Entries(Form::Listed(Vec::new()))
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Listed(list) => list.len(),
            Form::Tree(tree) => tree.len(),
        }
    }

    /// Reports whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Value> {
        match &self.0 {
            Form::Listed(list) => find(list, key).ok().map(|at| &list[at].value),
            Form::Tree(tree) => tree.get(key),
        }
    }

    /// Sets a key and returns what it had.
    pub fn insert(&mut self, key: Str, value: Value) -> Option<Value> {
        match &mut self.0 {
            Form::Listed(list) => match find(list, key.as_bytes()) {
                Ok(at) => Some(std::mem::replace(&mut list[at].value, value)),
                Err(at) if list.len() < LISTED_MAX => {
                    list.insert(at, Entry { head: head(key.as_bytes()), key, value });
                    None
                }
                Err(_) => {
                    let mut tree: BTreeMap<Str, Value> = list.drain(..).map(|entry| (entry.key, entry.value)).collect();
                    tree.insert(key, value);
                    self.0 = Form::Tree(tree);
                    None
                }
            },
            Form::Tree(tree) => tree.insert(key, value),
        }
    }

    /// Removes a key and returns what it had.
    pub fn remove(&mut self, key: &[u8]) -> Option<Value> {
        match &mut self.0 {
            Form::Listed(list) => find(list, key).ok().map(|at| list.remove(at).value),
            Form::Tree(tree) => tree.remove(key),
        }
    }

    /// Iterates over keys and values, in byte order of the keys.
    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Form::Listed(list) => Iter(Walk::Listed(list.iter())),
            Form::Tree(tree) => Iter(Walk::Tree(tree.iter())),
        }
    }

    /// Iterates over the keys, in byte order.
    pub fn keys(&self) -> impl Iterator<Item = &Str> {
        self.iter().map(|(key, _)| key)
    }

    /// Iterates over the values, in byte order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.iter().map(|(_, value)| value)
    }

    /// Iterates over the values that the entries give up, in byte order of their keys.
    pub fn into_values(self) -> impl Iterator<Item = Value> {
        let (list, tree) = match self.0 {
            Form::Listed(list) => (list, BTreeMap::new()),
            Form::Tree(tree) => (Vec::new(), tree),
        };
        list.into_iter().map(|entry| entry.value).chain(tree.into_values())
    }
}

/// Returns where a key stands, or where it would.
fn find(list: &[Entry], key: &[u8]) -> Result<usize, usize> {
    let head = head(key);
    list.binary_search_by(|entry| match entry.head.cmp(&head) {
        Ordering::Equal => entry.key.as_bytes().cmp(key),
        order => order,
    })
}

impl Default for Entries {
    fn default() -> Entries {
        Entries::new()
    }
}

impl FromIterator<(Str, Value)> for Entries {
    /// Of entries with one key the last one counts.
    fn from_iter<I: IntoIterator<Item = (Str, Value)>>(entries: I) -> Entries {
        let entry = |(key, value): (Str, Value)| Entry { head: head(key.as_bytes()), key, value };
        let mut list: Vec<Entry> = entries.into_iter().map(entry).collect();
        let order = |a: &Entry, b: &Entry| a.head.cmp(&b.head).then_with(|| a.key.cmp(&b.key));
        if !list.is_sorted_by(|a, b| order(a, b) == Ordering::Less) {
            list.sort_by(order);
            list.dedup_by(|next, kept| {
                let same = next.key == kept.key;
                if same {
                    std::mem::swap(next, kept);
                }
                same
            });
        }
        if list.len() > LISTED_MAX {
            return Entries(Form::Tree(list.into_iter().map(|entry| (entry.key, entry.value)).collect()));
        }
        Entries(Form::Listed(list))
    }
}

impl<'e> IntoIterator for &'e Entries {
    type Item = (&'e Str, &'e Value);
    type IntoIter = Iter<'e>;

    fn into_iter(self) -> Iter<'e> {
        self.iter()
    }
}

/// Keys and values, in byte order of the keys.
#[derive(Debug)]
pub struct Iter<'e>(Walk<'e>);

#[derive(Debug)]
enum Walk<'e> {
    Listed(std::slice::Iter<'e, Entry>),
    Tree(btree_map::Iter<'e, Str, Value>),
}

impl<'e> Iterator for Iter<'e> {
    type Item = (&'e Str, &'e Value);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Listed(list) => list.next().map(|entry| (&entry.key, &entry.value)),
            Walk::Tree(tree) => tree.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Walk::Listed(list) => list.size_hint(),
            Walk::Tree(tree) => tree.size_hint(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_compare_as_keys_do() {
        let mut keys: Vec<&[u8]> = vec![
            b"",
            b"\0",
            b"\0\0",
            b"a",
            b"a\0",
            b"aa",
            b"ab",
            b"abcdefg",
            b"abcdefgh",
            b"abcdefgh\0",
            b"abcdefghi",
            b"b",
            b"\xff",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| head(pair[0]) <= head(pair[1])));
    }

    #[test]
    fn small_and_large_maps_behave_alike() {
        for count in [0, 1, 5, LISTED_MAX, LISTED_MAX + 1, 3 * LISTED_MAX] {
            let key = |n: usize| format!("key-{}", n * 7919 % 1009);
            let mut one_by_one = Entries::new();
            let mut model = BTreeMap::new();
            for n in 0..count {
                assert!(one_by_one.insert(Str::from(key(n)), Value::Int(n as i64)).is_none());
                model.insert(key(n), n as i64);
            }
            let at_once: Entries =
                (0..count).chain(0..count).map(|n| (Str::from(key(n)), Value::Int(n as i64))).collect();
            let seen = |entries: &Entries| -> Vec<(String, Option<i64>)> {
                let number = |value: &Value| if let Value::Int(n) = value { Some(*n) } else { None };
                entries.iter().map(|(key, value)| (key.to_string(), number(value))).collect()
            };
            let wanted: Vec<_> = model.iter().map(|(key, n)| (key.clone(), Some(*n))).collect();
            assert_eq!((seen(&one_by_one), seen(&at_once)), (wanted.clone(), wanted));
            for n in 0..count {
                assert!(one_by_one.get(key(n).as_bytes()).is_some() && one_by_one.get(b"key").is_none());
                assert!(matches!(one_by_one.remove(key(n).as_bytes()), Some(Value::Int(found)) if found == n as i64));
            }
            assert!(one_by_one.is_empty());
        }
    }
}
