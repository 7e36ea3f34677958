//! The garbage collector: dependents of what is gone, and the finalizers `foregroundDeletion` and `orphan`.
//!
//! Invariant: an object is collected only when none of its owners is left.

use serde_json::Value;

use super::{Item, MANAGER};
use crate::cluster::State;
use crate::remove::{FOREGROUND, ORPHAN, Options, Policy};
use crate::store::{ObjectKey, owner_uids};
use crate::write::Part;

impl State {
    /// Removes an object whose owners are all gone; drops the references to those that are gone where others remain.
    pub(super) fn collect(&mut self, key: &ObjectKey) {
        let Some(object) = self.store.get(key).cloned() else { return };
        let Some(kind) = self.kinds.stored(key.resource).cloned() else { return };
        let owners: Vec<String> = owner_uids(&object).map(str::to_owned).collect();
        let (alive, gone): (Vec<&String>, Vec<&String>) =
            owners.iter().partition(|uid| self.store.by_uid(uid).is_some());
        if gone.is_empty() {
            return;
        }
        if !alive.is_empty() {
            self.edit(key, MANAGER, Part::Main, |object| {
                if let Some(references) = object["metadata"]["ownerReferences"].as_array_mut() {
                    references.retain(|reference| !gone.iter().any(|uid| reference["uid"].as_str() == Some(uid)));
                }
            });
            return;
        }
        let policy = self.policy_of(&object);
        let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
        let options = Options { uid, policy: Some(policy), ..Options::default() };
        if let Err(error) = self.remove_object(&kind, key, &options, false) {
            tracing::debug!(%error, name = key.name, "not collected");
        }
    }

    /// Keeps the way an object was already being deleted.
    fn policy_of(&self, object: &Value) -> Policy {
        let has = |name: &str| {
            object["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|one| one == name))
        };
        if has(ORPHAN) {
            Policy::Orphan
        } else if has(FOREGROUND) {
            Policy::Foreground
        } else {
            Policy::Background
        }
    }

    /// Does the garbage collector's part for an object that is being deleted.
    pub(super) fn reconcile_finalizers(&mut self, key: &ObjectKey, object: &Value) {
        if self.faults.hold_finalizers {
            return;
        }
        let finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        if finalizers.iter().any(|name| name == ORPHAN) {
            for dependent in self.store.dependents(&uid) {
                self.edit(&dependent, MANAGER, Part::Main, |dependent| {
                    if let Some(references) = dependent["metadata"]["ownerReferences"].as_array_mut() {
                        references.retain(|reference| reference["uid"].as_str() != Some(uid.as_str()));
                    }
                });
            }
            self.drop_finalizer(key, ORPHAN);
        }
        if finalizers.iter().any(|name| name == FOREGROUND) {
            let dependents = self.store.dependents(&uid);
            let blocking: Vec<ObjectKey> = dependents.into_iter().filter(|key| self.blocks(key, &uid)).collect();
            if blocking.is_empty() {
                self.drop_finalizer(key, FOREGROUND);
                return;
            }
            for dependent in blocking {
                self.remove_in_foreground(&dependent);
            }
        }
    }

    fn blocks(&self, key: &ObjectKey, owner: &str) -> bool {
        self.store.get(key).is_some_and(|object| owner_uids(object).any(|uid| uid == owner))
    }

    fn remove_in_foreground(&mut self, key: &ObjectKey) {
        let Some(kind) = self.kinds.stored(key.resource).cloned() else { return };
        let has_dependents = self
            .store
            .get(key)
            .and_then(|object| object["metadata"]["uid"].as_str())
            .is_some_and(|uid| !self.store.dependents(uid).is_empty());
        let policy = if has_dependents { Policy::Foreground } else { Policy::Background };
        let options = Options { policy: Some(policy), ..Options::default() };
        if let Err(error) = self.remove_object(&kind, key, &options, false) {
            tracing::debug!(%error, name = key.name, "not collected");
        }
    }

    /// Removes a finalizer as the controller that put it there.
    pub(super) fn drop_finalizer(&mut self, key: &ObjectKey, finalizer: &str) {
        self.edit(key, MANAGER, Part::Main, |object| {
            if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
                finalizers.retain(|name| name != finalizer);
            }
        });
        if self.store.get(key).is_some() {
            let at = self.after(self.settings.reaction);
            self.work.add(Item::Reconcile(key.clone()), at);
        }
    }
}
