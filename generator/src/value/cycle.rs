//! Where a value contains itself.
//!
//! Only `set` can tie such a knot, and most values have none: this is asked when a walk met its bounds, to tell a knot, of which Go's
//! writers say that it has no text, from a value that is only too large. Looks at each list and map once, however often it is shared, and
//! takes no call stack.

use std::collections::BTreeSet;

use super::Value;

enum Step {
    Enter(Value),
    Leave(usize),
}

/// Returns a list or a map that can be reached from itself, if there is one.
pub(crate) fn knot(value: &Value) -> Option<Value> {
    let (mut open, mut done) = (BTreeSet::new(), BTreeSet::new());
    let mut steps = vec![Step::Enter(value.clone())];
    while let Some(step) = steps.pop() {
        let value = match step {
            Step::Leave(address) => {
                open.remove(&address);
                done.insert(address);
                continue;
            }
            Step::Enter(value) => value,
        };
        let address = match &value {
            Value::List(list) => list.address(),
            Value::Map(map) => map.address(),
            _ => continue,
        };
        if open.contains(&address) {
            return Some(value);
        }
        if done.contains(&address) {
            continue;
        }
        open.insert(address);
        steps.push(Step::Leave(address));
        match &value {
            Value::List(list) => steps.extend(list.borrow().iter().cloned().map(Step::Enter)),
            Value::Map(map) => steps.extend(map.borrow().values().cloned().map(Step::Enter)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{ANY_MAP, Map};

    #[test]
    fn knots_are_told_from_what_is_shared_or_deep() {
        let map = Map::nil(&ANY_MAP);
        assert!(knot(&Value::Map(map)).is_none());
        let mut shared = Value::list(vec![Value::Int(1)]);
        for _ in 0..10_000 {
            shared = Value::list(vec![shared.clone(), shared]);
        }
        assert!(knot(&shared).is_none());
        let Value::Map(map) = crate::value::from_json(&serde_json::json!({"a": {"b": 1}})) else { panic!("a map") };
        map.insert("self", Value::list(vec![Value::Map(map.clone())]));
        assert!(knot(&Value::Map(map.clone())).is_some());
        map.insert("self", Value::Nil); // so that it can be dropped
    }
}
