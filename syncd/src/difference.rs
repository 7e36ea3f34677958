//! What the cluster would have that it has not: object by object, field by field, as the server answers a dry run.
//!
//! A plan says which objects an apply is for; the apply itself is made where the real one is made ([`crate::execute`]), so that what is left to
//! others is left out here too. Compared is the live object with what the server would make of it; what only the server writes is not looked
//! at. Knows nothing of the repository. Invariants: nothing is written; no value of a Secret is in a [`Difference`], wherever it turns up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use manifest::ObjectRef;
use manifest::difference::text::{GREEN, Paint, RED, YELLOW, write_field};
use manifest::difference::{FieldChange, between};
use serde::Serialize;
use serde_json::Value;

use crate::adoption;
use crate::cluster::{ANNOTATION_HASH, Cluster, ClusterError, ErrorClass, Inspect, side_by_side};
use crate::config::Settings;
use crate::desired::Desired;
use crate::execute::{apply_of, is_replaced, left_to_others};
use crate::ownership::{self, Field};
use crate::plan::{Plan, PlannedApply, Reason, ServicePlan};
use crate::redact::{MARK, Redactor};
use crate::repo::Revision;

/// What only the server writes.
const OF_THE_SERVER: [&str; 9] = [
    "/metadata/creationTimestamp",
    "/metadata/deletionGracePeriodSeconds",
    "/metadata/deletionTimestamp",
    "/metadata/generation",
    "/metadata/managedFields",
    "/metadata/resourceVersion",
    "/metadata/selfLink",
    "/metadata/uid",
    "/status",
];

/// Everything that differs. Services and objects in which nothing does are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Environment.
    pub environment: String,
    /// What the cluster is compared with.
    pub revision: Revision,
    /// By name.
    pub services: BTreeMap<String, ServiceDifference>,
    /// Objects that are as they should be.
    pub equal: usize,
}

/// What differs in one service.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ServiceDifference {
    /// Why nothing can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// In the order in which a cycle would come to them.
    pub objects: Vec<ObjectDifference>,
}

/// What would happen to one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObjectDifference {
    /// The object.
    pub object: ObjectRef,
    /// What would happen.
    pub action: Action,
    /// Why, or what the server said.
    pub why: String,
    /// What would change in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// Fields of another tool that the manifest does not have: they go when the object is taken over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub goes: Vec<String>,
}

/// What would happen to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It would be created.
    Created,
    /// It would be changed.
    Changed,
    /// It would be deleted and created anew, because a field of it cannot change.
    Replaced,
    /// It would be deleted.
    Deleted,
    /// It is not wanted any more, and would not be deleted.
    Kept,
    /// The server would refuse it, or could not be asked.
    Refused,
}

impl Action {
    fn look(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Action::Created => ("+", GREEN, "would be created"),
            Action::Changed => ("~", YELLOW, "would be changed"),
            Action::Replaced => ("±", YELLOW, "would be deleted and created anew"),
            Action::Deleted => ("-", RED, "would be deleted"),
            Action::Kept => ("=", "", "is not wanted any more, and stays"),
            Action::Refused => ("!", RED, "cannot be applied"),
        }
    }
}

impl Difference {
    /// Tells whether something would change.
    pub fn is_some(&self) -> bool {
        self.objects().any(|object| !matches!(object.action, Action::Kept | Action::Refused))
    }

    /// Tells whether something is known not to work.
    pub fn is_refused(&self) -> bool {
        self.services.values().any(|service| service.problem.is_some())
            || self.objects().any(|object| object.action == Action::Refused)
    }

    fn objects(&self) -> impl Iterator<Item = &ObjectDifference> {
        self.services.values().flat_map(|service| &service.objects)
    }

    /// Returns it for people.
    pub fn text(&self, colored: bool) -> String {
        let paint = Paint { colored };
        let mut out = String::new();
        for (name, service) in &self.services {
            let _ = writeln!(out, "{}", paint.bold(&format!("service {name}")));
            if let Some(problem) = &service.problem {
                let _ = writeln!(out, "{}", paint.styled(RED, &format!("! nothing is done: {problem}")));
            }
            service.objects.iter().for_each(|object| object.write(&paint, &mut out));
            out.push('\n');
        }
        let _ = writeln!(out, "{}", self.summary());
        out
    }

    fn summary(&self) -> String {
        let mut counts: BTreeMap<Action, usize> = BTreeMap::new();
        self.objects().for_each(|object| *counts.entry(object.action).or_default() += 1);
        let word = |action: Action| serde_json::to_value(action).ok()?.as_str().map(str::to_owned);
        let parts = counts.iter().filter_map(|(action, count)| Some(format!("{count} {}", word(*action)?)));
        let mut parts: Vec<String> = parts.collect();
        parts.push(format!("{} equal", self.equal));
        format!("{} at {}: {}", self.environment, self.revision.short(), parts.join(", "))
    }
}

impl ObjectDifference {
    /// Writes it for people.
    pub fn write(&self, paint: &Paint, out: &mut String) {
        let (sign, style, what) = self.action.look();
        let line = format!("{sign} {} {what}: {}", self.object, self.why);
        let _ = writeln!(out, "{}", paint.styled(style, &line));
        self.fields.iter().for_each(|field| write_field(field, 4, paint, out));
        for field in &self.goes {
            let _ = writeln!(out, "{}", paint.styled(RED, &format!("-     {field} (of the former tool)")));
        }
    }
}

/// Compares what a plan is about with what is there. `only`: these services; none: all.
///
/// For a full plan ([`crate::cycle::Mode::Full`]) that is every object.
pub async fn differences<C: Cluster + Inspect>(
    cluster: &C,
    plan: &Plan,
    desired: &Desired,
    settings: &Settings,
    only: &BTreeSet<String>,
) -> Difference {
    let mut difference = Difference {
        environment: plan.environment.clone(),
        revision: plan.revision.clone(),
        services: BTreeMap::new(),
        equal: 0,
    };
    let services = || plan.services.iter().filter(|(name, _)| only.is_empty() || only.contains(*name));
    let made: BTreeSet<&ObjectRef> = plan.applies().map(|(_, apply)| &apply.id).collect();
    let asked = services().flat_map(|(name, service)| service.applies().map(move |apply| (name, apply)));
    let answers = side_by_side(settings.concurrency, asked, async |(name, planned)| {
        (planned.id.clone(), one(cluster, plan, desired, name, planned, &made).await)
    });
    let mut answers: BTreeMap<ObjectRef, Told> = answers.await.into_iter().collect();
    let mut secrets = Redactor::default();
    answers.values_mut().for_each(|told| secrets.extend(std::mem::take(&mut told.secrets)));
    for (name, service) in services() {
        let mut found =
            ServiceDifference { problem: service.problem.as_ref().map(ToString::to_string), objects: Vec::new() };
        for told in service.applies().filter_map(|apply| answers.remove(&apply.id)) {
            match told.difference {
                Some(object) => found.objects.push(object),
                None => difference.equal += 1,
            }
        }
        found.objects.iter_mut().for_each(|object| redact(object, &secrets));
        found.objects.extend(without_request(service));
        difference.equal += service.unchanged;
        if found.problem.is_some() || !found.objects.is_empty() {
            difference.services.insert(name.clone(), found);
        }
    }
    difference
}

/// Returns what a plan says of objects that nothing is applied to.
fn without_request(service: &ServicePlan) -> Vec<ObjectDifference> {
    let told = |object: &ObjectRef, action: Action, why: String| ObjectDifference {
        object: object.clone(),
        action,
        why,
        fields: Vec::new(),
        goes: Vec::new(),
    };
    let deletes = service.all_deletes().map(|delete| {
        let begun = if delete.terminating { ", and that has begun" } else { "" };
        told(&delete.id, Action::Deleted, format!("{}{begun}", delete.reason))
    });
    let kept = service.withheld.iter().map(|object| told(&object.id, Action::Kept, object.withheld.to_string()));
    deletes.chain(kept).collect()
}

/// What is known of one object, and what must not be said.
struct Told {
    difference: Option<ObjectDifference>,
    secrets: Redactor,
}

/// Compares one object with what its apply would make of it.
pub async fn of_object<C: Cluster + Inspect>(
    cluster: &C,
    plan: &Plan,
    desired: &Desired,
    service: &str,
    planned: &PlannedApply,
) -> Option<ObjectDifference> {
    let made = plan.applies().map(|(_, apply)| &apply.id).collect();
    let Told { mut difference, secrets } = one(cluster, plan, desired, service, planned, &made).await;
    difference.iter_mut().for_each(|object| redact(object, &secrets));
    difference
}

async fn one<C: Cluster + Inspect>(
    cluster: &C,
    plan: &Plan,
    desired: &Desired,
    service: &str,
    planned: &PlannedApply,
    made: &BTreeSet<&ObjectRef>,
) -> Told {
    let mut secrets = Redactor::default();
    let told = |action: Action, why: String| ObjectDifference {
        object: planned.id.clone(),
        action,
        why,
        fields: Vec::new(),
        goes: Vec::new(),
    };
    let mut apply = apply_of(plan, desired, service, planned, planned.uid.clone());
    apply.dry_run = true;
    if is_secret(&planned.id) {
        secrets.add_secret(&apply.body);
    }
    if matches!(planned.reason, Reason::Terminating { .. }) {
        return Told { difference: Some(told(Action::Created, planned.reason.to_string())), secrets };
    }
    let live = match cluster.get(&planned.id).await {
        Ok(live) => live,
        // What is not served has no objects: the dry run says the rest.
        Err(error) if matches!(error.class, ErrorClass::NotServed) => None,
        Err(error) => return Told { difference: Some(told(Action::Refused, error.message)), secrets },
    };
    if let Some(live) = &live {
        left_to_others(&mut apply, desired, service, live);
        if is_secret(&planned.id) {
            secrets.add_secret(live);
        }
    }
    let goes = match (&planned.reason, &live) {
        (Reason::Adopted { .. }, Some(live)) => of_tools(live, &apply.body),
        _ => Vec::new(),
    };
    let difference = match (cluster.preview(apply).await, &live) {
        (Ok(_), None) => Some(told(Action::Created, planned.reason.to_string())),
        (Ok(after), Some(live)) => {
            let fields = fields(&planned.id, live, &after);
            let is_same = fields.is_empty() && goes.is_empty();
            let difference = ObjectDifference { fields, goes, ..told(Action::Changed, why(&planned.reason)) };
            (!is_same).then_some(difference)
        }
        (Err(error), _) => Some(refused(&error, planned, desired, service, made, &told)),
    };
    Told { difference, secrets }
}

/// A full plan gives no reason of its own.
fn why(reason: &Reason) -> String {
    match reason {
        Reason::FullSync => "it is not as its manifest says".to_owned(),
        reason => reason.to_string(),
    }
}

/// Says what an answer means that is none: what comes with the same plan is not there yet for a dry run.
fn refused(
    error: &ClusterError,
    planned: &PlannedApply,
    desired: &Desired,
    service: &str,
    made: &BTreeSet<&ObjectRef>,
    told: &impl Fn(Action, String) -> ObjectDifference,
) -> ObjectDifference {
    let namespace = ObjectRef {
        group: "".into(),
        kind: "Namespace".into(),
        namespace: "".into(),
        name: planned.id.namespace.clone(),
    };
    let is_definition = |id: &&&ObjectRef| id.kind == "CustomResourceDefinition";
    match error.class {
        ErrorClass::NamespaceUnavailable if made.contains(&namespace) => {
            told(Action::Created, format!("{} (its namespace does not exist yet)", planned.reason))
        }
        ErrorClass::NotServed if made.iter().any(|id| is_definition(&id)) => {
            told(Action::Created, format!("{} (its kind is not served yet)", planned.reason))
        }
        ErrorClass::Gone => told(Action::Created, "it went away while it was looked at".to_owned()),
        _ if is_replaced(desired, service, planned, error) => told(Action::Replaced, error.message.clone()),
        _ => told(Action::Refused, error.message.clone()),
    }
}

/// Returns the fields that tools own and that go with the first apply: those that the manifest does not have.
fn of_tools(live: &Value, body: &Value) -> Vec<String> {
    let Some(entries) = adoption::taken_over(live) else { return Vec::new() };
    let taken = serde_json::json!({"metadata": {"managedFields": entries}});
    let ours = ownership::entries(&taken).filter(|entry| entry.is_ours()).flat_map(ownership::Entry::fields);
    let goes: BTreeSet<String> =
        ours.filter(|field| !field.is_in(body) && field.is_in(live)).map(|f| Field::name(&f)).collect();
    goes.into_iter().collect()
}

/// Returns what differs between two states of an object, but for what only the server writes, without values of a Secret.
fn fields(id: &ObjectRef, before: &Value, after: &Value) -> Vec<FieldChange> {
    let cleaned = |value: &Value| {
        let mut value = value.clone();
        OF_THE_SERVER.iter().for_each(|pointer| ownership::strip(&mut value, pointer));
        value
    };
    let (before, after) = (cleaned(before), cleaned(after));
    let with_hash = between(&before, &after);
    let hash = format!("/metadata/annotations/{}", ANNOTATION_HASH.replace('/', "~1"));
    let without_hash = |mut value: Value| {
        ownership::strip(&mut value, &hash);
        value
    };
    // It follows from the rest; alone it says that somebody has touched it.
    let without = between(&without_hash(before), &without_hash(after));
    let mut fields = if without.is_empty() { with_hash } else { without };
    if is_secret(id) {
        fields.iter_mut().for_each(FieldChange::mask);
    }
    fields
}

fn is_secret(id: &ObjectRef) -> bool {
    *id == ObjectRef { group: "".into(), kind: "Secret".into(), ..id.clone() }
}

/// Takes the values of Secrets out of whatever else repeats them.
fn redact(object: &mut ObjectDifference, secrets: &Redactor) {
    object.why = secrets.redact(&object.why);
    if is_secret(&object.object) {
        return;
    }
    for field in &mut object.fields {
        let name = field.path.strip_suffix(".value").map(|path| path.replace(['[', ']', '"'], "."));
        for value in [&mut field.before, &mut field.after].into_iter().flatten() {
            redact_leaves(value, secrets);
            redact_named(name.as_deref(), value, secrets);
        }
    }
}

fn redact_leaves(value: &mut Value, secrets: &Redactor) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(|value| redact_leaves(value, secrets));
            let name = map.get("name").and_then(Value::as_str).map(str::to_owned);
            map.get_mut("value").into_iter().for_each(|value| redact_named(name.as_deref(), value, secrets));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| redact_leaves(value, secrets)),
        Value::String(text) => *text = secrets.redact(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Takes out the value of a variable whose name says that it is secret.
fn redact_named(name: Option<&str>, value: &mut Value, secrets: &Redactor) {
    if let (Some(name), Value::String(text)) = (name, value) {
        let told = format!("{name}={text}");
        if secrets.redact(&told) != told {
            *text = MARK.to_owned();
        }
    }
}
