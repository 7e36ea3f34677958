//! One table a kind: what its controller shows, what that means.

use serde_json::json;

use super::*;

fn check(group: &str, kind: &str, cases: &[(Value, Readiness)]) {
    let kind = GroupKind { group: group.to_owned(), kind: kind.to_owned() };
    for (value, expected) in cases {
        assert_eq!(readiness(&kind, value), *expected, "{value}");
    }
}

fn waiting(message: &str) -> Readiness {
    Waiting(message.to_owned())
}

fn failed(message: &str) -> Readiness {
    Failed(message.to_owned())
}

/// An object whose controller has seen its generation.
#[expect(clippy::needless_pass_by_value, reason = "it is called with fresh values only")]
fn seen(spec: Value, mut status: Value) -> Value {
    status["observedGeneration"] = json!(3);
    json!({"metadata": {"generation": 3}, "spec": spec, "status": status})
}

#[test]
fn deployments() {
    let status = |total: i64, updated: i64, available: i64| json!({"replicas": total, "updatedReplicas": updated, "availableReplicas": available});
    let with = |mut status: Value, condition: Value| {
        status["conditions"] = json!([condition]);
        status
    };
    let exceeded =
        json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"});
    let refused =
        json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"});
    let three = || json!({"replicas": 3});
    let unseen = json!({"metadata": {"generation": 3}, "spec": {"replicas": 3}, "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}});
    let going = json!({"metadata": {"generation": 1, "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"observedGeneration": 1}});
    let cases = [
        (unseen, waiting("its controller has not seen the change yet")),
        (json!({"metadata": {"generation": 1}, "spec": {}}), waiting("its controller has not seen the change yet")),
        (seen(three(), status(3, 2, 3)), waiting("2 of 3 replicas updated")),
        (seen(three(), status(5, 3, 3)), waiting("2 old replicas to terminate")),
        (seen(three(), status(4, 3, 3)), waiting("1 old replica to terminate")),
        (seen(three(), status(3, 3, 1)), waiting("1 of 3 updated replicas available")),
        (seen(three(), status(3, 3, 3)), Ready),
        (seen(json!({}), status(0, 0, 0)), waiting("0 of 1 replicas updated")),
        (seen(json!({"replicas": 0}), json!({})), Ready),
        (seen(json!({"replicas": 0}), status(1, 0, 1)), waiting("1 old replica to terminate")),
        (
            seen(json!({"replicas": 3, "paused": true}), status(3, 1, 3)),
            waiting("1 of 3 replicas updated; it is paused"),
        ),
        (seen(json!({"replicas": 3, "paused": true}), status(3, 3, 3)), Ready),
        (
            seen(three(), with(status(3, 1, 3), exceeded.clone())),
            failed("progress deadline exceeded: 1 of 3 replicas updated: timed out"),
        ),
        (seen(three(), with(status(3, 3, 3), exceeded)), Ready),
        (seen(three(), with(status(0, 0, 0), refused)), waiting("0 of 3 replicas updated: exceeded quota")),
        (going, waiting("it is being deleted")),
    ];
    check("apps", "Deployment", &cases);
}

#[test]
fn stateful_sets() {
    let status = |updated: i64, ready: i64, same: bool| json!({"updatedReplicas": updated, "readyReplicas": ready, "updateRevision": "b", "currentRevision": if same { "b" } else { "a" }});
    let partition = |partition: i64| json!({"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}});
    let on_delete = || json!({"replicas": 3, "updateStrategy": {"type": "OnDelete"}});
    let cases = [
        (
            json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}),
            waiting("its controller has not seen the change yet"),
        ),
        (seen(json!({"replicas": 3}), status(1, 2, false)), waiting("2 of 3 replicas ready")),
        (seen(json!({"replicas": 3}), status(1, 3, false)), waiting("1 of 3 replicas updated")),
        (seen(json!({"replicas": 3}), status(3, 3, true)), Ready),
        (seen(json!({"replicas": 0}), status(0, 0, true)), Ready),
        (seen(partition(2), status(0, 3, false)), waiting("0 of 1 replicas updated (partition 2)")),
        (seen(partition(2), status(1, 3, false)), Ready),
        (seen(partition(5), status(0, 3, false)), Ready),
        (seen(on_delete(), status(0, 3, false)), Ready),
        (seen(on_delete(), status(0, 2, false)), waiting("2 of 3 replicas ready")),
    ];
    check("apps", "StatefulSet", &cases);
}

#[test]
fn daemon_sets() {
    let status = |wanted: i64, updated: i64, available: i64| json!({"desiredNumberScheduled": wanted, "updatedNumberScheduled": updated, "numberAvailable": available});
    let on_delete = || json!({"updateStrategy": {"type": "OnDelete"}});
    let cases = [
        (json!({"metadata": {"generation": 1}}), waiting("its controller has not seen the change yet")),
        (seen(json!({}), status(3, 1, 3)), waiting("1 of 3 pods updated")),
        (seen(json!({}), status(3, 3, 2)), waiting("2 of 3 pods available")),
        (seen(json!({}), status(3, 3, 3)), Ready),
        (seen(json!({}), status(0, 0, 0)), Ready),
        (seen(on_delete(), status(3, 1, 3)), Ready),
        (seen(on_delete(), status(3, 1, 2)), waiting("2 of 3 pods available")),
    ];
    check("apps", "DaemonSet", &cases);
}

#[test]
fn replica_sets() {
    let refused =
        json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "forbidden"}]);
    let cases = [
        (json!({"metadata": {"generation": 1}}), waiting("its controller has not seen the change yet")),
        (
            seen(json!({"replicas": 2}), json!({"replicas": 3, "availableReplicas": 3})),
            waiting("1 replica to terminate"),
        ),
        (
            seen(json!({"replicas": 2}), json!({"replicas": 2, "availableReplicas": 1})),
            waiting("1 of 2 replicas available"),
        ),
        (seen(json!({"replicas": 2}), json!({"conditions": refused})), waiting("0 of 2 replicas available: forbidden")),
        (seen(json!({"replicas": 2}), json!({"replicas": 2, "availableReplicas": 2})), Ready),
    ];
    check("apps", "ReplicaSet", &cases);
}

#[test]
fn jobs() {
    let condition = |kind: &str, status: &str| json!({"status": {"conditions": [{"type": kind, "status": status, "reason": "BackoffLimitExceeded"}]}});
    let cases = [
        (json!({}), waiting("0 of 1 pods succeeded, 0 active, 0 failed")),
        (
            json!({"spec": {"completions": 3}, "status": {"startTime": "now", "succeeded": 1, "active": 1, "failed": 2}}),
            waiting("1 of 3 pods succeeded, 1 active, 2 failed"),
        ),
        (json!({"spec": {"suspend": true}}), waiting("the job is suspended")),
        (condition("Complete", "True"), Ready),
        (condition("Complete", "False"), waiting("0 of 1 pods succeeded, 0 active, 0 failed")),
        (condition("Failed", "True"), failed("the job failed: BackoffLimitExceeded")),
    ];
    check("batch", "Job", &cases);
}

#[test]
fn pods() {
    let ready = |status: &str| json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status, "message": "containers with unready status: [app]"}]}});
    let cases = [
        (json!({}), waiting("the pod is not scheduled")),
        (json!({"status": {"phase": "Pending"}}), waiting("the pod is Pending")),
        (ready("False"), waiting("the pod is not ready: containers with unready status: [app]")),
        (ready("True"), Ready),
        (json!({"status": {"phase": "Succeeded"}}), Ready),
        (json!({"status": {"phase": "Failed", "message": "evicted"}}), failed("the pod failed: evicted")),
    ];
    check("", "Pod", &cases);
}

#[test]
fn namespaces_and_claims() {
    let cases = [
        (json!({}), waiting("the namespace has no phase yet")),
        (json!({"status": {"phase": "Active"}}), Ready),
        (json!({"status": {"phase": "Terminating"}}), waiting("the namespace is Terminating")),
    ];
    check("", "Namespace", &cases);
    let cases = [
        (json!({"status": {"phase": "Bound"}}), Ready),
        (json!({"status": {"phase": "Pending"}}), Ready),
        (json!({"spec": {"volumeName": "v"}, "status": {"phase": "Pending"}}), waiting("volume `v` is not bound")),
        (json!({"status": {"phase": "Lost"}}), failed("the claim lost its volume")),
    ];
    check("", "PersistentVolumeClaim", &cases);
}

#[test]
fn definitions_and_api_services() {
    let with = |kind: &str, status: &str| json!({"status": {"conditions": [{"type": kind, "status": status, "message": "because"}]}});
    let cases = [
        (json!({}), waiting("it is not established")),
        (with("Established", "False"), waiting("it is not established: because")),
        (with("Established", "True"), Ready),
        (with("NamesAccepted", "False"), failed("its names are not accepted: because")),
    ];
    check("apiextensions.k8s.io", "CustomResourceDefinition", &cases);
    let cases = [
        (json!({}), waiting("it is not available")),
        (with("Available", "False"), waiting("it is not available: because")),
        (with("Available", "True"), Ready),
    ];
    check("apiregistration.k8s.io", "APIService", &cases);
}

#[test]
fn everything_else_is_ready_at_once() {
    check("", "ConfigMap", &[(json!({}), Ready)]);
    check("example.org", "Deployment", &[(json!({"metadata": {"generation": 2}}), Ready)]);
    let kind = |group: &str, kind: &str| GroupKind { group: group.to_owned(), kind: kind.to_owned() };
    assert!(!has_readiness(&kind("", "ConfigMap")));
    assert!(has_readiness(&kind("apps", "Deployment")));
}
