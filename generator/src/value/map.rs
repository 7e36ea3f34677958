//! Go maps with string keys: shared, typed, mutable, sorted.
//!
//! `set` on a map is seen by every holder, also by templates executed later: Helm charts rely on it.
//! Invariant: iteration is in byte order of the keys; a [`Map::borrow`] is never held across a call that may write.

use super::{ANY_MAP, Entries, MapType, Str, Value, drop_held};
use std::cell::{Ref, RefCell};
use std::fmt;
use std::rc::Rc;

/// A shared map with its Go type.
#[derive(Clone)]
pub struct Map {
    map_type: &'static MapType,
    data: Rc<Data>,
}

struct Data {
    nil: bool,
    entries: RefCell<Entries>,
}

impl Map {
    /// Returns an empty `map[string]interface {}`.
    pub fn new() -> Map {
        Map::typed(&ANY_MAP, Entries::new())
    }

    /// Returns a map of the given type; the caller answers for the elements being of it.
    pub fn typed(map_type: &'static MapType, entries: Entries) -> Map {
        Map { map_type, data: Rc::new(Data { nil: false, entries: RefCell::new(entries) }) }
    }

    /// Returns the nil map of a type: empty, prints `map[]`, marshals to `null`, and cannot be written in Go.
    pub fn nil(map_type: &'static MapType) -> Map {
        Map { map_type, data: Rc::new(Data { nil: true, entries: RefCell::default() }) }
    }

    /// Returns the Go type.
    pub fn map_type(&self) -> &'static MapType {
        self.map_type
    }

    /// Returns the same storage under another type of the same elements, such as `common.Values`.
    pub fn retyped(&self, map_type: &'static MapType) -> Map {
        Map { map_type, data: Rc::clone(&self.data) }
    }

    /// Reports whether this is a nil map. Functions that write must refuse one with Go's
    /// `assignment to entry in nil map`.
    pub fn is_nil(&self) -> bool {
        self.data.nil
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.data.entries.borrow().len()
    }

    /// Reports whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the value of a key, `None` where there is none (a present nil is `Some(Nil)`).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.data.entries.borrow().get(key.as_ref()).cloned()
    }

    /// Reports whether the key is present, nil or not.
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> bool {
        self.data.entries.borrow().get(key.as_ref()).is_some()
    }

    /// Sets a key for all holders of the map.
    pub fn insert(&self, key: impl Into<Str>, value: Value) {
        let old = self.data.entries.borrow_mut().insert(key.into(), value);
        drop(old);
    }

    /// Removes a key for all holders of the map and returns what it held.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.data.entries.borrow_mut().remove(key.as_ref())
    }

    /// Borrows the entries for reading. Do not hold it while calling anything that may write maps.
    pub fn borrow(&self) -> Ref<'_, Entries> {
        self.data.entries.borrow()
    }

    /// Returns a copy of the entries, in byte order of the keys.
    pub fn entries(&self) -> Vec<(Str, Value)> {
        self.data.entries.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Returns a copy of the keys, in byte order.
    pub fn keys(&self) -> Vec<Str> {
        self.data.entries.borrow().keys().cloned().collect()
    }

    /// Reports whether both are the same storage.
    pub fn same(&self, other: &Map) -> bool {
        Rc::ptr_eq(&self.data, &other.data)
    }

    /// Returns what tells it from every other one that is alive: equal for two holders of one map.
    pub(crate) fn address(&self) -> usize {
        Rc::as_ptr(&self.data).cast::<()>() as usize
    }

    /// Moves nested containers out if this is the last holder, so that dropping does not recurse.
    pub(super) fn drain_if_last(self, pending: &mut Vec<Value>) {
        if let Some(mut data) = Rc::into_inner(self.data) {
            let entries = std::mem::take(data.entries.get_mut());
            pending.extend(entries.into_values().filter(Value::is_container));
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let entries = self.entries.get_mut();
        if entries.values().any(Value::is_container) {
            drop_held(std::mem::take(entries), |entries| entries.into_values().filter(Value::is_container).collect());
        }
    }
}

impl Default for Map {
    fn default() -> Map {
        Map::new()
    }
}

impl FromIterator<(Str, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Str, Value)>>(entries: I) -> Map {
        Map::typed(&ANY_MAP, entries.into_iter().collect())
    }
}

/// Shape only: a map may contain itself.
impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{len {}}}", self.map_type.name, self.len())
    }
}
