//! A world to plan for, written in few words.
//!
//! Objects are written `Kind name` or `Kind.group name`, in namespace `n` unless the kind is in none; `v1`, `v2`, ... stand for contents.

use std::collections::{BTreeMap, BTreeSet};

use manifest::index::{Entry, Sync};
use manifest::object::{Scope as KindScope, scope};
use manifest::{Hash, Index, Manifest, ObjectRef};
use serde_json::{Value, json};
use syncd::cluster::{GroupKind, Observed};
use syncd::config::{Fuse, protected_by_default};
use syncd::desired::{Content, Desired, Object, Source};
use syncd::live::{Inside, Live, Resident, Seen};
use syncd::plan::{Plan, Policy, Scope, Selection, plan, select, verify};
use syncd::repo::{CommitInfo, Revision};
use syncd::report::{Suspended, SuspendedScope, Suspension, Trigger};
use syncd::state::{Held, Intent, Reading, Record, Settled, State, Stored};

/// Everything that a plan depends on.
pub struct World {
    pub desired: Desired,
    pub state: State,
    pub live: Live,
    pub resting: BTreeSet<String>,
    pub scope: Scope,
    pub policy: Policy,
}

/// Returns the object of `Kind name`.
pub fn id(text: &str) -> ObjectRef {
    let (kind, name) = text.split_once(' ').expect("`Kind name`");
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    let namespace = if scope(group, kind) == Some(KindScope::Cluster) { "" } else { "n" };
    ObjectRef { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
}

/// Returns the manifest of an object with a content.
pub fn manifest(text: &str, content: &str) -> Manifest {
    let id = id(text);
    let api_version = if id.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", id.group) };
    let mut value =
        json!({"apiVersion": api_version, "kind": id.kind, "metadata": {"name": id.name}, "data": {"v": content}});
    if !id.namespace.is_empty() {
        value["metadata"]["namespace"] = json!(id.namespace);
    }
    if id.kind == "CustomResourceDefinition" {
        // `widgets.example.org` defines `Widget.example.org`.
        let (plural, group) = id.name.split_once('.').expect("plural.group");
        let mut kind = plural.trim_end_matches('s').to_owned();
        kind[..1].make_ascii_uppercase();
        value["spec"] = json!({"group": group, "names": {"kind": kind}});
    }
    if content == "ttl" {
        value["spec"] = json!({"ttlSecondsAfterFinished": 60});
    }
    Manifest::from_value(value).expect("a valid manifest")
}

/// Returns the uid that objects have unless a test says otherwise.
pub fn uid(text: &str) -> String {
    format!("uid-{}", text.split_once(' ').expect("`Kind name`").1)
}

/// Objects with their contents.
pub type Objects<'a> = &'a [(&'a str, &'a str)];

fn content(objects: Objects<'_>) -> Hash {
    Hash::of(format!("{objects:?}").as_bytes())
}

impl World {
    pub fn new() -> Self {
        let index = Index { environment: "staging".to_owned(), services: BTreeMap::new() };
        let commit = CommitInfo::default();
        let revision = Revision("0123456789abcdef0123456789abcdef01234567".to_owned());
        let source = Source::new(revision, commit, index);
        World {
            desired: Desired { source, services: BTreeMap::new() },
            state: State::default(),
            live: Live::default(),
            resting: BTreeSet::new(),
            scope: Scope::Needed,
            policy: Policy {
                namespace: "syncd".to_owned(),
                fuse: Fuse::default(),
                approved: BTreeSet::new(),
                protected: protected_by_default(),
                adopt: BTreeSet::new(),
                suspended: Suspended::default(),
                trigger: Trigger::Changed,
            },
        }
    }

    /// A service of the index, with its manifests.
    pub fn wants(self, service: &str, objects: Objects<'_>) -> Self {
        self.wants_so(service, objects, Sync::default())
    }

    /// A service of the index, with its manifests and settings.
    pub fn wants_so(mut self, service: &str, objects: Objects<'_>, sync: Sync) -> Self {
        let entry = Entry {
            chart: "generic".into(),
            content: content(objects),
            inputs: Hash::of(b"inputs"),
            objects: objects.len(),
            sync,
            version: "1.0".into(),
        };
        std::sync::Arc::make_mut(&mut self.desired.source.index).services.insert(service.to_owned(), entry);
        let object = |(text, content): &(&str, &str)| {
            let manifest = manifest(text, content);
            (manifest.id.clone(), Object::new(&manifest))
        };
        self.desired.services.insert(service.to_owned(), Content::Objects(objects.iter().map(object).collect()));
        self
    }

    /// A service of the index whose file is not to be followed.
    pub fn refuses(mut self, service: &str, reason: &str) -> Self {
        self = self.wants(service, &[]);
        let content = Content::Refused { reason: reason.to_owned(), claims: None };
        self.desired.services.insert(service.to_owned(), content);
        self
    }

    /// A record of a service that reached these objects, confirmed.
    pub fn settled(self, service: &str, objects: Objects<'_>) -> Self {
        let settled =
            Settled { content: Some(content(objects)), version: Some("1.0".into()), commit: Revision("f".repeat(40)) };
        self.recorded(service, objects, |record| record.settled = Some(settled))
    }

    /// A record of a service that was reaching for these objects when it stopped; none is confirmed.
    pub fn intended(self, service: &str, objects: Objects<'_>) -> Self {
        let intent =
            Intent { plan: Hash::of(b"plan"), content: Some(content(objects)), commit: Revision("f".repeat(40)) };
        self.recorded(service, objects, |record| {
            record.intent = Some(intent);
            record.held.iter_mut().for_each(|(_, held)| (held.uid, held.hash) = (None, None));
        })
    }

    fn recorded(mut self, service: &str, objects: Objects<'_>, change: impl FnOnce(&mut Record)) -> Self {
        let held = |(text, content): &(&str, &str)| {
            let manifest = manifest(text, content);
            let hash = Some(manifest.hash());
            (
                manifest.id,
                Held { api_version: manifest.api_version, uid: Some(uid(text).into()), hash, ..Held::default() },
            )
        };
        let mut record = Record { held: objects.iter().map(held).collect(), ..Record::default() };
        change(&mut record);
        let stored = Stored {
            record,
            resource_version: "1".into(),
            parts: BTreeMap::new(),
            generation: 0,
            bytes: 0,
            stale: BTreeMap::new(),
        };
        self.state.services.insert(service.to_owned(), Reading::Stored(Box::new(stored)));
        self
    }

    /// Changes what a service has recorded of an object.
    pub fn held(mut self, service: &str, text: &str, change: impl FnOnce(&mut Held)) -> Self {
        let Some(Reading::Stored(stored)) = self.state.services.get_mut(service) else {
            panic!("no record of {service}")
        };
        change(stored.record.held.get_mut(&id(text)).expect("a recorded object"));
        self
    }

    /// A service whose record cannot be read.
    pub fn unreadable(mut self, service: &str) -> Self {
        let reason = "ConfigMap `syncd-staging-x`: format 2 is unknown".to_owned();
        self.state.services.insert(service.to_owned(), Reading::Unreadable { reason });
        self
    }

    /// All objects that are recorded exist as they are recorded, and all their kinds were listed.
    pub fn lives_as_recorded(mut self) -> Self {
        let records: Vec<(String, Record)> =
            self.state.records().map(|(service, record)| (service.clone(), record.clone())).collect();
        for (service, record) in records {
            for (id, held) in record.held {
                self.live.listed.insert(GroupKind::of(&id));
                if let Some(uid) = held.uid {
                    self.live.owned.insert(id, observed(&service, &uid, held.hash));
                }
            }
        }
        self
    }

    /// An object exists, with labels of a service and a content, as a list shows it.
    pub fn lives(mut self, service: &str, text: &str, content: &str) -> Self {
        let observed = observed(service, &uid(text), Some(manifest(text, content).hash()));
        self.live.listed.insert(GroupKind::of(&id(text)));
        self.live.owned.insert(id(text), observed);
        self
    }

    /// Changes what a list shows of an object.
    pub fn live(mut self, text: &str, change: impl FnOnce(&mut Observed)) -> Self {
        change(self.live.owned.get_mut(&id(text)).expect("a live object"));
        self
    }

    /// An object is not there any more.
    pub fn dies(mut self, text: &str) -> Self {
        self.live.owned.remove(&id(text)).expect("a live object");
        self
    }

    /// An object was looked at alone: it is as it is recorded by a service.
    pub fn seen(self, service: &str, text: &str) -> Self {
        self.seen_so(service, text, |_| {})
    }

    /// An object was looked at alone.
    pub fn seen_so(mut self, service: &str, text: &str, change: impl FnOnce(&mut Seen)) -> Self {
        let hash = self.state.record(service).and_then(|record| record.held.get(&id(text))).and_then(|held| held.hash);
        let defines = syncd::live::defined_kind(&manifest(text, "").value);
        let observed = observed(service, &uid(text), hash);
        let mut seen = Seen { observed, prune_disabled: false, owner: None, defines, claims: false };
        change(&mut seen);
        self.live.seen.insert(id(text), Some(Box::new(seen)));
        self
    }

    /// An object was looked at alone: it does not exist.
    pub fn seen_gone(mut self, text: &str) -> Self {
        self.live.seen.insert(id(text), None);
        self
    }

    /// What is in a namespace, or which instances of a definition there are: objects, as [`uid`] has them.
    pub fn holds(mut self, shell: &str, objects: &[&str]) -> Self {
        let resident = |text: &&str| Resident { id: id(text), uid: uid(text), leaving: false };
        self.live.inside.insert(id(shell), Inside::Known(objects.iter().map(resident).collect()));
        self
    }

    pub fn rests(mut self, service: &str) -> Self {
        self.resting.insert(service.to_owned());
        self
    }

    pub fn full(mut self) -> Self {
        self.scope = Scope::Full;
        self.policy.trigger = Trigger::Full;
        self
    }

    /// Something is left alone.
    pub fn suspended(mut self, scope: SuspendedScope) -> Self {
        let (reason, since) = ("a test".to_owned(), "2026-01-01T00:00:00Z".to_owned());
        self.policy.suspended.0.push(Suspension { scope, reason, since, until: None });
        self
    }

    pub fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    /// Returns what is looked at; completes the world's hashes.
    fn select(&mut self) -> Selection {
        self.desired.source.root = self.desired.source.index.root();
        let selection = select(
            &self.desired.source.index,
            &self.state,
            &self.live,
            &self.resting,
            &self.policy.suspended,
            self.scope,
        );
        // As in a cycle: what is not needed is not read.
        self.desired.services.retain(|name, _| selection.load.contains(name));
        selection
    }

    /// Plans, without a second opinion.
    pub fn plan_unverified(&mut self) -> Plan {
        let selection = self.select();
        plan(&self.desired, &self.state, &self.live, &selection, &self.policy)
    }

    pub fn verify(&self, plan: &Plan) -> Result<(), Vec<String>> {
        let verdict = verify::verify(plan, &self.desired, &self.state, &self.live, &self.policy);
        verdict.map_err(|violations| violations.iter().map(ToString::to_string).collect())
    }

    /// Plans, has the plan verified, and returns it as people read it, without ids.
    pub fn printed(mut self) -> String {
        let plan = self.plan_unverified();
        assert_eq!(self.verify(&plan), Ok(()), "\n{plan}");
        let again = self.plan_unverified();
        assert_eq!(plan.id(), again.id(), "the same world has the same plan");
        let mut text = plan.to_string().replacen(&format!("plan {} ", plan.id().short()), "plan ", 1);
        if let Some(held) = &plan.held {
            text = text.replace(&held.id.to_string(), "<id>").replace(&held.id.short(), "<short id>");
        }
        text
    }
}

pub fn observed(service: &str, uid: &str, hash: Option<Hash>) -> Observed {
    Observed {
        uid: uid.into(),
        resource_version: "7".into(),
        generation: 1,
        terminating: false,
        environment: Some("staging".into()),
        service: Some(service.into()),
        hash: hash.map(|hash| hash.to_string().into()),
    }
}

/// Returns the value at a pointer of a manifest's value; for tests that change one.
pub fn set(value: &mut Value, pointer: &str, new: Value) {
    *value.pointer_mut(pointer).expect("the pointer exists") = new;
}
