//! Events: what controllers and nodes say of objects.
//!
//! The same thing said again raises a count. Invariant: an event lives [`LIFE`] after it was last said, so events never pile up.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Item, KUBELET};
use crate::cluster::State;
use crate::store::ObjectKey;

/// How long an event is kept, as by default on the real server.
const LIFE: Duration = Duration::from_secs(3_600);

impl State {
    /// Says something of an object. `kind` is `Normal` or `Warning`.
    pub(crate) fn tell(&mut self, about: &Value, component: &str, kind: &str, reason: &str, message: &str) {
        self.tell_of(about, "", component, kind, reason, message);
    }

    /// Says something of a container of a pod, as its node does.
    pub(crate) fn tell_container(&mut self, pod: &Value, container: &str, kind: &str, reason: &str, message: &str) {
        self.tell_of(pod, &format!("spec.containers{{{container}}}"), KUBELET, kind, reason, message);
    }

    fn tell_of(&mut self, about: &Value, part: &str, component: &str, kind: &str, reason: &str, message: &str) {
        let text = |name: &str| about["metadata"][name].as_str().unwrap_or_default().to_owned();
        let (uid, now) = (text("uid"), self.now_text());
        let identity = (format!("{uid}/{part}"), reason.to_owned(), message.to_owned());
        let expires = self.after(LIFE);
        if let Some(key) = self.work.events.get(&identity).cloned()
            && self.edit(&key, component, crate::write::Part::Main, |event| {
                event["count"] = (event["count"].as_i64().unwrap_or_default() + 1).into();
                event["lastTimestamp"] = now.as_str().into();
            })
        {
            self.work.pending.remove(&Item::Expire(key.clone())).map(|slot| self.work.due.remove(&slot));
            self.work.add(Item::Expire(key), expires);
            return;
        }
        let namespace = if text("namespace").is_empty() { "default".to_owned() } else { text("namespace") };
        let name = format!("{}.{}", text("name"), self.identities.suffix());
        let mut involved = json!({"apiVersion": about["apiVersion"], "kind": about["kind"], "name": text("name"), "uid": uid,
            "resourceVersion": text("resourceVersion")});
        if !part.is_empty() {
            involved["fieldPath"] = part.into();
        }
        if !text("namespace").is_empty() {
            involved["namespace"] = namespace.as_str().into();
        }
        let event = json!({
            "metadata": {"name": name, "namespace": namespace}, "involvedObject": involved, "reason": reason, "message": message,
            "type": kind, "source": {"component": component}, "count": 1, "firstTimestamp": now, "lastTimestamp": now,
            "reportingComponent": component, "reportingInstance": "",
        });
        if self.make("", "Event", event, component).is_err() {
            return;
        }
        if let Some(key) = self.key("", "Event", &namespace, &name) {
            self.work.events.insert(identity, key.clone());
            self.work.add(Item::Expire(key), expires);
        }
    }

    /// Forgets an event whose time is over.
    pub(super) fn expire(&mut self, key: &ObjectKey) {
        self.work.events.retain(|_, known| known != key);
        self.take_away(key);
    }
}
