//! Why an object is not going to be ready: what its pod, its events and its logs say, without secrets.
//!
//! A few bounded requests for each of the first failures of a service, all side by side. Invariant: nothing that a container or a server
//! said leaves this file unredacted, and a log only when the values of every Secret that its pod uses are known.

use std::collections::BTreeSet;
use std::slice;
use std::time::Duration;

use futures::future::join_all;
use manifest::{Hash, ObjectRef};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::service::Walk;
use super::waiting::Failure;
use super::{Next, Run, objects};
use crate::cluster::{Cluster, GroupKind, LogTail};
use crate::desired::Content;
use crate::readiness::pods::{self, Sign};
use crate::redact::Redactor;
use crate::report::Cause;

/// Failures of one service that are explained.
const CAUSES_MAX: usize = 3;
/// Longest time that explaining may take.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Longest time that a suspect is waited for: the watch that tells of pods may be behind the one that tells of their workload.
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Lines of a log.
const LINES: usize = 20;
/// Characters of a line of a log.
const LINE_CHARACTERS_MAX: usize = 500;
/// Events of a pod, and of a workload.
const EVENTS_MAX: usize = 5;
/// Secrets that are read for one pod.
const SECRETS_MAX: usize = 16;
/// Characters of the message of an Event; the API allows 1024 bytes.
const SAID_CHARACTERS_MAX: usize = 900;
const WERF: &str = "werf.io/";

impl<C: Cluster> Walk<'_, C> {
    /// Finds the causes of failures, says them as Events, and takes secrets out of the messages. Where time is over nothing is waited for.
    pub(super) async fn explain(&mut self, failed: &mut [Failure], time_is_over: bool) {
        let run = self.run;
        let mut redactor = run.secrets_of(self.name);
        let first = failed.iter().take(CAUSES_MAX);
        let patience = if time_is_over { Duration::ZERO } else { BEHIND_MAX };
        let explained = join_all(first.map(|failure| run.cause(failure, patience, redactor.clone())));
        let explained = run.context.unless_superseded(tokio::time::timeout(TIME_MAX, explained)).await;
        let causes = explained.and_then(Result::ok).unwrap_or_default();
        for (cause, known) in causes {
            self.causes.push(cause);
            redactor.extend(known);
        }
        for failure in failed.iter_mut() {
            failure.message = redactor.redact(&failure.message);
        }
        let said = join_all(self.causes.iter().map(|cause| run.say(self.name, cause)));
        let _ = run.context.unless_superseded(tokio::time::timeout(TIME_MAX, said)).await;
    }
}

impl<C: Cluster> Run<'_, C> {
    /// Returns what knows the values of a service's own Secrets.
    fn secrets_of(&self, service: &str) -> Redactor {
        let mut redactor = Redactor::default();
        if let Some(Content::Objects(objects)) = self.desired.services.get(service) {
            let secrets = objects.iter().filter(|(id, _)| id.group.is_empty() && id.kind == "Secret");
            secrets.for_each(|(_, object)| redactor.add_secret(&object.value()));
        }
        redactor
    }

    /// Finds the cause of one failure. Returns also what knows all secrets around it.
    async fn cause(&self, failure: &Failure, patience: Duration, mut redactor: Redactor) -> (Cause, Redactor) {
        let id = &failure.object;
        let (workload, suspect) = self.find_suspect(failure, Instant::now() + patience).await;
        let sign = failure.sign.as_ref();
        let mut cause = Cause {
            object: id.clone(),
            pod: suspect.clone(),
            container: sign.and_then(|sign| sign.container.clone()),
            reason: sign.map_or_else(|| "NotReady".to_owned(), |sign| sign.reason.clone()),
            message: String::new(),
            exit_code: sign.and_then(|sign| sign.exit_code),
            restarts: sign.map_or(0, |sign| sign.restarts),
            events: Vec::new(),
            log: Vec::new(),
            previous_log: Vec::new(),
            log_withheld: None,
        };
        let own = workload.as_ref().map(|workload| uid(workload).to_owned()).unwrap_or_default();
        let pod = match &suspect {
            Some(name) => self.pod(&id.namespace, name).await,
            None => None,
        };
        let about = [Some(own), pod.as_ref().map(|pod| uid(pod).to_owned())];
        let about: BTreeSet<String> = about.into_iter().flatten().filter(|uid| !uid.is_empty()).collect();
        let events = join_all(about.iter().map(|uid| self.events(&id.namespace, uid))).await;
        if let Some(pod) = &pod {
            let told = pods::describe(pod, cause.container.as_deref());
            cause.container = told.container.or(cause.container);
            cause.exit_code = cause.exit_code.or(told.exit_code);
            cause.restarts = cause.restarts.max(told.restarts);
            if sign.is_none() && !told.reason.is_empty() {
                cause.reason = told.reason;
            }
            match self.know_secrets(pod, &mut redactor).await {
                Ok(()) => self.read_logs(pod, workload.as_ref(), &mut cause, &redactor).await,
                Err(why) => cause.log_withheld = Some(why),
            }
        }
        cause.message = redactor.redact(&failure.message);
        cause.events = events.concat().iter().map(|event| redactor.redact(event)).collect();
        (cause, redactor)
    }

    /// Returns the object as it was last seen, and the pod that the failure is about, if one is seen until `deadline`.
    async fn find_suspect(&self, failure: &Failure, deadline: Instant) -> (Option<Value>, Option<String>) {
        let changed = self.watches.subscribe(slice::from_ref(&failure.object));
        let may_come = failure.sign.is_none() && pods::runs_pods(&GroupKind::of(&failure.object));
        loop {
            let found = self.suspect(failure);
            if found.1.is_some() || !may_come {
                return found;
            }
            match self.next_change(&changed, deadline).await {
                Next::Changed => {}
                Next::TimedOut | Next::Superseded => return found,
            }
        }
    }

    /// Returns the object as it was last seen, and the pod that the failure is about.
    fn suspect(&self, failure: &Failure) -> (Option<Value>, Option<String>) {
        let id = &failure.object;
        let kind = GroupKind::of(id);
        let workload = self.watches.value(id);
        if let Some(Sign { pod, .. }) = &failure.sign {
            return (workload, pod.clone());
        }
        if !pods::runs_pods(&kind) {
            return (workload, None);
        }
        let suspect = self.watches.look_around(id, |object, evidence| pods::suspect(&kind, object, evidence));
        (workload, suspect.flatten())
    }

    async fn pod(&self, namespace: &str, name: &str) -> Option<Value> {
        let id = ObjectRef { group: "".into(), kind: "Pod".into(), namespace: namespace.into(), name: name.into() };
        let _permit = self.requests.acquire().await;
        self.cluster.get(&id).await.ok().flatten()
    }

    /// Returns the last things said of an object, oldest first.
    async fn events(&self, namespace: &str, uid: &str) -> Vec<String> {
        let _permit = self.requests.acquire().await;
        let mut events = self.cluster.events_of(namespace, uid).await.unwrap_or_default();
        events.sort_by(|a, b| pods::last_time(a).cmp(pods::last_time(b)));
        let own = |event: &&Value| event.pointer("/source/component").is_none_or(|component| component != "syncd");
        let lines: Vec<String> = events.iter().filter(own).map(line_of).collect();
        lines[lines.len().saturating_sub(EVENTS_MAX)..].to_vec()
    }

    /// Learns the values of all Secrets that a pod uses.
    async fn know_secrets(&self, pod: &Value, redactor: &mut Redactor) -> Result<(), String> {
        let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        let names = pods::secrets(pod);
        if names.len() > SECRETS_MAX {
            return Err(format!("the pod uses {} Secrets; the log is shown for at most {SECRETS_MAX}", names.len()));
        }
        let read = names.iter().map(|name| async move {
            let id = ObjectRef {
                group: "".into(),
                kind: "Secret".into(),
                namespace: namespace.into(),
                name: name.as_str().into(),
            };
            let _permit = self.requests.acquire().await;
            (id.clone(), self.cluster.get(&id).await)
        });
        for (id, secret) in join_all(read).await {
            match secret {
                Ok(Some(secret)) => redactor.add_secret(&secret),
                Ok(None) => {}
                Err(_) => return Err(format!("{id} cannot be read, so its values could not be taken out")),
            }
        }
        Ok(())
    }

    /// Reads the ends of the logs of the container in question, as far as werf's annotations allow.
    async fn read_logs(&self, pod: &Value, workload: Option<&Value>, cause: &mut Cause, redactor: &Redactor) {
        let Some(container) = &cause.container else { return };
        let said = |name: &str| {
            let annotations = workload.and_then(|workload| workload.pointer("/metadata/annotations"));
            annotations.and_then(|all| all.get(format!("{WERF}{name}"))).and_then(Value::as_str).unwrap_or_default()
        };
        let names = |list: &str| list.split(',').any(|name| name.trim() == container);
        let only = said("show-logs-only-for-containers");
        if said("skip-logs") == "true" || names(said("skip-logs-for-containers")) || (!only.is_empty() && !names(only))
        {
            cause.log_withheld = Some("the object's annotations say so".to_owned());
            return;
        }
        let own = said(&format!("log-regex-for-{container}"));
        let pattern = regex::Regex::new(if own.is_empty() { said("log-regex") } else { own }).ok();
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let tail = LogTail {
            namespace: text("/metadata/namespace"),
            pod: text("/metadata/name"),
            container: container.clone(),
            previous: false,
            lines: LINES,
        };
        let previous = LogTail { previous: true, ..tail.clone() };
        let read = [tail, previous].map(|tail| async move {
            let _permit = self.requests.acquire().await;
            self.cluster.log(&tail).await.unwrap_or_default()
        });
        let logs = join_all(read).await;
        let lines = |log: &String| {
            let log = redactor.redact(log);
            let shown = log.lines().filter(|line| pattern.as_ref().is_none_or(|pattern| pattern.is_match(line)));
            let shown: Vec<String> = shown.map(|line| objects::cut(line, LINE_CHARACTERS_MAX)).collect();
            shown[shown.len().saturating_sub(LINES)..].to_vec()
        };
        cause.log = logs.first().map(lines).unwrap_or_default();
        cause.previous_log = logs.get(1).map(lines).unwrap_or_default();
    }

    /// Says a cause as an Event of the object. That it cannot be said changes nothing.
    async fn say(&self, service: &str, cause: &Cause) {
        let id = &cause.object;
        let Some(workload) = self.watches.value(id) else { return };
        let message = objects::cut(&format!("service {service}: {}", cause.message), SAID_CHARACTERS_MAX);
        let digest = Hash::of(format!("{}/{}/{message}", uid(&workload), self.plan_id).as_bytes()).to_string();
        let namespace = if id.namespace.is_empty() { "default" } else { &id.namespace };
        let name: String = id.name.chars().take(200).chain(['.']).chain(digest.chars().take(16)).collect();
        let now = self.context.now();
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {"apiVersion": workload["apiVersion"], "kind": id.kind, "name": id.name,
                "namespace": id.namespace, "uid": uid(&workload)},
            "reason": "SyncFailed", "message": message, "type": "Warning", "count": 1, "source": {"component": "syncd"},
            "firstTimestamp": now, "lastTimestamp": now, "reportingComponent": "syncd", "reportingInstance": "syncd",
        });
        let _permit = self.requests.acquire().await;
        if let Err(error) = self.cluster.say(event).await {
            tracing::debug!(object = %id, %error, "an event was not written");
        }
    }
}

fn uid(object: &Value) -> &str {
    object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}

fn line_of(event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let times = pods::times_said(event);
    let times = if times > 1 { format!(" (x{times})") } else { String::new() };
    objects::cut(&format!("{} {}{times}: {}", text("type"), text("reason"), text("message")), LINE_CHARACTERS_MAX)
}
