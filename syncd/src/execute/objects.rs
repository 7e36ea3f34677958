//! One object: applied, waited for, deleted.
//!
//! Each function sends the requests for one object of a plan and says what came of it; records are the caller's. Invariant: an apply
//! that carries a uid never creates, and one that does not is sent only for an object that is recorded without one.

use std::collections::BTreeSet;
use std::slice;
use std::time::Duration;

use manifest::{Hash, ObjectRef};
use serde_json::{Map, Value};
use smol_str::SmolStr;
use tokio::time::Instant;

use super::service::Stop;
use super::turns::Turn;
use super::watching::Sight;
use super::yielding::left_to_others;
use super::{Next, Pause, Run};
use crate::adoption;
use crate::cluster::{
    ANNOTATION_HASH, Apply, Cluster, ClusterError, Deletion, ErrorClass, GroupKind, LABEL_ENVIRONMENT, LABEL_SERVICE,
    Observed,
};
use crate::desired::{Desired, Object};
use crate::live::{Resident, Seen, annotation, is_shell, observed, residents, seen};
use crate::plan::{Plan, PlannedApply, PlannedDelete, Reason};
use crate::readiness::{Readiness, readiness};
use crate::report::{Event, Waiting};

/// Annotation on what is replaced when a field of it must change that cannot: `enabled` where that is not so by itself, `disabled` where it is.
pub const ANNOTATION_REPLACE: &str = "syncd/replace";

/// Kinds that are never replaced, whatever an annotation says: with them would go what they hold.
const KEPT: [(&str, &str); 4] = [
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
];

/// Characters of what a namespace says of what remains in it.
const KEEPS_CHARACTERS_MAX: usize = 300;

/// What came of an apply.
pub(super) enum Applied {
    /// It was accepted.
    Accepted(Observed),
    /// There is no object with that uid any more: record it without one, then apply again.
    Gone,
    /// It was not accepted, or nobody knows.
    Failed(ClusterError),
    /// It was not sent: it waits for something that did not happen before the end of the wait.
    GivenUp(Stop),
}

/// What came of a deletion.
pub(super) enum Deleted {
    /// The object is gone, because of us.
    Done,
    /// It was gone, or another object has taken its name.
    WasGone,
    /// It was not accepted, or nobody knows.
    Failed(ClusterError),
    /// It was not sent, or it was accepted and did not happen before the end of the wait.
    GivenUp(Stop),
}

/// What is known of an object that was applied or confirmed: it is not judged by an older sight.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    /// Its uid; empty: any.
    pub(super) uid: SmolStr,
    /// The generation that the apply made.
    pub(super) generation: i64,
}

impl<C: Cluster> Run<'_, C> {
    /// Applies one object of a service as planned, in its turn, which is given back where something has to go first.
    pub(super) async fn apply(
        &self,
        service: &str,
        planned: &PlannedApply,
        deadline: Instant,
        turn: &Turn<'_>,
    ) -> Applied {
        if let Reason::Terminating { uid } = &planned.reason {
            turn.give_back();
            if let Err(stop) = Box::pin(self.wait_gone(service, &planned.id, uid, deadline)).await {
                return Applied::GivenUp(stop);
            }
        }
        if matches!(planned.reason, Reason::Adopted { .. })
            && let Err(error) = Box::pin(self.take_fields(&planned.id, planned.uid.as_deref())).await
        {
            return Applied::Failed(error);
        }
        match self.send_apply(service, planned, planned.uid.clone()).await {
            Ok(live) if live.terminating => {
                turn.give_back();
                match Box::pin(self.wait_gone(service, &planned.id, &live.uid, deadline)).await {
                    Ok(()) => Applied::Gone,
                    Err(stop) => Applied::GivenUp(stop),
                }
            }
            Ok(live) => Applied::Accepted(live),
            Err(error) if error.class == ErrorClass::Gone && planned.uid.is_some() => Applied::Gone,
            Err(error) if is_replaced(self.desired, service, planned, &error) => {
                turn.give_back();
                Box::pin(self.replace(service, planned, deadline)).await
            }
            Err(error) => Applied::Failed(error),
        }
    }

    /// Makes the fields of an object that was there before ours, so that the apply that follows removes what the manifest does not have. If it
    /// is gone or another one, the apply tells.
    async fn take_fields(&self, id: &ObjectRef, uid: Option<&str>) -> Result<(), ClusterError> {
        let mut tries = 1;
        loop {
            let found = self.request(&[ErrorClass::Transient], || self.cluster.get(id)).await?;
            let found = found.filter(|value| Some(observed(value).uid.as_str()) == uid);
            let Some(patch) = found.and_then(|value| adoption::patch(id, &value)) else { return Ok(()) };
            match self.request(&[ErrorClass::Transient], || self.cluster.take_fields(id, patch.clone())).await {
                Err(error) if error.class == ErrorClass::Conflict && tries < self.settings.retry.tries => tries += 1,
                reply => return reply,
            }
        }
    }

    /// Deletes an object that cannot be changed, after the server has agreed to its successor under another name.
    async fn replace(&self, service: &str, planned: &PlannedApply, deadline: Instant) -> Applied {
        let mut proof = self.apply_of(service, planned, None);
        let digest: String = planned.hash.to_string().chars().take(8).collect();
        let stem: String = planned.id.name.chars().take(50).collect();
        proof.id.name = format!("{}-{digest}", stem.trim_end_matches(['-', '.'])).into();
        proof.body["metadata"]["name"] = Value::String(proof.id.name.to_string());
        proof.dry_run = true;
        if let Err(error) = self.request(&[ErrorClass::Transient], || self.cluster.apply(proof.clone())).await {
            return Applied::Failed(error);
        }
        let uid = planned.uid.as_deref().expect("only an object whose uid is known is replaced");
        match self.delete_seen(service, &planned.id, uid, None, |_| true, deadline).await {
            Deleted::Done | Deleted::WasGone => Applied::Gone,
            Deleted::Failed(error) => Applied::Failed(error),
            Deleted::GivenUp(stop) => Applied::GivenUp(stop),
        }
    }

    /// Applies one object so that it may be created. It is recorded without uid.
    pub(super) async fn create(&self, service: &str, planned: &PlannedApply) -> Applied {
        match self.send_apply(service, planned, None).await {
            Ok(live) => Applied::Accepted(live),
            Err(error) => Applied::Failed(error),
        }
    }

    async fn send_apply(
        &self,
        service: &str,
        planned: &PlannedApply,
        uid: Option<SmolStr>,
    ) -> Result<Observed, ClusterError> {
        let live = match &uid {
            Some(_) => Box::pin(self.see_others(service, &planned.id)).await?,
            None => None,
        };
        // The body is made when it is its turn: as a value it takes twenty times what it takes as text.
        let send = || {
            let mut apply = self.apply_of(service, planned, uid.clone());
            if let Some(live) = &live {
                left_to_others(&mut apply, self.desired, service, live);
            }
            self.cluster.apply(apply)
        };
        self.request(&[ErrorClass::Transient, ErrorClass::Conflict], send).await
    }

    fn apply_of(&self, service: &str, planned: &PlannedApply, uid: Option<SmolStr>) -> Apply {
        apply_of(self.plan, self.desired, service, planned, uid)
    }

    /// Tells whether an apply changed nothing, as far as is known.
    pub(super) fn is_unchanged(&self, id: &ObjectRef, applied: &Observed) -> bool {
        self.live.present(id).is_some_and(|before| before.resource_version == applied.resource_version)
    }

    /// Deletes one object as planned and waits until it is gone.
    pub(super) async fn delete(&self, service: &str, planned: &PlannedDelete, deadline: Instant) -> Deleted {
        let (id, uid) = (&planned.id, planned.uid.as_str());
        if planned.terminating {
            return self.end(service, id, uid, deadline).await;
        }
        match self.find_loss(id).await {
            Some(message) => Deleted::GivenUp(Stop::Failed(message, Pause::Short)),
            None => {
                let ours = self.plan.environment.as_str();
                let is_ours = |seen: &Seen| seen.observed.environment.as_deref() == Some(ours);
                let may_go = |seen: &Seen| is_ours(seen) && !seen.prune_disabled;
                let version = Some(planned.resource_version.clone());
                self.delete_seen(service, id, uid, version, may_go, deadline).await
            }
        }
    }

    /// Looks once more into a namespace or a definition, now that all else is deleted: what has come since the plan was made is not to go with
    /// it. What goes by itself is no loss.
    async fn find_loss(&self, id: &ObjectRef) -> Option<String> {
        if !is_shell(id) {
            return None;
        }
        let defines = self.live.seen.get(id).and_then(Option::as_ref).and_then(|seen| seen.defines.clone());
        let inside = residents(self.cluster, id, defines, self.settings.concurrency).await;
        let going: BTreeSet<&str> = self.plan.deletes().map(|(_, delete)| delete.uid.as_str()).collect();
        let is_loss = |resident: &&Resident| !resident.leaving && !going.contains(resident.uid.as_str());
        match inside {
            Ok(inside) => inside.iter().find(is_loss).map(|loss| format!("{} has come meanwhile", loss.id)),
            Err(reason) => Some(format!("it could not be read what would go with it: {reason}")),
        }
    }

    /// Deletes one object as it was seen, and waits until it is gone. What was not seen, or was changed since, is looked at first, and stays
    /// if it may not go: controllers write the status of what nobody took from us. Where one was faster than a look and the deletion after it,
    /// the next try waits.
    async fn delete_seen(
        &self,
        service: &str,
        id: &ObjectRef,
        uid: &str,
        mut version: Option<String>,
        may_go: impl Fn(&Seen) -> bool,
        deadline: Instant,
    ) -> Deleted {
        let mut looks = self.settings.retry.tries.saturating_sub(1).max(1);
        let mut pause = Duration::ZERO;
        loop {
            if let Some(version) = version.take() {
                match self.request(&[ErrorClass::Transient], || self.cluster.delete(id, uid, &version)).await {
                    Ok(Deletion::Gone) => return Deleted::Done,
                    Ok(Deletion::Terminating) => return self.end(service, id, uid, deadline).await,
                    Err(error) if error.class == ErrorClass::Gone => return Deleted::WasGone,
                    Err(error) if error.class == ErrorClass::Conflict => {}
                    Err(error) => return Deleted::Failed(error),
                }
            }
            if looks == 0 {
                let message = format!("{id} is changed whenever it is to be deleted");
                return Deleted::GivenUp(Stop::Failed(message, Pause::Short));
            }
            if !pause.is_zero() && self.context.unless_superseded(tokio::time::sleep(pause)).await.is_none() {
                return Deleted::GivenUp(Stop::Superseded);
            }
            let found = match self.request(&[ErrorClass::Transient], || self.cluster.get(id)).await {
                Ok(found) => found.map(|value| seen(&value, &self.plan.environment)),
                Err(error) => return Deleted::Failed(error),
            };
            let Some(seen) = found.filter(|seen| seen.observed.uid == uid) else { return Deleted::WasGone };
            if !may_go(&seen) {
                let message = format!("{id} was changed meanwhile and is not to be deleted any more");
                return Deleted::GivenUp(Stop::Failed(message, Pause::Short));
            }
            version = Some(seen.observed.resource_version.to_string());
            looks -= 1;
            pause = if pause.is_zero() { self.settings.retry.pause } else { pause * 2 };
        }
    }

    async fn end(&self, service: &str, id: &ObjectRef, uid: &str, deadline: Instant) -> Deleted {
        match self.wait_gone(service, id, uid, deadline).await {
            Ok(()) => Deleted::Done,
            Err(stop) => Deleted::GivenUp(stop),
        }
    }

    /// Waits until there is no object with that uid. Says what keeps it, while it does and when it is given up.
    async fn wait_gone(&self, service: &str, id: &ObjectRef, uid: &str, deadline: Instant) -> Result<(), Stop> {
        let mut told = None;
        self.watches.ask_for(GroupKind::of(id));
        let changed = self.watches.subscribe(slice::from_ref(id));
        loop {
            let (gone, keeps) = self.watches.look(id, |sight| match sight {
                Sight::Absent => (true, String::new()),
                Sight::Present(told) if told.uid != uid => (true, String::new()),
                Sight::Present(told) => (false, keeps(&told.value().unwrap_or_default())),
                Sight::Blind(error) => (false, format!("it cannot be watched: {error}")),
                Sight::Nothing => (false, "it was not seen".to_owned()),
            });
            if gone {
                return self.confirm_gone(id, uid).await.map_err(|message| Stop::Failed(message, Pause::Short));
            }
            let message = format!("it is being deleted: {keeps}");
            if told.as_ref() != Some(&message) {
                let waiting_for = vec![Waiting { object: id.clone(), message: message.clone() }];
                self.context.tell(&Event::Waiting { service: service.to_owned(), waiting_for });
                told = Some(message);
            }
            match self.next_change(&changed, deadline).await {
                Next::Changed => {}
                Next::TimedOut => {
                    let message = format!("{id} is still being deleted at the end of the wait: {keeps}");
                    return Err(Stop::Failed(message, Pause::Short));
                }
                Next::Superseded => return Err(Stop::Superseded),
            }
        }
    }

    /// A watch by label does not tell an object that is gone from one that lost its label.
    async fn confirm_gone(&self, id: &ObjectRef, uid: &str) -> Result<(), String> {
        match self.request(&[ErrorClass::Transient], || self.cluster.get(id)).await {
            Ok(Some(value)) if observed(&value).uid == uid => {
                Err(format!("{id} is still there, and lost its owner label"))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(format!("whether {id} is gone could not be read: {error}")),
        }
    }

    /// Tells how far an object is that was applied or confirmed.
    pub(super) fn how_far(&self, id: &ObjectRef, expected: &Expected) -> Readiness {
        let kind = GroupKind::of(id);
        self.watches.look(id, |sight| match sight {
            Sight::Nothing => Readiness::InProgress("it was not seen yet".to_owned()),
            Sight::Absent => readiness(&kind, None, &self.settings.rules),
            Sight::Blind(error) if error.class == ErrorClass::Forbidden => {
                Readiness::Failed(format!("it cannot be watched: {error}"))
            }
            Sight::Blind(error) => Readiness::InProgress(format!("it cannot be watched: {error}")),
            Sight::Present(told) => {
                let other = !expected.uid.is_empty() && told.uid != expected.uid;
                if other || told.generation < expected.generation {
                    return Readiness::InProgress("the change was not seen yet".to_owned());
                }
                told.verdict.clone()
            }
        })
    }
}

/// Returns the apply of an object of a plan: what is sent, but for what is left to others ([`super::left_to_others`]).
pub fn apply_of(plan: &Plan, desired: &Desired, service: &str, planned: &PlannedApply, uid: Option<SmolStr>) -> Apply {
    let object = desired.object(service, &planned.id).filter(|object| object.hash == planned.hash);
    let object = object.expect("a verified plan applies only content that was read");
    let body = body(object.value(), object.hash, &plan.environment, service);
    Apply { id: planned.id.clone(), api_version: planned.api_version.clone(), body, uid, dry_run: false }
}

/// Tells whether an object whose change was refused is deleted and created anew: a Job or a Pod, whose template cannot change, unless
/// its annotation [`ANNOTATION_REPLACE`] says `disabled`; another one only if it says `enabled`. Never one that is [`KEPT`], and never one
/// that is refused for another reason than a field that cannot change.
pub fn is_replaced(desired: &Desired, service: &str, planned: &PlannedApply, error: &ClusterError) -> bool {
    let kind = GroupKind::of(&planned.id);
    let kind = (kind.group.as_str(), kind.kind.as_str());
    let is_one_run = matches!(kind, ("batch", "Job") | ("", "Pod"));
    let value = desired.object(service, &planned.id).map(Object::value);
    let said = value.as_ref().and_then(|value| annotation(value, ANNOTATION_REPLACE));
    let wanted = if is_one_run { said != Some("disabled") } else { said == Some("enabled") && !KEPT.contains(&kind) };
    wanted && error.class == ErrorClass::Immutable && planned.uid.is_some()
}

/// Returns a manifest as it is sent: with owner labels and its hash.
fn body(mut body: Value, hash: Hash, environment: &str, service: &str) -> Value {
    let metadata = body.get_mut("metadata").and_then(Value::as_object_mut).expect("a manifest has metadata");
    let mut mapping = |name: &str, entries: &[(&str, &str)]| {
        let entry = metadata.entry(name).or_insert(Value::Null);
        if !entry.is_object() {
            *entry = Value::Object(Map::new());
        }
        for (key, value) in entries {
            entry[*key] = Value::String((*value).to_owned());
        }
    };
    mapping("labels", &[(LABEL_ENVIRONMENT, environment), (LABEL_SERVICE, service)]);
    mapping("annotations", &[(ANNOTATION_HASH, &hash.to_string())]);
    body
}

/// Names what keeps an object that is being deleted: its finalizers with those who set them, and what a namespace says of itself.
fn keeps(value: &Value) -> String {
    let finalizers = value.pointer("/metadata/finalizers").and_then(Value::as_array);
    let names: Vec<String> = finalizers
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|name| match setter(value, name) {
            Some(manager) => format!("{name} (set by {manager})"),
            None => name.to_owned(),
        })
        .collect();
    let conditions = value.pointer("/status/conditions").and_then(Value::as_array);
    let remains = conditions.into_iter().flatten().filter(|condition| {
        let of = condition.get("type").and_then(Value::as_str).unwrap_or_default();
        condition.get("status").is_some_and(|status| status == "True")
            && ["Remaining", "Failure"].iter().any(|end| of.starts_with("Namespace") && of.ends_with(end))
    });
    let remains: Vec<&str> = remains.filter_map(|condition| condition.get("message").and_then(Value::as_str)).collect();
    let mut parts = Vec::new();
    if !names.is_empty() {
        parts.push(format!("it has the finalizers {}", names.join(", ")));
    }
    parts.extend(remains.iter().map(|message| cut(message, KEEPS_CHARACTERS_MAX)));
    if parts.is_empty() { "it has no finalizers".to_owned() } else { parts.join("; ") }
}

/// Returns who set a finalizer, by the server's account.
fn setter<'a>(value: &'a Value, finalizer: &str) -> Option<&'a str> {
    let key = format!("v:{}", Value::String(finalizer.to_owned()));
    let entries = value.pointer("/metadata/managedFields")?.as_array()?;
    let owns = |entry: &&Value| {
        let finalizers = entry.pointer("/fieldsV1/f:metadata/f:finalizers");
        finalizers.is_some_and(|finalizers| finalizers.get(&key).is_some())
    };
    entries.iter().find(owns)?.get("manager")?.as_str()
}

/// Returns at most so many characters of a text, without control characters.
pub(super) fn cut(text: &str, characters_max: usize) -> String {
    let mut characters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut kept: String = characters.by_ref().take(characters_max).collect();
    kept.extend(characters.next().map(|_| '…'));
    kept
}

/// Returns what is waited for in one line.
pub(super) fn summary(waiting: &[Waiting]) -> String {
    const SHOWN: usize = 3;
    let mut parts: Vec<String> =
        waiting.iter().take(SHOWN).map(|waiting| format!("{}: {}", waiting.object, waiting.message)).collect();
    if waiting.len() > SHOWN {
        parts.push(format!("and {} more", waiting.len() - SHOWN));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn owner_labels_win_over_what_the_manifest_says() {
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "a", "labels": {"app": "a", "syncd/service": "mine"}, "annotations": null,
        }, "data": {"k": "v"}});
        let hash = Hash::of(b"a");
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "a",
            "labels": {"app": "a", "syncd/environment": "staging", "syncd/service": "app1"},
            "annotations": {"syncd/hash": hash.to_string()},
        }, "data": {"k": "v"}});
        assert_eq!(body(value, hash, "staging", "app1"), expected);
    }

    #[test]
    fn what_keeps_an_object_is_named() {
        let value = json!({"metadata": {"finalizers": ["a.example.org/b", "foregroundDeletion"]}});
        assert_eq!(keeps(&value), "it has the finalizers a.example.org/b, foregroundDeletion");
        assert_eq!(keeps(&json!({})), "it has no finalizers");
        let fields = json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"a.example.org/b\"": {}}}});
        let managed = json!([{"manager": "kubectl", "fieldsV1": {}}, {"manager": "operator", "fieldsV1": fields}]);
        let value = json!({"metadata": {"finalizers": ["a.example.org/b"], "managedFields": managed}});
        assert_eq!(keeps(&value), "it has the finalizers a.example.org/b (set by operator)");
        let conditions = json!([
            {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all is well"},
            {"type": "NamespaceContentRemaining", "status": "True", "message": "pods. has 1 resource instances"},
        ]);
        assert_eq!(keeps(&json!({"status": {"conditions": conditions}})), "pods. has 1 resource instances");
    }

    #[test]
    fn only_the_first_few_are_named_in_one_line() {
        let waiting = |count: usize| {
            let object = |number: usize| ObjectRef {
                group: "".into(),
                kind: "Pod".into(),
                namespace: "n".into(),
                name: format!("p{number}").into(),
            };
            (0..count).map(|number| Waiting { object: object(number), message: "m".to_owned() }).collect::<Vec<_>>()
        };
        assert_eq!(summary(&waiting(1)), "Pod n/p0: m");
        assert_eq!(summary(&waiting(5)), "Pod n/p0: m; Pod n/p1: m; Pod n/p2: m; and 2 more");
    }
}
