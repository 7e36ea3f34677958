//! Which services to look at: the others cost nothing.

use std::collections::BTreeSet;

use manifest::Index;

use crate::live::{Live, Presence};
use crate::report::Suspended;
use crate::state::{Reading, Record, State};

/// How wide to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Services that are not where the index wants them, and those whose objects differ from what is recorded, as far as `live` knows.
    Needed,
    /// All services.
    Full,
}

/// Which services to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Services to plan for.
    pub act: BTreeSet<String>,
    /// Services of the index to read the manifests of: all that are planned for, and all of which the record does not say what they
    /// want.
    pub load: BTreeSet<String>,
    /// Services that need something, failed, and are not due yet.
    pub resting: BTreeSet<String>,
    /// Services that need something and are suspended.
    pub suspended: BTreeSet<String>,
}

/// Selects the services to look at. `resting` are those that failed and are not due yet.
pub fn select(
    index: &Index,
    state: &State,
    live: &Live,
    resting: &BTreeSet<String>,
    suspended: &Suspended,
    scope: Scope,
) -> Selection {
    let mut selection = Selection::default();
    let looked = !live.is_blank();
    for (name, entry, reading) in state.beside(index) {
        let content = entry.map(|entry| &entry.content);
        let record = reading.and_then(Reading::record);
        let settled = record.is_some_and(|record| record.is_settled(content));
        if !settled && content.is_some() {
            selection.load.insert(name.clone());
        }
        let differs = || looked && record.is_some_and(|record| differs(name, record, live, &index.environment));
        let needed = match scope {
            Scope::Needed => !settled || differs(),
            Scope::Full => true,
        };
        if suspended.service(name).is_some() {
            selection.suspended.extend((!settled || differs()).then(|| name.clone()));
        } else if needed && resting.contains(name) {
            selection.resting.insert(name.clone());
        } else if needed {
            selection.act.insert(name.clone());
            selection.load.extend(content.map(|_| name.clone()));
        }
    }
    if selection.act.is_empty() {
        selection.load.clear();
    }
    selection
}

/// Tells whether what exists is not what the record of a settled service says.
fn differs(service: &str, record: &Record, live: &Live, environment: &str) -> bool {
    record.held.iter().filter(|(_, held)| held.leftover.is_none()).any(|(id, held)| match live.presence(id) {
        Presence::Unknown => false,
        Presence::Absent | Presence::Unowned => true,
        Presence::Present(observed) => {
            let hash = held.hash.map(|hash| hash.to_string());
            observed.terminating
                || held.uid.as_ref() != Some(&observed.uid)
                || hash.is_none()
                || observed.hash.as_deref() != hash.as_deref()
                || observed.environment.as_deref() != Some(environment)
                || observed.service.as_deref() != Some(service)
                || live.drifted.contains(id)
        }
    })
}
