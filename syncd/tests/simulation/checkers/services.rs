//! Services as wholes: who may fail, and how many objects may go at once.

use std::collections::{BTreeMap, BTreeSet};

use syncd::report::{CycleResult, Report, ServiceState};

use super::{Checker, Scene, Sent, Verdict};
use crate::truth::{Commit, Deed};
use crate::world::FUSE;

/// A service fails only for a reason of its own, or of what it waits for.
#[derive(Default)]
pub struct Isolation {
    /// Services of which something went wrong since they were last well, by process; `*`: all of them.
    hurt: BTreeMap<String, BTreeSet<String>>,
}

const ALL: &str = "*";

/// Tells whether a service waits for another one.
fn waits_for(commit: &Commit, service: &str, other: &str) -> bool {
    let (Some(one), Some(two)) = (commit.services.get(service), commit.services.get(other)) else {
        // One that leaves waits for what moves away, and for what is new.
        return true;
    };
    let needs = |id: &manifest::ObjectRef| {
        one.objects.keys().any(|mine| id.kind == "Namespace" && mine.namespace == id.name)
            || id.kind == "CustomResourceDefinition"
    };
    two.wave < one.wave
        || one.depends_on.iter().any(|name| name == other || waits_for(commit, name, other))
        || two.objects.keys().any(needs)
}

impl Checker for Isolation {
    fn name(&self) -> &'static str {
        "isolation"
    }

    fn hurt(&mut self, by: &str, about: Option<&str>) {
        self.hurt.entry(by.to_owned()).or_default().insert(about.unwrap_or(ALL).to_owned());
    }

    fn reported(&mut self, scene: &Scene<'_>, by: &str, report: &Report) -> Verdict {
        let panicked = report.errors.iter().find(|error| error.message.contains("fault of syncd"));
        if let Some(error) = panicked {
            return Err(error.message.clone());
        }
        if let Some(error) = report.errors.iter().find(|error| error.message.contains("is not carried out")) {
            return Err(error.message.clone());
        }
        let hurt = self.hurt.entry(by.to_owned()).or_default();
        let disturbed = scene.truth.disturbed.iter().flat_map(|id| {
            let wanting = scene.truth.commits.values().filter_map(|commit| commit.wants(id).map(str::to_owned));
            wanting.collect::<Vec<_>>()
        });
        hurt.extend(disturbed);
        // A revision of which nothing can be done is not recorded, and the report is of it all the same.
        let followed = report.revision.as_ref().and_then(|revision| scene.truth.commits.get(revision));
        let commit = followed.or_else(|| scene.truth.in_force()).filter(|_| !scene.truth.was_suspended);
        let Some(commit) = commit else { return Ok(()) };
        for (name, service) in &report.services {
            if !matches!(service.state, ServiceState::Failed | ServiceState::Blocked) || hurt.contains(ALL) {
                continue;
            }
            let mut reasons = hurt.iter().chain(scene.bad);
            let held = scene.truth.records.services.get(name.as_str()).map(|record| &record.held);
            // What moves away waits for whom it goes to.
            let goes_to = |other: &String| {
                let wanted = commit.services.get(other).map(|wanted| &wanted.objects);
                held.zip(wanted).is_some_and(|(held, wanted)| held.keys().any(|id| wanted.contains_key(id)))
            };
            if !reasons.any(|other| other == name || waits_for(commit, name, other) || goes_to(other)) {
                let error = service.error.clone().unwrap_or_default();
                return Err(format!("`{name}` is {} for no reason of its own: {error}", service.state.as_str()));
            }
        }
        for (name, service) in &report.services {
            if service.state == ServiceState::Synced {
                hurt.remove(name.as_str());
            }
        }
        if report.result <= CycleResult::Synced {
            hurt.clear();
        }
        Ok(())
    }
}

/// No cycle deletes more than is let through unasked.
#[derive(Default)]
pub struct Fuse {
    /// Objects that the running cycle of a process deletes.
    deleted: BTreeMap<String, BTreeSet<String>>,
}

impl Checker for Fuse {
    fn name(&self) -> &'static str {
        "fuse"
    }

    fn sent(&mut self, scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        let Deed::Delete(id, _) = sent.deed else { return Ok(()) };
        let deleted = self.deleted.entry(sent.by.to_owned()).or_default();
        deleted.insert(id.to_string());
        if deleted.len() > FUSE && scene.truth.approvals == 0 {
            return Err(format!("{} objects are deleted, {FUSE} may be, and nobody approved it", deleted.len()));
        }
        Ok(())
    }

    fn reported(&mut self, _scene: &Scene<'_>, by: &str, _report: &Report) -> Verdict {
        self.deleted.remove(by);
        Ok(())
    }
}
