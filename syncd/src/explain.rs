//! Everything that is known of one object, and what would happen to it next.
//!
//! Puts together what the index, the records, the cluster and a plan say of it; decides nothing. Knows no request. Invariants: what is not known
//! is not said; no value of a Secret is in it.

use std::fmt::Write as _;

use manifest::difference::text::Paint;
use manifest::index::DriftPolicy;
use manifest::{Index, Manifest, ObjectRef, yaml};
use serde::Serialize;
use serde_json::Value;

use crate::adoption;
use crate::cluster::{FIELD_MANAGER, LABEL_ENVIRONMENT, LABEL_SERVICE};
use crate::cycle::Foresight;
use crate::difference::ObjectDifference;
use crate::live::observed;
use crate::ownership::{Entry, Field, REPLICAS, entries, ignored};
use crate::plan::{Plan, PlannedApply, Problem, Reason, ServicePlan};
use crate::report::printable;

/// What happens to an object that is as it was recorded.
const AT_REST: &str = "nothing, until the next full sync applies everything again";
/// Fields of another manager that are named.
const FIELDS_NAMED_MAX: usize = 10;

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The object.
    pub object: ObjectRef,
    /// Who wants it; absent: no service.
    pub wanted: Option<Wanted>,
    /// Who holds it; empty: no record.
    pub recorded: Vec<Recorded>,
    /// What is in the cluster; absent: nothing.
    pub live: Option<Existing>,
    /// Whose it is.
    pub owner: String,
    /// What would happen to it next, and why.
    pub next: String,
    /// What an apply would change; absent: nothing, or none would be sent.
    pub difference: Option<ObjectDifference>,
}

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wanted {
    /// The service.
    pub service: String,
    /// Its version.
    pub version: String,
    /// The revision.
    pub revision: String,
    /// First line of its message.
    pub subject: String,
    /// The file.
    pub file: String,
    /// Which document of it, from 1; absent: the file could not be read.
    pub document: Option<usize>,
    /// Hash of its manifest; absent: its service is refused.
    pub hash: Option<String>,
}

/// A record that holds it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// The service.
    pub service: String,
    /// API version that it was applied through.
    pub api_version: String,
    /// Its uid; absent: no answer ever told it.
    pub uid: Option<String>,
    /// Hash of the manifest that was confirmed.
    pub hash: Option<String>,
    /// The revision that the service last reached.
    pub reached: Option<String>,
    /// Why it is kept although nobody wants it.
    pub leftover: Option<String>,
}

/// An object that exists.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Existing {
    /// Its uid.
    pub uid: String,
    /// When it was created; RFC 3339, UTC.
    pub created_at: String,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Value of the label `syncd/environment`.
    pub environment: Option<String>,
    /// Value of the label `syncd/service`.
    pub service: Option<String>,
    /// Value of the annotation `syncd/hash`.
    pub hash: Option<String>,
    /// Who owns fields of it.
    pub managers: Vec<Owns>,
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Owns {
    /// The manager, with the subresource that it wrote.
    pub manager: String,
    /// When it last changed something; RFC 3339, UTC.
    pub time: String,
    /// Number of fields.
    pub fields: usize,
    /// Those that our manifest has too, and that are not left to it.
    pub ours: Vec<String>,
    /// Those that our manifest has too, and that are left to it.
    pub ignored: Vec<String>,
}

/// Returns what is known of an object. `live`: as it is; `file`: the text of the file that it comes from; `difference`: what its apply would
/// change, where there is one.
pub fn explain(
    id: &ObjectRef,
    foresight: &Foresight,
    live: Option<&Value>,
    file: Option<&str>,
    difference: Option<ObjectDifference>,
) -> Explanation {
    let wanted = wanted(id, foresight, file);
    let records = foresight.state.iter().flat_map(|state| state.records());
    let recorded: Vec<Recorded> = records
        .filter_map(|(service, record)| {
            let held = record.held.get(id)?;
            Some(Recorded {
                service: service.clone(),
                api_version: held.api_version.to_string(),
                uid: held.uid.as_ref().map(ToString::to_string),
                hash: held.hash.map(|hash| hash.to_string()),
                reached: record.settled.as_ref().map(|settled| settled.commit.to_string()),
                leftover: held.leftover.clone(),
            })
        })
        .collect();
    let manifest = wanted.as_ref().and_then(|wanted| {
        let object = foresight.desired.as_ref()?.object(&wanted.service, id)?;
        Some(object.value())
    });
    let environment = foresight.source.as_ref().map_or("", |source| source.index.environment.as_str());
    Explanation {
        object: id.clone(),
        owner: owner(live, &recorded, environment),
        next: match (next(id, foresight, wanted.as_ref(), &recorded, live.is_some()), &difference) {
            (next, Some(_)) if next == AT_REST => drift(wanted.as_ref(), foresight).to_owned(),
            (next, _) => next,
        },
        live: live.map(|live| existing(live, manifest.as_ref())),
        wanted,
        recorded,
        difference,
    }
}

/// Returns the service that wants an object, with its apply where the plan has one.
pub fn planned<'a>(id: &ObjectRef, plan: &'a Plan) -> Option<(&'a String, &'a PlannedApply)> {
    plan.applies().find(|(_, apply)| apply.id == *id)
}

/// Returns the service that wants an object.
pub fn wanted_by<'a>(id: &ObjectRef, foresight: &'a Foresight) -> Option<&'a String> {
    let (desired, state) = (foresight.desired.as_ref()?, foresight.state.as_ref()?);
    let mut all = desired.all_claims(state);
    all.find_map(|(service, claims)| claims.into_iter().flatten().any(|claimed| claimed == id).then_some(service))
}

fn wanted(id: &ObjectRef, foresight: &Foresight, file: Option<&str>) -> Option<Wanted> {
    let service = wanted_by(id, foresight)?;
    let source = foresight.source.as_ref()?;
    let entry = source.index.services.get(service)?;
    let object = foresight.desired.as_ref()?.object(service, id);
    Some(Wanted {
        service: service.clone(),
        version: entry.version.to_string(),
        revision: source.kept.get(service).unwrap_or(&source.revision).to_string(),
        subject: source.commit.subject.clone(),
        file: Index::resources_path(&source.index.environment, service),
        document: file.and_then(|text| document(text, id)),
        hash: object.map(|object| object.hash.to_string()),
    })
}

/// Returns which document of a file an object is, from 1.
fn document(text: &str, id: &ObjectRef) -> Option<usize> {
    let documents = yaml::read(text, &yaml::Settings::default()).ok()?;
    let is_it = |manifest: &Manifest| {
        // `syncd` completes the namespace of what has none.
        ObjectRef { namespace: id.namespace.clone(), ..manifest.id.clone() } == *id
            && (manifest.id.namespace == id.namespace || manifest.id.namespace.is_empty())
    };
    let mut values = documents.into_iter().map(|document| document.value).filter(|value| !value.is_null());
    values.position(|value| Manifest::from_value(value).is_ok_and(|manifest| is_it(&manifest))).map(|at| at + 1)
}

fn existing(live: &Value, manifest: Option<&Value>) -> Existing {
    let seen = observed(live);
    let created = live.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or_default();
    let pointers = manifest.map(ignored).unwrap_or_default();
    let mut managers: Vec<Owns> = entries(live).map(|entry| owns(entry, manifest, &pointers)).collect();
    // The server has them by time.
    managers.sort_by_key(|owns| (owns.manager != FIELD_MANAGER, owns.manager.clone()));
    Existing {
        uid: seen.uid.to_string(),
        created_at: created.to_owned(),
        terminating: seen.terminating,
        environment: seen.environment.map(String::from),
        service: seen.service.map(String::from),
        hash: seen.hash.map(String::from),
        managers,
    }
}

fn owns(entry: Entry<'_>, manifest: Option<&Value>, pointers: &[String]) -> Owns {
    let fields = entry.fields();
    let shared = |field: &&Field<'_>| {
        !entry.is_ours() && !entry.is_status() && manifest.is_some_and(|manifest| field.is_in(manifest))
    };
    let is_left = |field: &Field<'_>| {
        entry.is_autoscaler() && field.is_under(REPLICAS) || pointers.iter().any(|pointer| field.is_under(pointer))
    };
    let (left, ours): (Vec<&Field<'_>>, Vec<&Field<'_>>) =
        fields.iter().filter(shared).partition(|field| is_left(field));
    let named = |fields: Vec<&Field<'_>>| fields.into_iter().take(FIELDS_NAMED_MAX).map(Field::name).collect();
    let time = entry.time().to_owned();
    Owns { manager: entry.manager(), time, fields: fields.len(), ours: named(ours), ignored: named(left) }
}

fn owner(live: Option<&Value>, recorded: &[Recorded], environment: &str) -> String {
    let Some(live) = live else { return "nobody: it does not exist".to_owned() };
    let seen = observed(live);
    let holder = recorded.iter().find(|record| record.uid.as_deref() == Some(seen.uid.as_str()));
    if let Some(holder) = holder {
        return format!("syncd, service {}", holder.service);
    }
    if let Some(owner) = adoption::owner(live, environment) {
        return format!("{owner}");
    }
    match (recorded.first(), seen.environment.as_deref() == Some(environment)) {
        (Some(record), _) => {
            format!(
                "unknown: service {} recorded another object of that name, uid {}",
                record.service,
                record.uid.as_deref().unwrap_or("unknown")
            )
        }
        (None, true) => "nobody: it carries syncd's labels, and no record holds it".to_owned(),
        (None, false) => "nobody that syncd knows: it was made by hand, or by a tool that leaves no mark".to_owned(),
    }
}

fn next(id: &ObjectRef, foresight: &Foresight, wanted: Option<&Wanted>, recorded: &[Recorded], exists: bool) -> String {
    if let Some(error) = foresight.errors.first().filter(|_| foresight.plan.is_none()) {
        return format!("not known: {}", error.message);
    }
    let services = foresight.plan.iter().flat_map(|plan| &plan.services);
    let concerned = |name: &String| {
        wanted.is_some_and(|wanted| wanted.service == *name) || recorded.iter().any(|record| record.service == *name)
    };
    let of_service = |(name, service): (&String, &ServicePlan)| of_service(id, name, service);
    let said: Vec<String> = services.filter(|(name, _)| concerned(name)).filter_map(of_service).collect();
    match (said.is_empty(), wanted, recorded.is_empty()) {
        (false, ..) => said.join("; "),
        (true, None, true) if exists => {
            "nothing: no service wants it and no record holds it, so syncd neither changes nor deletes it".to_owned()
        }
        (true, None, true) => "nothing: no service wants it, and it does not exist".to_owned(),
        (true, ..) => "nothing: it is as it should be, as far as is known".to_owned(),
    }
}

/// Returns what happens to an object that others changed, where nothing new is wanted of it.
fn drift(wanted: Option<&Wanted>, foresight: &Foresight) -> &'static str {
    let services = foresight.source.as_ref().map(|source| &source.index.services);
    let said = wanted.and_then(|wanted| services?.get(&wanted.service)?.sync.drift);
    match said {
        Some(DriftPolicy::Report) => {
            "it differs: a running syncd says so (`drift: report`), the next full sync takes it back"
        }
        Some(DriftPolicy::Ignore) => {
            "it differs: nobody looks (`drift: ignore`) until the next full sync takes it back"
        }
        Some(DriftPolicy::Correct) => "it differs: a running syncd takes it back when it sees it (`drift: correct`)",
        None => {
            "it differs: a running syncd takes it back when it sees it, unless --drift says otherwise; a full sync in any case"
        }
    }
}

/// Returns what the plan of one service does about an object.
fn of_service(id: &ObjectRef, name: &str, service: &ServicePlan) -> Option<String> {
    match &service.problem {
        Some(Problem::Foreign { object, .. }) if object != id => {
            return Some(format!("nothing is done for service {name}: {}", service.problem.as_ref()?));
        }
        Some(problem) => return Some(format!("nothing: {problem}")),
        None => {}
    }
    if let Some(apply) = service.applies().find(|apply| apply.id == *id) {
        return Some(match apply.reason {
            Reason::FullSync => AT_REST.to_owned(),
            _ => format!("it is applied for service {name}: {}", apply.reason),
        });
    }
    if let Some(delete) = service.all_deletes().find(|delete| delete.id == *id) {
        return Some(format!("it is deleted for service {name}: {}", delete.reason));
    }
    if let Some(kept) = service.withheld.iter().find(|kept| kept.id == *id) {
        return Some(format!("it stays, and service {name} does not want it: {}", kept.withheld));
    }
    service.gone.contains(id).then(|| format!("it is forgotten by service {name}: it does not exist any more"))
}

impl Explanation {
    /// Returns it for people.
    pub fn text(&self, colored: bool) -> String {
        let paint = Paint { colored };
        let mut out = paint.bold(&self.object.to_string()) + "\n\n";
        let mut row = |name: &str, lines: Vec<String>| {
            for (number, line) in lines.iter().enumerate() {
                let name = if number == 0 { name } else { "" };
                let _ = writeln!(out, "{name:<9} {}", printable(line));
            }
        };
        row("wanted", self.wanted_lines());
        row("recorded", self.recorded_lines());
        row("live", self.live_lines());
        row("owner", vec![self.owner.clone()]);
        row("fields", self.field_lines());
        row("next", vec![self.next.clone()]);
        if let Some(difference) = &self.difference {
            out.push('\n');
            difference.write(&paint, &mut out);
        }
        out
    }

    fn wanted_lines(&self) -> Vec<String> {
        let Some(Wanted { service, version, revision, subject, file, document, hash }) = &self.wanted else {
            return vec!["by no service".to_owned()];
        };
        let short: String = revision.chars().take(12).collect();
        let document = document.map(|number| format!(", document {number}")).unwrap_or_default();
        let hash = hash.as_ref().map(|hash| format!(", hash {}", &hash[..12])).unwrap_or_default();
        vec![
            format!("by service {service}, version {version}, at {short} ({subject})"),
            format!("{file}{document}{hash}"),
        ]
    }

    fn recorded_lines(&self) -> Vec<String> {
        let line = |record: &Recorded| {
            let Recorded { service, api_version, uid, hash, leftover, .. } = record;
            let uid = uid.as_deref().unwrap_or("not known yet");
            let wanted = self.wanted.as_ref().and_then(|wanted| wanted.hash.as_ref());
            let hash = match hash {
                None => "never confirmed".to_owned(),
                Some(hash) if Some(hash) == wanted => "hash as wanted".to_owned(),
                Some(hash) => format!("hash {}", &hash[..12]),
            };
            let kept =
                leftover.as_ref().map(|why| format!("; kept, although it is not wanted: {why}")).unwrap_or_default();
            format!("by service {service} as {api_version}, uid {uid}, {hash}{kept}")
        };
        match self.recorded.is_empty() {
            true => vec!["by no service".to_owned()],
            false => self.recorded.iter().map(line).collect(),
        }
    }

    fn live_lines(&self) -> Vec<String> {
        let Some(live) = &self.live else { return vec!["it does not exist".to_owned()] };
        let going = if live.terminating { ", being deleted" } else { "" };
        let label = |name: &str, value: &Option<String>| match value {
            Some(value) => format!("{name}={value}"),
            None => format!("no {name}"),
        };
        let wanted = self.wanted.as_ref().and_then(|wanted| wanted.hash.as_ref());
        let hash = match &live.hash {
            None => "no hash annotation".to_owned(),
            Some(hash) if Some(hash) == wanted => "hash annotation as wanted".to_owned(),
            Some(hash) => format!("hash annotation {}", hash.chars().take(12).collect::<String>()),
        };
        let (environment, service) = (label(LABEL_ENVIRONMENT, &live.environment), label(LABEL_SERVICE, &live.service));
        vec![
            format!("uid {}, created {}{going}", live.uid, live.created_at),
            format!("{environment}, {service}, {hash}"),
        ]
    }

    fn field_lines(&self) -> Vec<String> {
        let line = |owns: &Owns| {
            let Owns { manager, time, fields, ours, ignored } = owns;
            let ours = if ours.is_empty() { String::new() } else { format!("; of the manifest: {}", ours.join(", ")) };
            let left = if ignored.is_empty() { String::new() } else { format!("; left to it: {}", ignored.join(", ")) };
            format!("{manager}: {fields}, last {time}{ours}{left}")
        };
        self.live.iter().flat_map(|live| &live.managers).map(line).collect()
    }
}
