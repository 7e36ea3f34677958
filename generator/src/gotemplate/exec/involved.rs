//! Which values a failure is about, found out after it happened.
//!
//! Nothing is recorded while executing: the state of the machine at the moment of the failure tells what the failing action read, and
//! containers and strings, which are shared and never copied, tell where in the data they come from. Numbers and booleans have no such
//! identity: one that came through a variable or a `with` is not traced. Invariant: a path that comes out leads, in the data, to the very
//! value that the action read, as far as it was reached.

use super::{Machine, Slot};
use crate::gotemplate::ast::NodeRef;
use crate::gotemplate::code::Op;
use crate::gotemplate::error::Involved;
use crate::gotemplate::set::Template;
use crate::value::{Map, Str, Value};

/// Containers looked at for one identity: far more than values people write have.
const SEARCHED_MAX: usize = 200_000;
/// Levels of containers looked at.
const SEARCHED_DEPTH_MAX: usize = 64;

impl Machine<'_> {
    /// Returns the values that the action at the current node read, in the order in which it names them.
    pub(super) fn involved(&self, template: &Template) -> Vec<Involved> {
        let operands = template.operands_at(self.at);
        operands.into_iter().filter_map(|(node, written)| self.operand(template, node, written)).collect()
    }

    fn operand(&self, template: &Template, node: NodeRef, written: String) -> Option<Involved> {
        let code = &template.code;
        let variable = |slot: u32| self.slots.get(self.base + slot as usize);
        let (from, names): (&Slot, &[Str]) = code.ops.iter().find_map(|op| match *op {
            Op::PathFromDot { node: at, path } | Op::PrintFromDot { node: at, path } if at == node => {
                Some((&self.dot, &*code.paths[path as usize]))
            }
            Op::PathFromVar { node: at, path, slot } | Op::PrintFromVar { node: at, path, slot } if at == node => {
                Some((variable(slot)?, &*code.paths[path as usize]))
            }
            Op::Dot { node: at } if at == node => Some((&self.dot, [].as_slice())),
            Op::Var { node: at, slot } if at == node => Some((variable(slot)?, [].as_slice())),
            _ => None,
        })?;
        self.trace(&from.value, names, written)
    }

    /// Follows names from a value, and says where in the data that leads.
    fn trace(&self, from: &Value, names: &[Str], written: String) -> Option<Involved> {
        let data = self.slots.first().map(|dollar| &dollar.value)?;
        let mut value = from.clone();
        let mut path = path_to(data, from);
        let mut reached = path.as_ref().map_or(0, Vec::len);
        let mut meant = None;
        let mut missing = false;
        let mut found = value.type_name();
        for name in names {
            let key = name.to_str_lossy().into_owned();
            let next = match &value {
                Value::Map(map) => map.get(name),
                Value::Object(object) => object.field(&key),
                _ => None,
            };
            if next.is_none() && !missing {
                missing = true;
                found = value.type_name();
                meant = value.as_map().and_then(|map| near(map, &key));
            }
            value = next.unwrap_or_default();
            match path.as_mut() {
                // What stands under its own name is not searched for elsewhere.
                Some(path) => path.push(key),
                None => path = path_to(data, &value),
            }
            if !missing {
                reached = path.as_ref().map_or(0, Vec::len);
                found = value.type_name();
            }
        }
        path.map(|path| Involved { written, path, reached, meant, found })
    }

    /// Returns where in the data a text comes from.
    pub(super) fn text_path(&self, text: &Str) -> Option<Vec<String>> {
        path_to(&self.slots.first()?.value, &Value::String(text.clone()))
    }
}

fn near(map: &Map, key: &str) -> Option<String> {
    let keys = map.keys();
    crate::diagnostic::suggest(key, keys.iter().filter_map(Str::as_str)).map(str::to_owned)
}

/// Returns the path of the very same container or text in the data, breadth first.
pub(super) fn path_to(data: &Value, wanted: &Value) -> Option<Vec<String>> {
    if same(data, wanted) {
        return Some(Vec::new());
    }
    if !matches!(wanted, Value::Map(_) | Value::List(_) | Value::String(_)) {
        return None;
    }
    let mut level = vec![(Vec::new(), data.clone())];
    let mut searched = 0;
    for _ in 0..SEARCHED_DEPTH_MAX {
        let mut next = Vec::new();
        for (path, value) in level {
            for (name, child) in children(&value) {
                searched += 1;
                if searched > SEARCHED_MAX {
                    return None;
                }
                let path = [path.as_slice(), &[name]].concat();
                if same(&child, wanted) {
                    return Some(path);
                }
                if matches!(child, Value::Map(_) | Value::List(_)) {
                    next.push((path, child));
                }
            }
        }
        level = next;
    }
    None
}

fn children(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Map(map) => {
            map.entries().into_iter().map(|(key, value)| (key.to_str_lossy().into_owned(), value)).collect()
        }
        Value::List(list) => {
            list.borrow().iter().enumerate().map(|(index, value)| (index.to_string(), value.clone())).collect()
        }
        _ => Vec::new(),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Map(a), Value::Map(b)) => a.same(b),
        (Value::List(a), Value::List(b)) => a.same(b),
        (Value::String(a), Value::String(b)) => !a.is_empty() && a.same(b),
        _ => false,
    }
}
