//! Records: that nothing is outside of them, and nothing in them that must not be seen.

use super::{Checker, Done, Scene, Sent, Verdict};
use crate::truth::{Deed, object, uid};

/// What begins the content of every Secret of the histories.
pub const SECRET: &str = "s3cret";

/// Everything that exists because of us is recorded, at every moment.
pub struct Recorded;

impl Checker for Recorded {
    fn name(&self) -> &'static str {
        "recorded"
    }

    fn done(&mut self, scene: &Scene<'_>, sent: &Sent<'_>, done: &Done<'_>) -> Verdict {
        if done.error.is_some() || sent.deed.is_dry() {
            return Ok(());
        }
        let records = &scene.truth.records;
        if let Some(broken) = records.broken.first() {
            return Err(broken.clone());
        }
        let is_held = |id: &manifest::ObjectRef, uid: &str| records.holders(id).any(|(_, entry)| entry.may_be(uid));
        match sent.deed {
            Deed::Apply(apply) => {
                let after = done.after.map(uid).unwrap_or_default();
                match is_held(&apply.id, &after) {
                    true => Ok(()),
                    false => Err(format!("{} exists, and is recorded by nobody", apply.id)),
                }
            }
            Deed::Write(_) | Deed::Forget(_) => {
                for (id, ours) in &scene.truth.ours {
                    let there = object(scene.model, id).filter(|value| uid(value) == *ours);
                    let labelled = there.is_some_and(|value| {
                        value["metadata"]["labels"]["syncd/environment"] == crate::model::ENVIRONMENT
                    });
                    if labelled && !is_held(id, ours) {
                        return Err(format!("{id} exists, and was forgotten"));
                    }
                }
                Ok(())
            }
            Deed::Fields(_) | Deed::Delete(..) | Deed::Say(_) | Deed::Lease => Ok(()),
        }
    }
}

/// What may create was written ahead, without a uid, by the service that wants it.
pub struct Ahead;

impl Checker for Ahead {
    fn name(&self) -> &'static str {
        "ahead"
    }

    fn sent(&mut self, scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        let Deed::Apply(apply) = sent.deed else { return Ok(()) };
        if apply.dry_run {
            return Ok(());
        }
        let service = apply.body["metadata"]["labels"]["syncd/service"].as_str().unwrap_or_default();
        let record = scene.truth.records.services.get(service);
        match (record.and_then(|record| record.held.get(&apply.id)), &apply.uid) {
            (None, _) => Err(format!("{} is applied, and `{service}` has not recorded it", apply.id)),
            (Some(entry), None) if entry.uid.is_some() => {
                Err(format!("{} may be created, and is recorded as one that exists", apply.id))
            }
            (Some(_), _) => Ok(()),
        }
    }
}

/// No text of ours has a Secret's content in it.
pub struct Secret;

impl Checker for Secret {
    fn name(&self) -> &'static str {
        "secret"
    }

    fn sent(&mut self, _scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        let text = match sent.deed {
            Deed::Write(object) => object.data.values().cloned().collect(),
            Deed::Say(event) => event.to_string(),
            _ => return Ok(()),
        };
        if text.contains(SECRET) {
            Err("the content of a Secret is written into the cluster".to_owned())
        } else {
            Ok(())
        }
    }

    fn reported(&mut self, _scene: &Scene<'_>, _by: &str, report: &syncd::report::Report) -> Verdict {
        let text = serde_json::to_string(report).expect("a report");
        if text.contains(SECRET) { Err("the content of a Secret is reported".to_owned()) } else { Ok(()) }
    }
}
