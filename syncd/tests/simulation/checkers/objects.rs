//! Single objects: whose they are, whether they are wanted, what is written to them.

use std::collections::BTreeMap;

use manifest::{Manifest, ObjectRef};
use serde_json::Value;
use syncd::repo::Revision;
use syncd::report::Report;

use super::{Checker, Done, Scene, Sent, Verdict};
use crate::truth::{Commit, Deed, Origin, uid};

/// Nothing foreign is written or deleted.
pub struct Foreign;

impl Checker for Foreign {
    fn name(&self) -> &'static str {
        "foreign"
    }

    fn done(&mut self, scene: &Scene<'_>, sent: &Sent<'_>, done: &Done<'_>) -> Verdict {
        let (Some(id), Some(before), None) = (sent.deed.object(), done.before, done.error) else { return Ok(()) };
        if sent.deed.is_dry() {
            return Ok(());
        }
        let ours = before["metadata"]["labels"]["syncd/environment"] == crate::model::ENVIRONMENT;
        if matches!(sent.deed, Deed::Delete(..)) && !ours {
            return Err(format!("{id} was deleted, and somebody had taken our label off it"));
        }
        let origin = scene.truth.origins.get(&uid(before)).copied();
        let wanted = scene.truth.commits.values().any(|commit| commit.wants(id).is_some());
        match (origin, sent.deed) {
            (Some(Origin::Ours), _) => Ok(()),
            // It was nobody's, and becomes ours because it is wanted.
            (Some(Origin::Nobodys), Deed::Apply(_) | Deed::Fields(_)) if wanted => Ok(()),
            (origin, _) => Err(format!("{id} was changed, and is not ours: {origin:?}")),
        }
    }
}

/// Nothing that is wanted is deleted: by the revision in force when the request left.
pub struct Wanted;

impl Checker for Wanted {
    fn name(&self) -> &'static str {
        "wanted"
    }

    fn sent(&mut self, scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        let Deed::Delete(id, _) = sent.deed else { return Ok(()) };
        let commit = scene.truth.in_force().ok_or_else(|| format!("{id} is deleted, and no revision is in force"))?;
        match commit.wants(id) {
            Some(service) => Err(format!("{id} is deleted, and `{service}` wants it")),
            None => Ok(()),
        }
    }
}

/// What is applied is byte for byte what the revision in force says: the recorded one, or where somebody who is dead by now recorded another
/// one meanwhile, the one that the process said last.
#[derive(Default)]
pub struct Content {
    /// What each process followed at its last report, until it records a root itself.
    followed: BTreeMap<String, Revision>,
}

impl Content {
    fn in_force<'a>(&self, scene: &'a Scene<'_>, sent: &Sent<'_>, id: &ObjectRef, service: &str) -> Option<&'a Commit> {
        let wants =
            |commit: &&Commit| commit.services.get(service).is_some_and(|wanted| wanted.objects.contains_key(id));
        let followed = self.followed.get(sent.by).and_then(|revision| scene.truth.commits.get(revision));
        let recorded = scene.truth.in_force();
        recorded.filter(wants).or(followed.filter(wants)).or(recorded)
    }
}

impl Checker for Content {
    fn name(&self) -> &'static str {
        "content"
    }

    fn sent(&mut self, scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        let Deed::Apply(apply) = sent.deed else { return Ok(()) };
        if apply.dry_run {
            return Ok(());
        }
        let id = &apply.id;
        let mut body = apply.body.clone();
        let label = |name: &str| apply.body["metadata"]["labels"][name].as_str().unwrap_or_default();
        let (environment, service) = (label("syncd/environment"), label("syncd/service"));
        if environment != crate::model::ENVIRONMENT {
            return Err(format!("{id} is applied for environment `{environment}`"));
        }
        let commit = self.in_force(scene, sent, id, service);
        let commit = commit.ok_or_else(|| format!("{id} is applied, and no revision is in force"))?;
        let hash = apply.body["metadata"]["annotations"]["syncd/hash"].as_str().unwrap_or_default().to_owned();
        strip(&mut body, "labels", &["syncd/environment", "syncd/service"]);
        strip(&mut body, "annotations", &["syncd/hash"]);
        let wanted = commit.services.get(service).and_then(|wanted| wanted.objects.get(id));
        let wanted = wanted.ok_or_else(|| format!("{id} is applied for `{service}`, which does not want it"))?;
        let differs = Manifest::from_value(body).map_err(|errors| format!("{errors:?}"))?.value != *wanted;
        if differs || commit.services[service].hashes[id] != hash {
            return Err(format!("{id} is applied with another content than the revision in force has"));
        }
        Ok(())
    }

    fn done(&mut self, _scene: &Scene<'_>, sent: &Sent<'_>, _done: &Done<'_>) -> Verdict {
        if matches!(sent.deed, Deed::Write(object) if object.data.contains_key("root.json")) {
            self.followed.remove(sent.by);
        }
        Ok(())
    }

    fn reported(&mut self, _scene: &Scene<'_>, by: &str, report: &Report) -> Verdict {
        self.followed.extend(report.revision.clone().map(|revision| (by.to_owned(), revision)));
        Ok(())
    }
}

/// Takes entries out of a mapping of the metadata, and the mapping where nothing is left.
fn strip(body: &mut Value, mapping: &str, names: &[&str]) {
    let Some(metadata) = body["metadata"].as_object_mut() else { return };
    let Some(entries) = metadata.get_mut(mapping).and_then(Value::as_object_mut) else { return };
    names.iter().for_each(|name| drop(entries.remove(*name)));
    if entries.is_empty() {
        metadata.remove(mapping);
    }
}

/// Every delete names the uid that was recorded, and what may create was written ahead without one.
pub struct Uid;

impl Checker for Uid {
    fn name(&self) -> &'static str {
        "uid"
    }

    fn sent(&mut self, scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        let Deed::Delete(id, uid) = sent.deed else { return Ok(()) };
        if uid.is_empty() {
            return Err(format!("{id} is deleted, whatever uid it has"));
        }
        let mut holders = scene.truth.records.holders(id).peekable();
        if holders.peek().is_none() {
            return Err(format!("{id} is deleted, and is not recorded"));
        }
        // One that was written ahead, and whose answer was lost, is known by its labels.
        match holders.any(|(_, entry)| entry.may_be(uid)) {
            true => Ok(()),
            false => Err(format!("{id} is deleted with uid {uid}, and another one is recorded")),
        }
    }
}
