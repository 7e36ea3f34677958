//! Go slices: shared, typed sequences.
//!
//! A list is written only while it is built and by the few functions that sort in place, as in Go.
//! Invariant: a [`List::borrow`] is never held across a call that may write the same list.

use super::{ANY_LIST, Elem, INT_LIST, ListType, STRING_LIST, Str, Value, drop_held};
use std::cell::{Ref, RefCell};
use std::fmt;
use std::rc::Rc;

/// A shared list with its Go type.
#[derive(Clone)]
pub struct List {
    list_type: &'static ListType,
    data: Rc<Data>,
}

struct Data {
    nil: bool,
    items: RefCell<Vec<Value>>,
}

impl List {
    /// Returns a `[]interface {}`.
    pub fn new(items: Vec<Value>) -> List {
        List::typed(&ANY_LIST, items)
    }

    /// Returns a list of the given type; the caller answers for the elements being of it.
    pub fn typed(list_type: &'static ListType, items: Vec<Value>) -> List {
        List { list_type, data: Rc::new(Data { nil: false, items: RefCell::new(items) }) }
    }

    /// Returns a `[]string`.
    pub fn strings<S: Into<Str>>(items: impl IntoIterator<Item = S>) -> List {
        List::typed(&STRING_LIST, items.into_iter().map(|s| Value::String(s.into())).collect())
    }

    /// Returns a `[]int`.
    pub fn ints(items: impl IntoIterator<Item = i64>) -> List {
        List::typed(&INT_LIST, items.into_iter().map(Value::Int).collect())
    }

    /// Returns the nil slice of a type: empty, prints `[]`, marshals to `null`.
    pub fn nil(list_type: &'static ListType) -> List {
        List { list_type, data: Rc::new(Data { nil: true, items: RefCell::default() }) }
    }

    /// Returns the Go type.
    pub fn list_type(&self) -> &'static ListType {
        self.list_type
    }

    /// Returns the same storage under another type of the same elements.
    pub fn retyped(&self, list_type: &'static ListType) -> List {
        List { list_type, data: Rc::clone(&self.data) }
    }

    /// Reports whether this is a nil slice.
    pub fn is_nil(&self) -> bool {
        self.data.nil
    }

    /// Reports whether elements are held as `interface {}`.
    pub fn is_any(&self) -> bool {
        self.list_type.elem == Elem::Any
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.data.items.borrow().len()
    }

    /// Reports whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns one element, `None` past the end.
    pub fn get(&self, index: usize) -> Option<Value> {
        self.data.items.borrow().get(index).cloned()
    }

    /// Borrows the elements for reading. Do not hold it while calling anything that may write lists.
    pub fn borrow(&self) -> Ref<'_, Vec<Value>> {
        self.data.items.borrow()
    }

    /// Returns a copy of the elements.
    pub fn to_vec(&self) -> Vec<Value> {
        self.data.items.borrow().clone()
    }

    /// Changes the elements in place, for all holders, as Go's `sort.Strings` does.
    pub fn update(&self, change: impl FnOnce(&mut Vec<Value>)) {
        // The change runs on the side, so that it may read the list it changes.
        let mut items = self.to_vec();
        change(&mut items);
        let old = self.data.items.replace(items);
        drop(old);
    }

    /// Reports whether both are the same storage.
    pub fn same(&self, other: &List) -> bool {
        Rc::ptr_eq(&self.data, &other.data)
    }

    /// Returns what tells it from every other one that is alive: equal for two holders of one list.
    pub(crate) fn address(&self) -> usize {
        Rc::as_ptr(&self.data).cast::<()>() as usize
    }

    /// Moves nested containers out if this is the last holder, so that dropping does not recurse.
    pub(super) fn drain_if_last(self, pending: &mut Vec<Value>) {
        if let Some(mut data) = Rc::into_inner(self.data) {
            pending.extend(data.items.get_mut().drain(..).filter(Value::is_container));
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let items = self.items.get_mut();
        if items.iter().any(Value::is_container) {
            drop_held(std::mem::take(items), |items| items.into_iter().filter(Value::is_container).collect());
        }
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> List {
        List::new(items.into_iter().collect())
    }
}

/// Shape only: a list may contain itself.
impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{len {}}}", self.list_type.name, self.len())
    }
}
