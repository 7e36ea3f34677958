//! Jobs: pods that run until enough have succeeded or too many failed.
//!
//! Source of the rules: the Kubernetes documentation of Job; indexed completion and failure policies are not modelled. Invariant: a job that
//! is complete or failed makes no more pods.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::pod::{is_active, is_ready};
use super::replica_set::pod_of;
use super::{MANAGER, condition, count, put_condition};
use crate::cluster::State;
use crate::remove::{Options, Policy};
use crate::store::ObjectKey;
use crate::write::Part;

const COMPONENT: &str = "job-controller";
const RETRY: Duration = Duration::from_secs(5);

impl State {
    pub(super) fn reconcile_job(&mut self, key: &ObjectKey, job: &Arc<Value>) {
        if !job["metadata"]["deletionTimestamp"].is_null() {
            return;
        }
        let is = |of: &str| condition(job, of).is_some_and(|condition| condition["status"] == "True");
        if is("Complete") || is("Failed") {
            self.end_job(key, job);
            return;
        }
        let pods = self.controlled(job, "", "Pod");
        let phase =
            |name: &str| pods.iter().filter(|(_, pod)| pod["status"]["phase"].as_str() == Some(name)).count() as i64;
        let (succeeded, failed) = (phase("Succeeded"), phase("Failed"));
        let active: Vec<&(ObjectKey, Arc<Value>)> = pods.iter().filter(|(_, pod)| is_active(pod)).collect();
        let ready = active.iter().filter(|(_, pod)| is_ready(pod)).count();
        let restarts: i64 =
            active.iter().map(|(_, pod)| count(&pod["status"]["containerStatuses"][0]["restartCount"])).sum();
        let completions = job["spec"]["completions"].as_i64();
        let is_suspended = job["spec"]["suspend"] == Value::Bool(true);
        let verdict = self.judge_job(job, succeeded, failed + restarts, completions);
        let keys: Vec<ObjectKey> = active.iter().map(|(key, _)| key.clone()).collect();
        if verdict.is_some() || is_suspended {
            for pod in &keys {
                self.delete_pod(pod);
            }
        } else {
            let left = completions.map_or(i64::MAX, |completions| completions - succeeded);
            let wanted = count(&job["spec"]["parallelism"]).min(left);
            let have = i64::try_from(keys.len()).unwrap_or(i64::MAX);
            for _ in have..wanted {
                if !self.make_job_pod(key, job) {
                    break;
                }
            }
        }
        let now_active = self.controlled(job, "", "Pod").iter().filter(|(_, pod)| is_active(pod)).count();
        self.report_job(key, job, &verdict, [now_active as i64, ready as i64, succeeded, failed], is_suspended);
    }

    /// Says how a job ended: whether well, the reason and the message; `None` while it runs.
    fn judge_job(
        &mut self,
        job: &Value,
        succeeded: i64,
        failures: i64,
        completions: Option<i64>,
    ) -> Option<(bool, &'static str, &'static str)> {
        if succeeded >= completions.unwrap_or(1) {
            return Some((true, "CompletionsReached", "Reached expected number of succeeded pods"));
        }
        if failures > count(&job["spec"]["backoffLimit"]) {
            return Some((false, "BackoffLimitExceeded", "Job has reached the specified backoff limit"));
        }
        let start = job["status"]["startTime"].as_str().and_then(|start| start.parse::<Timestamp>().ok());
        if let (Some(start), Some(seconds)) = (start, job["spec"]["activeDeadlineSeconds"].as_i64()) {
            let due = start.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
            if self.now >= due {
                return Some((false, "DeadlineExceeded", "Job was active longer than specified deadline"));
            }
            let key = self.key_of_job(job)?;
            self.again(&key, due);
        }
        None
    }

    fn key_of_job(&self, job: &Value) -> Option<ObjectKey> {
        let text = |name: &str| job["metadata"][name].as_str().unwrap_or_default();
        self.key("batch", "Job", text("namespace"), text("name"))
    }

    fn make_job_pod(&mut self, key: &ObjectKey, job: &Arc<Value>) -> bool {
        let pod = pod_of(job, &job["spec"]["template"], &json!({"generateName": format!("{}-", key.name)}));
        match self.make_or_denied("", "Pod", pod) {
            Ok(pod) => {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                self.tell(job, COMPONENT, "Normal", "SuccessfulCreate", &format!("Created pod: {name}"));
                true
            }
            Err(error) => {
                self.tell(job, COMPONENT, "Warning", "FailedCreate", &format!("Error creating: {error}"));
                let at = self.after(RETRY);
                self.again(key, at);
                false
            }
        }
    }

    fn report_job(
        &mut self,
        key: &ObjectKey,
        job: &Arc<Value>,
        verdict: &Option<(bool, &'static str, &'static str)>,
        counts: [i64; 4],
        is_suspended: bool,
    ) {
        let now = self.now_text();
        let [active, ready, succeeded, failed] = counts;
        self.edit(key, MANAGER, Part::Status, |job| {
            let status = &mut job["status"];
            status["active"] = active.into();
            status["ready"] = ready.into();
            status["succeeded"] = succeeded.into();
            status["failed"] = failed.into();
            status["terminating"] = 0.into();
            status["uncountedTerminatedPods"] = json!({});
            if status["startTime"].is_null() && !is_suspended {
                status["startTime"] = now.as_str().into();
            }
            if is_suspended {
                put(status, "Suspended", "JobSuspended", "Job suspended", &now);
            }
            match verdict {
                Some((true, reason, message)) => {
                    put(status, "SuccessCriteriaMet", reason, message, &now);
                    put(status, "Complete", reason, message, &now);
                    status["completionTime"] = now.as_str().into();
                }
                Some((false, reason, message)) => {
                    put(status, "FailureTarget", reason, message, &now);
                    put(status, "Failed", reason, message, &now);
                }
                None => {}
            }
        });
        match verdict {
            Some((true, _, _)) => self.tell(job, COMPONENT, "Normal", "Completed", "Job completed"),
            Some((false, reason, message)) => self.tell(job, COMPONENT, "Warning", reason, message),
            None => {}
        }
    }

    /// Removes a job whose time after its end is over.
    fn end_job(&mut self, key: &ObjectKey, job: &Arc<Value>) {
        let Some(seconds) = job["spec"]["ttlSecondsAfterFinished"].as_i64() else { return };
        let ended = ["Complete", "Failed"]
            .iter()
            .find_map(|of| condition(job, of)?["lastTransitionTime"].as_str()?.parse::<Timestamp>().ok());
        let Some(ended) = ended else { return };
        let due = ended.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        if self.now < due {
            self.again(key, due);
            return;
        }
        let options = Options { policy: Some(Policy::Background), ..Options::default() };
        if let Some(kind) = self.kinds.stored(key.resource).cloned()
            && let Err(error) = self.remove_object(&kind, key, &options, false)
        {
            tracing::debug!(%error, name = key.name, "finished job stays");
        }
    }
}

/// Puts a condition that holds, once.
fn put(status: &mut Value, of: &str, reason: &str, message: &str, now: &str) {
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if conditions.iter().any(|condition| condition["type"] == of) {
        return;
    }
    let condition = json!({"type": of, "status": "True", "reason": reason, "message": message, "lastProbeTime": now, "lastTransitionTime": now});
    put_condition(status, condition);
}
