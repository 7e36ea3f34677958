//! Definitions of custom kinds: accepted, established, served, and cleaned up. And API services, which are available at once.
//!
//! Invariant: a custom kind is served from the moment its definition is established until its last object is gone.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{MANAGER, condition, set_condition};
use crate::cluster::State;
use crate::remove::Options;
use crate::store::ObjectKey;
use crate::write::{DEFINITION_FINALIZER, Part};

impl State {
    pub(super) fn reconcile_definition(&mut self, key: &ObjectKey, definition: &Arc<Value>) {
        if !definition["metadata"]["deletionTimestamp"].is_null() {
            self.clean_up(key, definition);
            return;
        }
        let is = |of: &str| condition(definition, of).is_some_and(|condition| condition["status"] == "True");
        let now = self.now_text();
        if !is("NamesAccepted") {
            self.accept_names(key, definition, &now);
            return;
        }
        if !is("Established") {
            let at = self.after(self.settings.established_after);
            let accepted =
                self.work.pods.entry(uid(definition)).or_insert_with(|| super::pod::Runtime::begun(at)).since;
            if self.now < accepted {
                self.again(key, accepted);
                return;
            }
            self.work.pods.remove(&uid(definition));
            self.edit(key, "kube-apiserver", Part::Status, |definition| {
                let message = "the initial names have been accepted";
                set_condition(&mut definition["status"], "Established", "True", "InitialNamesAccepted", message, &now);
            });
        }
        let Some(definition) = self.store.get(key).cloned() else { return };
        self.kinds.serve_custom(&definition);
        self.discovery_version += 1;
    }

    fn accept_names(&mut self, key: &ObjectKey, definition: &Value, now: &str) {
        let names = &definition["spec"]["names"];
        let (group, plural) = (definition["spec"]["group"].as_str(), names["plural"].as_str());
        let (group, plural) = (group.unwrap_or_default(), plural.unwrap_or_default());
        let taken = self.kinds.of_plural(group, plural).is_some()
            || self.kinds.of_kind(group, names["kind"].as_str().unwrap_or_default()).is_some();
        let stored: Vec<Value> = definition["spec"]["versions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|version| version["storage"] == Value::Bool(true))
            .map(|version| version["name"].clone())
            .collect();
        let names = names.clone();
        self.edit(key, "kube-apiserver", Part::Status, |definition| {
            let status = &mut definition["status"];
            status["storedVersions"] = Value::Array(stored);
            if taken {
                status["acceptedNames"] = json!({"plural": "", "kind": ""});
                let message = format!("{plural:?} is already in use");
                set_condition(status, "NamesAccepted", "False", "PluralConflict", &message, now);
                set_condition(status, "Established", "False", "NotAccepted", "not all names are accepted", now);
            } else {
                status["acceptedNames"] = names;
                set_condition(status, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now);
                set_condition(
                    status,
                    "Established",
                    "False",
                    "Installing",
                    "the initial names have been accepted",
                    now,
                );
            }
        });
    }

    fn clean_up(&mut self, key: &ObjectKey, definition: &Value) {
        if self.faults.hold_finalizers {
            return;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (group, plural) = (text(&definition["spec"]["group"]), text(&definition["spec"]["names"]["plural"]));
        let custom = self.kinds.of_plural(&group, &plural).filter(|kind| kind.custom.is_some()).cloned();
        if let Some(kind) = custom {
            let objects: Vec<Arc<Value>> =
                self.store.collection(kind.id).map(|all| all.list("").cloned().collect()).unwrap_or_default();
            for object in objects {
                let of = self.key_of(&kind, &object);
                if let Err(error) = self.remove_object(&kind, &of, &Options::default(), false) {
                    tracing::debug!(%error, name = of.name, "not removed with its definition");
                }
            }
            let is_left = self.store.collection(kind.id).is_some_and(|collection| !collection.is_empty());
            let now = self.now_text();
            if is_left {
                self.edit(key, "kube-apiserver", Part::Status, |definition| {
                    let message = "CustomResource deletion is in progress";
                    set_condition(
                        &mut definition["status"],
                        "Terminating",
                        "True",
                        "InstanceDeletionInProgress",
                        message,
                        &now,
                    );
                });
                return;
            }
            self.kinds.remove_custom(&group, &plural);
            self.discovery_version += 1;
        }
        self.drop_finalizer(key, DEFINITION_FINALIZER);
    }

    pub(super) fn reconcile_api_service(&mut self, key: &ObjectKey) {
        let now = self.now_text();
        self.edit(key, MANAGER, Part::Status, |service| {
            let group = service["spec"]["service"].is_object();
            let (reason, message) = if group {
                ("Passed", "all checks passed")
            } else {
                ("Local", "Local APIServices are always available")
            };
            set_condition(&mut service["status"], "Available", "True", reason, message, &now);
        });
    }
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}
