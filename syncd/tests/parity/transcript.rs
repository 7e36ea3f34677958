//! What happened, as text that is the same wherever and whenever it happens.
//!
//! uids become numbers, revisions letters, the scenario's name `n`; hashes are only marked. Knows no cluster. Invariant: nothing is left out because it
//! differs, only because it cannot be the same twice.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use manifest::ObjectRef;
use regex::Regex;
use serde_json::Value;
use syncd::repo::Revision;
use syncd::report::{CycleResult, Outcome, Report};
use syncd::state::{Reading, State};

/// A text that grows.
pub struct Transcript {
    rules: Vec<(Regex, &'static str)>,
    text: String,
    /// What is called otherwise, and how.
    names: Vec<(String, &'static str)>,
    revisions: BTreeMap<String, String>,
    /// uids of each object, in the order in which they were seen.
    uids: BTreeMap<ObjectRef, Vec<String>>,
    /// What was told last under each head.
    last: BTreeMap<&'static str, Vec<String>>,
}

/// An object of the cluster, as it is told.
pub struct Seen {
    pub service: String,
    pub id: ObjectRef,
    pub value: Value,
}

impl Transcript {
    /// Begins a transcript. The scenario's name, which namespaces and the environment have, is told as `n`.
    pub fn new(scenario: &str) -> Self {
        Transcript {
            rules: RULES.map(|(rule, by)| (Regex::new(rule).unwrap(), by)).into(),
            text: String::new(),
            names: vec![(scenario.to_owned(), "n")],
            revisions: BTreeMap::new(),
            uids: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Calls something otherwise from now on.
    pub fn call(&mut self, name: String, by: &'static str) {
        self.names.push((name, by));
    }

    pub fn title(&mut self, text: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        writeln!(self.text, "{gap}## {text}").unwrap();
    }

    pub fn line(&mut self, text: &str) {
        let text = self.clean(text);
        writeln!(self.text, "{text}").unwrap();
    }

    /// Gives a commit the next letter.
    pub fn name_revision(&mut self, revision: &Revision) -> String {
        let letter = char::from(b'A' + u8::try_from(self.revisions.len()).expect("few commits"));
        self.revisions.entry(revision.0.clone()).or_insert_with(|| letter.to_string()).clone()
    }

    /// Tells a list under a head; nothing new is told in a word.
    pub fn list(&mut self, head: &'static str, lines: &[String]) {
        let lines: Vec<String> = lines.iter().map(|line| self.clean(line)).collect();
        let is_old = self.last.get(head).is_some_and(|last| *last == lines) && !lines.is_empty();
        match lines.as_slice() {
            [] => writeln!(self.text, "{head}: nothing").unwrap(),
            _ if is_old => writeln!(self.text, "{head}: as before").unwrap(),
            lines => {
                writeln!(self.text, "{head}:").unwrap();
                lines.iter().for_each(|line| writeln!(self.text, "  {line}").unwrap());
            }
        }
        self.last.insert(head, lines);
    }

    pub fn requests(&mut self, lines: &[String]) {
        self.last.remove("requests");
        self.list("requests", lines);
    }

    /// Tells what a running `syncd` told.
    pub fn events(&mut self, lines: &[String]) {
        self.last.remove("told");
        self.list("told", lines);
    }

    /// Tells a report: what people get to know.
    pub fn report(&mut self, report: &Report) {
        let revision = report.revision.as_ref().map_or("no revision".to_owned(), |revision| revision.0.clone());
        let why = if report.result == CycleResult::Unchanged { "" } else { report.trigger.as_str() };
        let why = if why.is_empty() || why == "none" { String::new() } else { format!(" ({why})") };
        self.line(&format!("report: {} at {revision}{why}", report.result.as_str()));
        for (name, service) in &report.services {
            let numbers = [
                (service.applied, "applied"),
                (service.deleted, "deleted"),
                (service.unchanged, "unchanged"),
                (service.failed, "failed"),
                (service.withheld, "withheld"),
            ];
            let numbers: Vec<String> =
                numbers.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
            let failures = if service.failures > 0 { format!(", failure {}", service.failures) } else { String::new() };
            let state = service.state.as_str();
            self.line(format!("  {name}: {state}{failures}; {}", numbers.join(", ")).trim_end_matches("; "));
            for object in &*service.objects {
                if object.outcome == Outcome::Unchanged && object.error.is_none() {
                    continue;
                }
                let error = object.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
                let (outcome, id, reason) = (object.outcome.as_str(), &object.object, &object.reason);
                self.line(&format!("    {outcome} {id} ({reason}){error}"));
            }
            let told: Vec<String> = service
                .objects
                .iter()
                .filter_map(|object| Some(format!("{}: {}", object.object, object.error.as_ref()?)))
                .collect();
            if let Some(error) = service.error.as_ref().filter(|error| !told.contains(error)) {
                self.line(&format!("    because {error}"));
            }
            for cause in &service.causes {
                self.line(&format!("    cause: {}: {}", cause.object, cause.reason));
            }
        }
        if let Some(held) = &report.held {
            self.line(&format!(
                "  held: {} deletions, {} are let through: plan {}",
                held.deletions, held.limit, held.id
            ));
        }
        for orphan in &report.orphans {
            self.line(&format!("  in no record: {orphan}"));
        }
        for error in &report.errors {
            self.line(&format!("  {}: {}", error.stage.as_str(), error.message));
        }
    }

    /// Tells what is in the cluster.
    pub fn cluster(&mut self, objects: &[Seen]) {
        let lines = objects.iter().map(|Seen { service, id, value }| {
            let uid = value.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
            format!("{service}: {id} {}{}", self.number(id, uid), essence(value))
        });
        let lines: Vec<String> = lines.collect();
        self.list("cluster", &lines);
    }

    /// Tells one object with its marks, and who owns fields of it.
    pub fn object(&mut self, id: &ObjectRef, found: Option<&Value>) {
        let Some(value) = found else { return self.line(&format!("{id}: there is none")) };
        let uid = value.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        let number = self.number(id, uid);
        let keys = |pointer: &str| {
            let map = value.pointer(pointer).and_then(Value::as_object);
            map.into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>().join(", ")
        };
        let entries = value.pointer("/metadata/managedFields").and_then(Value::as_array);
        let managers: Vec<String> = entries
            .into_iter()
            .flatten()
            .map(|entry| ["manager", "operation"].map(|key| entry[key].as_str().unwrap_or_default()).join(" "))
            .collect();
        let (labels, annotations) = (keys("/metadata/labels"), keys("/metadata/annotations"));
        let managers = managers.join(", ");
        let marks = format!("labels [{labels}], annotations [{annotations}], managers [{managers}]");
        self.line(&format!("{id}: {number}{}, {marks}", essence(value)));
    }

    /// Tells what is recorded.
    pub fn records(&mut self, state: &State) {
        let mut lines = Vec::new();
        if let Some(stored) = &state.root {
            let held = if stored.root.held.is_some() { ", deletions are held" } else { "" };
            let epoch = if stored.root.epoch > 1 { format!(", epoch {}", stored.root.epoch) } else { String::new() };
            lines.push(format!("at {}{epoch}{held}", stored.root.commit));
        }
        for (service, reading) in &state.services {
            let Reading::Stored(stored) = reading else {
                lines.push(format!("{service}: cannot be read"));
                continue;
            };
            let record = &stored.record;
            let settled = record.settled.as_ref().map(|settled| format!("settled at {}", settled.commit));
            let intent = record.intent.as_ref().map(|intent| format!("on its way to {}", intent.commit));
            let condition = record.condition.as_ref().map(|condition| condition.state.clone());
            let parts = match stored.parts.is_empty() {
                true => None,
                false => Some("in several ConfigMaps".to_owned()),
            };
            let words: Vec<String> = [settled, intent, condition, parts].into_iter().flatten().collect();
            lines.push(format!("{service}: {}", words.join(", ")));
            for (id, held) in &record.held {
                let uid = held.uid.as_ref().map_or("(not confirmed)".to_owned(), |uid| self.number(id, uid));
                let leftover = held.leftover.as_ref().map(|why| format!(", kept: {why}")).unwrap_or_default();
                lines.push(format!("  {id} {uid}{leftover}"));
            }
        }
        self.list("records", &lines);
    }

    /// Numbers the objects that had a name, one after the other.
    fn number(&mut self, id: &ObjectRef, uid: &str) -> String {
        let uids = self.uids.entry(id.clone()).or_default();
        let known = uids.iter().position(|known| known == uid);
        let number = known.unwrap_or_else(|| {
            uids.push(uid.to_owned());
            uids.len() - 1
        });
        format!("#{}", number + 1)
    }

    fn clean(&self, text: &str) -> String {
        let mut text = self.names.iter().fold(text.to_owned(), |text, (name, by)| text.replace(name, by));
        for (revision, letter) in &self.revisions {
            text = text.replace(revision.as_str(), letter).replace(&revision[..12], letter);
        }
        // The server prints the whole template there, in the words of its own source code.
        if let Some((before, _)) = text.split_once(TEMPLATE) {
            text = format!("{before}{TEMPLATE} (...)");
        }
        self.rules.iter().fold(text, |text, (rule, by)| rule.replace_all(&text, *by).into_owned())
    }
}

/// What is not the same twice, and what is told in its place.
const RULES: [(&str, &str); 8] = [
    ("[0-9a-f]{64}", "<hash>"),
    ("syncd approve [0-9a-f]{12}", "syncd approve <short>"),
    ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uid>"),
    ("-[0-9a-f]{7,10}-[0-9a-z]{5}", "-<pod>"),
    // The server prints what differs, in the words of its source code.
    ("(requests and volumeAttributesClassName for bound claims) @@.*$", "$1"),
    // The condition that a Job has failed can be there before its last pod is counted.
    ("failed after [0-9]+ failed pods", "failed after some failed pods"),
    ("[0-9]+ restarts", "some restarts"),
    // What a kubelet says of a container has its own words; the reason and the exit code are everyone's.
    ("(, container [a-z]+: [A-Za-z]+): .*?( \\(exit code.*)?$", "$1$2"),
];

const TEMPLATE: &str = "spec.template: Invalid value:";

/// Returns what an object is about, where that says something.
fn essence(value: &Value) -> String {
    let at = |pointer: &str| value.pointer(pointer).filter(|value| !value.is_null());
    let mut words: Vec<String> = Vec::new();
    for (key, value) in at("/data").and_then(Value::as_object).into_iter().flatten() {
        let secret = at("/stringData").is_some() || value_is_secret(at("/kind"));
        words.push(if secret { key.clone() } else { format!("{key}={}", value.as_str().unwrap_or_default()) });
    }
    let fields = [
        ("replicas", "/spec/replicas"),
        ("image", "/spec/template/spec/containers/0/image"),
        ("ready", "/status/readyReplicas"),
        ("host", "/spec/rules/0/host"),
        ("cpu", "/spec/metrics/0/resource/target/averageUtilization"),
        ("content", "/spec/content"),
        ("deleted", "/metadata/deletionTimestamp"),
    ];
    for (name, pointer) in fields {
        match at(pointer) {
            Some(_) if name == "deleted" => words.push("is being deleted".to_owned()),
            Some(Value::String(text)) => words.push(format!("{name}={text}")),
            Some(other) => words.push(format!("{name}={other}")),
            None => {}
        }
    }
    if words.is_empty() { String::new() } else { format!(" {}", words.join(" ")) }
}

fn value_is_secret(kind: Option<&Value>) -> bool {
    kind.is_some_and(|kind| kind == "Secret")
}
