//! How all services stand, after each cycle anew, although mostly nothing happens to nearly all of them.
//!
//! What one cycle tells of a service that nothing happened to is what the last one told, in the same place of memory. Knows nothing of what is
//! told. Invariants: whoever has a table has it unchanged, whatever is made of it later; what two tables share is equal.

use std::collections::{BTreeMap, btree_map};
use std::ops::Index;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use smol_str::SmolStr;

use super::ServiceReport;

/// How all services stand, by name. Clones share it until one of them is changed, and what did not change ever after.
#[derive(Debug, Clone, Default)]
pub struct Services(Arc<BTreeMap<SmolStr, Arc<ServiceReport>>>);

/// Goes through services by name ([`Services::iter`]).
#[derive(Debug, Clone)]
pub struct Iter<'a>(btree_map::Iter<'a, SmolStr, Arc<ServiceReport>>);

impl Services {
    /// Tells whether both are known to be the same without looking into them.
    pub fn is_same(&self, other: &Services) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns how a service stands.
    pub fn get(&self, name: &str) -> Option<&ServiceReport> {
        self.0.get(name).map(|report| &**report)
    }

    /// Returns how all services stand, by name.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter())
    }

    /// Returns the names of all services.
    pub fn keys(&self) -> impl Iterator<Item = &SmolStr> {
        self.0.keys()
    }

    /// Returns how all services stand.
    pub fn values(&self) -> impl Iterator<Item = &ServiceReport> {
        self.0.values().map(|report| &**report)
    }

    /// Returns the number of services.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says how a service stands. Others who share the table do not see it.
    pub fn insert(&mut self, name: &str, report: ServiceReport) {
        Arc::make_mut(&mut self.0).insert(name.into(), Arc::new(report));
    }

    /// Says that there is no such service.
    pub fn remove(&mut self, name: &str) {
        if self.0.contains_key(name) {
            Arc::make_mut(&mut self.0).remove(name);
        }
    }

    /// Returns the names in an earlier table that are not in this one any more.
    pub fn gone_since<'a>(&'a self, before: &'a Services) -> impl Iterator<Item = &'a SmolStr> {
        before.since(self).map(|(name, _)| name).filter(|name| self.get(name).is_none())
    }

    /// Returns what is not shared with an earlier table: all that was said since, be it the same as before.
    pub fn since<'a>(&'a self, before: &'a Services) -> impl Iterator<Item = (&'a SmolStr, &'a ServiceReport)> {
        let mut last = before.0.iter().peekable();
        let all = if self.is_same(before) { None } else { Some(self.0.iter()) };
        all.into_iter().flatten().filter_map(move |(name, report)| {
            // What is shared is of one service: most are told apart without a look at their names.
            if last.next_if(|(_, told)| Arc::ptr_eq(told, report)).is_some() {
                return None;
            }
            while last.next_if(|(other, _)| *other < name).is_some() {}
            let told = last.next_if(|(other, _)| *other == name);
            let is_shared = told.is_some_and(|(_, told)| Arc::ptr_eq(told, report));
            (!is_shared).then_some((name, &**report))
        })
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a SmolStr, &'a ServiceReport);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, report)| (name, &**report))
    }
}

impl<'a> IntoIterator for &'a Services {
    type Item = (&'a SmolStr, &'a ServiceReport);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// How a service stands that is known to be there.
impl<N: AsRef<str>> Index<N> for Services {
    type Output = ServiceReport;

    fn index(&self, name: N) -> &ServiceReport {
        self.get(name.as_ref()).expect("a service of this name")
    }
}

impl PartialEq for Services {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.0 == other.0
    }
}

impl<N: Into<SmolStr>> FromIterator<(N, ServiceReport)> for Services {
    fn from_iter<I: IntoIterator<Item = (N, ServiceReport)>>(services: I) -> Self {
        Services(Arc::new(services.into_iter().map(|(name, report)| (name.into(), Arc::new(report))).collect()))
    }
}

impl Serialize for Services {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ServiceState;

    fn names<'a>(names: impl Iterator<Item = &'a SmolStr>) -> Vec<&'a str> {
        names.map(SmolStr::as_str).collect()
    }

    #[test]
    fn what_was_said_since_and_what_is_gone_are_found_among_what_is_shared() {
        let report = || settled(0);
        let before: Services = ["a", "c", "e", "g"].map(|name| (name, report())).into_iter().collect();
        let mut after = before.clone();
        after.insert("b", report());
        after.insert("c", settled(3));
        after.insert("e", report());
        after.insert("h", report());
        after.remove("a");
        after.remove("g");
        assert_eq!(names(after.since(&before).map(|(name, _)| name)), ["b", "c", "e", "h"], "be it the same as before");
        assert_eq!(names(after.gone_since(&before)), ["a", "g"]);
        assert_eq!(names(before.gone_since(&after)), ["b", "h"]);
        assert_eq!(after.clone().since(&after).count() + after.gone_since(&after).count(), 0);
        assert_eq!(after.since(&Services::default()).count(), after.len());
        assert_eq!(names(Services::default().gone_since(&before)), ["a", "c", "e", "g"]);
    }

    fn settled(unchanged: usize) -> ServiceReport {
        ServiceReport {
            state: ServiceState::Synced,
            version: None,
            applied: 0,
            deleted: 0,
            unchanged,
            failed: 0,
            withheld: 0,
            seconds: 0.0,
            error: None,
            waiting_for: Vec::new(),
            causes: Vec::new(),
            objects: Arc::default(),
            failures: 0,
            state_bytes: 0,
        }
    }
}
