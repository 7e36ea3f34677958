//! Revisions of StatefulSets and DaemonSets: which template a pod was made from.
//!
//! Invariant: one template has one revision, and the newest revision is that of the present template.

use serde_json::{Value, json};

use super::{MANAGER, count, owner_reference};
use crate::cluster::State;
use crate::identity::hash_text;
use crate::store::ObjectKey;
use crate::write::Part;

/// The label of pods and revisions that names the revision.
pub(super) const REVISION_LABEL: &str = "controller-revision-hash";
/// The label that names the hash on revisions of StatefulSets.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

impl State {
    /// Returns the name of the revision of the owner's present template, made or moved to the front where needed.
    pub(super) fn revise(&mut self, key: &ObjectKey, owner: &Value) -> (String, String) {
        let template = &owner["spec"]["template"];
        let hash = hash_text(&template.to_string());
        let name = format!("{}-{hash}", key.name);
        let revisions = self.controlled(owner, "apps", "ControllerRevision");
        let newest = revisions.iter().map(|(_, revision)| count(&revision["revision"])).max().unwrap_or_default();
        match revisions.iter().find(|(key, _)| key.name == name) {
            Some((_, revision)) if count(&revision["revision"]) == newest => {}
            Some((key, _)) => {
                self.edit(key, MANAGER, Part::Main, |revision| revision["revision"] = (newest + 1).into());
            }
            None => {
                let is_daemon = owner["kind"].as_str() == Some("DaemonSet");
                let label = if is_daemon { REVISION_LABEL } else { HASH_LABEL };
                let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
                labels.insert(label.to_owned(), hash.as_str().into());
                let mut kept = template.clone();
                kept["$patch"] = "replace".into();
                let mut revision = json!({
                    "metadata": {"name": name, "namespace": owner["metadata"]["namespace"], "labels": labels,
                        "ownerReferences": [owner_reference(owner)]},
                    "data": {"spec": {"template": kept}}, "revision": newest + 1,
                });
                if is_daemon && let Some(annotations) = owner["metadata"].get("annotations") {
                    revision["metadata"]["annotations"] = annotations.clone();
                }
                if let Err(error) = self.make("apps", "ControllerRevision", revision, MANAGER) {
                    tracing::debug!(%error, name, "no revision");
                }
            }
        }
        self.forget_revisions(owner, &name);
        (name, hash)
    }

    /// Removes the oldest revisions beyond the limit of the owner.
    fn forget_revisions(&mut self, owner: &Value, present: &str) {
        let limit = usize::try_from(count(&owner["spec"]["revisionHistoryLimit"])).unwrap_or_default();
        let mut old = self.controlled(owner, "apps", "ControllerRevision");
        let current = owner["status"]["currentRevision"].as_str().unwrap_or_default();
        old.retain(|(key, _)| key.name != present && key.name != current);
        old.sort_by_key(|(key, revision)| (count(&revision["revision"]), key.name.clone()));
        let excess = old.len().saturating_sub(limit);
        for (key, _) in &old[..excess] {
            self.take_away(key);
        }
    }
}
