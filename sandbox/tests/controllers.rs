//! Workloads in virtual time: they become ready, roll over, stall, crash and fail as they should, and say so.

use std::time::Duration;

use sandbox::{Answer, Cluster, Request, Rule, Settings};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3_600);

fn cluster() -> Cluster {
    let cluster = Cluster::new(Settings { namespaces: vec!["team".into()], ..Settings::default() });
    cluster.settle(Duration::from_secs(1));
    cluster
}

fn workload(kind: &str, name: &str, behaviour: &str, spec: &Value) -> Value {
    let mut body = json!({"apiVersion": if kind == "Job" { "batch/v1" } else { "apps/v1" }, "kind": kind, "metadata": {"name": name},
        "spec": {"template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "i:1"}]}}}});
    if kind == "Job" {
        body["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    } else {
        body["spec"]["selector"]["matchLabels"]["app"] = name.into();
    }
    if !behaviour.is_empty() {
        body["spec"]["template"]["metadata"]["annotations"][sandbox::ANNOTATION] = behaviour.into();
    }
    for (name, value) in spec.as_object().into_iter().flatten() {
        body["spec"][name] = value.clone();
    }
    body
}

fn apply(cluster: &Cluster, body: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&body["apiVersion"]), text(&body["kind"]));
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let path = cluster.path(group, &kind, "team", &text(&body["metadata"]["name"])).expect("a known kind");
    let answer = cluster.handle(&Request::apply(&path, "test", body.clone()).query("force", "true"));
    assert!(answer.is_success(), "{}", answer.body);
}

fn get(cluster: &Cluster, group: &str, kind: &str, name: &str) -> Value {
    cluster.object(group, kind, "team", name).unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn condition(object: &Value, of: &str) -> (String, String) {
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|condition| condition["type"] == of).cloned().unwrap_or(Value::Null);
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

fn pods(cluster: &Cluster) -> Vec<Value> {
    cluster.objects("", "Pod", "team")
}

fn reasons(cluster: &Cluster) -> Vec<String> {
    let events = cluster.objects("", "Event", "team");
    events.iter().filter_map(|event| event["reason"].as_str().map(str::to_owned)).collect()
}

#[test]
fn nothing_moves_until_time_does() {
    let cluster = cluster();
    apply(&cluster, &workload("Deployment", "web", "", &json!({"replicas": 2})));
    assert!(pods(&cluster).is_empty());
    cluster.set_faults(|faults| faults.freeze_controllers = true);
    cluster.advance(HOUR);
    assert!(pods(&cluster).is_empty());
    cluster.set_faults(|faults| faults.freeze_controllers = false);
    cluster.settle(HOUR);
    assert_eq!(get(&cluster, "apps", "Deployment", "web")["status"]["availableReplicas"], 2);
}

#[test]
fn a_rollout_keeps_to_its_bounds_and_ends_with_one_set() {
    let cluster = cluster();
    let spec = json!({"replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}});
    apply(&cluster, &workload("Deployment", "web", "", &spec));
    cluster.settle(HOUR);
    let mut changed = workload("Deployment", "web", "", &spec);
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2".into();
    apply(&cluster, &changed);
    for _ in 0..5_000 {
        let all = pods(&cluster);
        let lives = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let ready = |pod: &Value| condition(pod, "Ready").0 == "True";
        assert!(all.iter().filter(lives).count() <= 5, "surge");
        assert!(all.iter().filter(lives).filter(|pod| ready(pod)).count() >= 3, "availability");
        match cluster.next_due() {
            Some(due) => cluster.advance(Duration::try_from(due.duration_since(cluster.now())).unwrap_or_default()),
            None => break,
        }
        if cluster.objects("apps", "Deployment", "team")[0]["status"]["updatedReplicas"] == 4
            && condition(&cluster.objects("apps", "Deployment", "team")[0], "Progressing").1 == "NewReplicaSetAvailable"
        {
            break;
        }
    }
    let deployment = get(&cluster, "apps", "Deployment", "web");
    assert_eq!(condition(&deployment, "Progressing").1, "NewReplicaSetAvailable");
    assert_eq!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    cluster.advance(Duration::from_secs(5));
    let sets = cluster.objects("apps", "ReplicaSet", "team");
    let mut replicas: Vec<i64> = sets.iter().filter_map(|set| set["spec"]["replicas"].as_i64()).collect();
    replicas.sort_unstable();
    assert_eq!(replicas, [0, 4]);
    assert!(pods(&cluster).iter().all(|pod| pod["spec"]["containers"][0]["image"] == "i:2"));
}

#[test]
fn a_rollback_uses_the_old_set_again() {
    let cluster = cluster();
    let first = workload("Deployment", "web", "", &json!({}));
    let second = workload("Deployment", "web", "slow=1s", &json!({}));
    for body in [&first, &second, &first] {
        apply(&cluster, body);
        cluster.advance(Duration::from_secs(30));
    }
    assert_eq!(cluster.objects("apps", "ReplicaSet", "team").len(), 2);
    let deployment = get(&cluster, "apps", "Deployment", "web");
    assert_eq!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    assert_eq!(condition(&deployment, "Available").0, "True");
}

#[test]
fn a_deployment_that_does_not_get_ready_exceeds_its_deadline() {
    let cluster = cluster();
    let spec = json!({"progressDeadlineSeconds": 60});
    for behaviour in ["never-ready", "crash-loop", "image-pull-error", "config-error", "unschedulable", "out-of-memory"]
    {
        apply(&cluster, &workload("Deployment", behaviour, behaviour, &spec));
    }
    cluster.advance(Duration::from_secs(55));
    for object in cluster.objects("apps", "Deployment", "team") {
        assert_eq!(condition(&object, "Progressing").0, "True", "{}", object["metadata"]["name"]);
    }
    cluster.advance(Duration::from_secs(10));
    for object in cluster.objects("apps", "Deployment", "team") {
        let progress = condition(&object, "Progressing");
        assert_eq!(progress, ("False".into(), "ProgressDeadlineExceeded".into()), "{}", object["metadata"]["name"]);
        assert_eq!(condition(&object, "Available").0, "False");
    }
}

#[test]
fn pods_say_what_holds_them() {
    let cases = [
        ("crash-loop", "CrashLoopBackOff", "BackOff"),
        ("out-of-memory", "CrashLoopBackOff", "BackOff"),
        ("image-pull-error", "ImagePullBackOff", "Failed"),
        ("invalid-image-name", "InvalidImageName", "InspectFailed"),
        ("config-error", "CreateContainerConfigError", "Failed"),
    ];
    for (behaviour, waiting, event) in cases {
        let cluster = cluster();
        apply(&cluster, &workload("Deployment", "web", behaviour, &json!({})));
        cluster.advance(Duration::from_secs(20));
        let pod = pods(&cluster).remove(0);
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!(status["state"]["waiting"]["reason"], waiting, "{behaviour}");
        assert!(reasons(&cluster).iter().any(|reason| reason == event), "{behaviour}: {:?}", reasons(&cluster));
        if behaviour == "out-of-memory" {
            assert_eq!(status["lastState"]["terminated"]["reason"], "OOMKilled");
            assert_eq!(status["lastState"]["terminated"]["exitCode"], 137);
        }
    }
}

#[test]
fn a_flaky_pod_recovers_and_keeps_its_count() {
    let cluster = cluster();
    apply(&cluster, &workload("Deployment", "web", "flaky=2", &json!({})));
    cluster.advance(Duration::from_secs(5));
    assert_eq!(condition(&get(&cluster, "apps", "Deployment", "web"), "Available").0, "False");
    cluster.advance(Duration::from_secs(60));
    assert_eq!(condition(&get(&cluster, "apps", "Deployment", "web"), "Available").0, "True");
    assert_eq!(pods(&cluster)[0]["status"]["containerStatuses"][0]["restartCount"], 2);
}

#[test]
fn a_pod_waits_for_what_it_needs() {
    let cluster = cluster();
    let mut body = workload("Deployment", "web", "", &json!({}));
    body["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    apply(&cluster, &body);
    cluster.advance(Duration::from_secs(10));
    let waiting = pods(&cluster)[0]["status"]["containerStatuses"][0]["state"]["waiting"].clone();
    assert_eq!(waiting, json!({"reason": "CreateContainerConfigError", "message": "configmap \"settings\" not found"}));
    apply(&cluster, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}));
    cluster.advance(Duration::from_secs(10));
    assert_eq!(condition(&get(&cluster, "apps", "Deployment", "web"), "Available").0, "True");
}

#[test]
fn a_pod_is_put_on_a_node_with_the_labels_it_asks_for() {
    let cluster = cluster();
    let selecting = |name: &str, value: &str| {
        let mut body = workload("Deployment", name, "", &json!({}));
        body["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": value});
        body
    };
    apply(&cluster, &selecting("there", "node-2"));
    apply(&cluster, &selecting("nowhere", "node-9"));
    cluster.advance(Duration::from_secs(5));
    let pods = pods(&cluster);
    let of = |name: &str| pods.iter().find(|pod| pod["metadata"]["labels"]["app"] == name).expect("a pod");
    assert_eq!(of("there")["spec"]["nodeName"], "node-2");
    let message = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.";
    let conditions = of("nowhere")["status"]["conditions"].as_array().expect("a list");
    let scheduled = conditions.iter().find(|condition| condition["type"] == "PodScheduled").expect("there");
    assert_eq!((&scheduled["reason"], &scheduled["message"]), (&json!("Unschedulable"), &json!(message)));
}

#[test]
fn denied_pods_fail_the_replica_set_and_the_deployment_says_so() {
    let cluster = cluster();
    let answer = Answer::QuotaExceeded { message: "exceeded quota: small".into() };
    cluster.set_faults(|faults| faults.rules.push(Rule::new(&["create"], &["pods"], answer)));
    apply(&cluster, &workload("Deployment", "web", "", &json!({})));
    cluster.advance(Duration::from_secs(2));
    let deployment = get(&cluster, "apps", "Deployment", "web");
    assert_eq!(condition(&deployment, "ReplicaFailure"), ("True".into(), "FailedCreate".into()));
    let told = deployment["status"]["conditions"].to_string();
    assert!(told.contains("pods \\\"web-"), "the name that the pod would have had is told: {told}");
    assert!(reasons(&cluster).iter().any(|reason| reason == "FailedCreate"));
    cluster.advance(Duration::from_secs(20));
    assert_eq!(
        get(&cluster, "apps", "Deployment", "web"),
        deployment,
        "further tries that are denied tell nothing new"
    );
    cluster.set_faults(|faults| faults.rules.clear());
    cluster.advance(Duration::from_secs(10));
    let deployment = get(&cluster, "apps", "Deployment", "web");
    assert_eq!(condition(&deployment, "ReplicaFailure").0, "");
    assert_eq!(condition(&deployment, "Available").0, "True");
}

#[test]
fn a_stateful_set_goes_in_order_up_over_and_down() {
    let cluster = cluster();
    let claims = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]);
    let spec = json!({"replicas": 3, "serviceName": "db", "volumeClaimTemplates": claims});
    apply(&cluster, &workload("StatefulSet", "db", "", &spec));
    cluster.advance(Duration::from_millis(700));
    assert_eq!(pods(&cluster).len(), 2, "the second is made once the first is ready");
    cluster.settle(HOUR);
    let names: Vec<Value> = pods(&cluster).iter().map(|pod| pod["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["db-0", "db-1", "db-2"]);
    assert_eq!(cluster.objects("", "PersistentVolumeClaim", "team").len(), 3);
    let first = get(&cluster, "apps", "StatefulSet", "db");
    assert_eq!(first["status"]["currentRevision"], first["status"]["updateRevision"]);

    let mut changed = workload("StatefulSet", "db", "", &spec);
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2".into();
    changed["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
    apply(&cluster, &changed);
    cluster.settle(HOUR);
    let image = |name: &str| get(&cluster, "", "Pod", name)["spec"]["containers"][0]["image"].clone();
    assert_eq!([image("db-0"), image("db-1"), image("db-2")], ["i:1", "i:1", "i:2"]);
    let held = get(&cluster, "apps", "StatefulSet", "db");
    assert_ne!(held["status"]["currentRevision"], held["status"]["updateRevision"]);
    assert_eq!(held["status"]["updatedReplicas"], 1);

    changed["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0.into();
    changed["spec"]["replicas"] = 2.into();
    apply(&cluster, &changed);
    cluster.settle(HOUR);
    let done = get(&cluster, "apps", "StatefulSet", "db");
    assert_eq!(done["status"]["currentRevision"], done["status"]["updateRevision"]);
    assert_eq!(pods(&cluster).len(), 2);
    assert!(pods(&cluster).iter().all(|pod| pod["spec"]["containers"][0]["image"] == "i:2"));
}

#[test]
fn a_stateful_set_that_comes_again_at_once_outlives_the_pods_of_the_one_before() {
    let cluster = cluster();
    let spec = json!({"replicas": 1, "serviceName": "db"});
    apply(&cluster, &workload("StatefulSet", "db", "", &spec));
    cluster.settle(HOUR);
    let before = get(&cluster, "apps", "StatefulSet", "db");
    cluster.handle(&Request::delete("/apis/apps/v1/namespaces/team/statefulsets/db"));
    apply(&cluster, &workload("StatefulSet", "db", "", &spec));
    cluster.settle(HOUR);
    let after = get(&cluster, "apps", "StatefulSet", "db");
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_eq!(after["status"]["readyReplicas"], 1);
    assert_eq!(pods(&cluster)[0]["metadata"]["ownerReferences"][0]["uid"], after["metadata"]["uid"]);
}

#[test]
fn a_stateful_set_on_delete_waits_for_the_deletes() {
    let cluster = cluster();
    let spec = json!({"replicas": 1, "serviceName": "db", "updateStrategy": {"type": "OnDelete"}});
    apply(&cluster, &workload("StatefulSet", "db", "", &spec));
    cluster.settle(HOUR);
    let mut changed = workload("StatefulSet", "db", "", &spec);
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2".into();
    apply(&cluster, &changed);
    cluster.settle(HOUR);
    assert_eq!(pods(&cluster)[0]["spec"]["containers"][0]["image"], "i:1");
    cluster.handle(&Request::delete("/api/v1/namespaces/team/pods/db-0"));
    cluster.settle(HOUR);
    assert_eq!(pods(&cluster)[0]["spec"]["containers"][0]["image"], "i:2");
}

#[test]
fn a_daemon_set_has_one_pod_a_node_and_rolls_one_by_one() {
    let cluster = cluster();
    apply(&cluster, &workload("DaemonSet", "agent", "", &json!({})));
    cluster.settle(HOUR);
    let mut nodes: Vec<String> =
        pods(&cluster).iter().filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned)).collect();
    nodes.sort();
    assert_eq!(nodes, ["node-1", "node-2", "node-3"]);
    let mut changed = workload("DaemonSet", "agent", "", &json!({}));
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2".into();
    apply(&cluster, &changed);
    cluster.settle(HOUR);
    let status = get(&cluster, "apps", "DaemonSet", "agent")["status"].clone();
    assert_eq!([&status["updatedNumberScheduled"], &status["numberAvailable"]], [3, 3]);
}

#[test]
fn jobs_complete_fail_and_go_when_their_time_is_over() {
    let cluster = cluster();
    apply(&cluster, &workload("Job", "good", "", &json!({"completions": 3, "parallelism": 2})));
    apply(&cluster, &workload("Job", "bad", "fail", &json!({"backoffLimit": 1})));
    apply(&cluster, &workload("Job", "brief", "", &json!({"ttlSecondsAfterFinished": 30})));
    apply(&cluster, &workload("Job", "late", "slow=10m", &json!({"activeDeadlineSeconds": 20})));
    cluster.advance(Duration::from_secs(25));
    let good = get(&cluster, "batch", "Job", "good");
    assert_eq!(condition(&good, "Complete").0, "True");
    assert_eq!([&good["status"]["succeeded"], &good["status"]["failed"]], [&json!(3), &Value::Null]);
    assert!(good["status"]["completionTime"].is_string());
    let bad = get(&cluster, "batch", "Job", "bad");
    assert_eq!(condition(&bad, "Failed"), ("True".into(), "BackoffLimitExceeded".into()));
    assert_eq!(bad["status"]["failed"], 2);
    assert_eq!(condition(&get(&cluster, "batch", "Job", "late"), "Failed").1, "DeadlineExceeded");
    assert!(cluster.object("batch", "Job", "team", "brief").is_some());
    cluster.advance(Duration::from_secs(30));
    assert!(cluster.object("batch", "Job", "team", "brief").is_none());
}

#[test]
fn an_autoscaler_owns_the_replicas_of_its_target() {
    let cluster = cluster();
    let mut body = workload("Deployment", "web", "", &json!({}));
    apply(&cluster, &body);
    let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"minReplicas": 2, "maxReplicas": 4, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    apply(&cluster, &autoscaler);
    cluster.advance(Duration::from_secs(10));
    let deployment = get(&cluster, "apps", "Deployment", "web");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let scaler = deployment["metadata"]["managedFields"].as_array().into_iter().flatten();
    assert!(scaler.into_iter().any(|entry| entry["subresource"] == "scale"));
    body["metadata"]["labels"]["changed"] = "yes".into();
    apply(&cluster, &body);
    assert_eq!(
        get(&cluster, "apps", "Deployment", "web")["spec"]["replicas"],
        2,
        "an apply without replicas leaves them"
    );
    let path = "/apis/autoscaling/v2/namespaces/team/horizontalpodautoscalers/web";
    let asked = json!({"metadata": {"annotations": {"sandbox/desired-replicas": "9"}}});
    cluster.handle(&Request::merge_patch(path, asked));
    cluster.advance(Duration::from_secs(10));
    assert_eq!(get(&cluster, "apps", "Deployment", "web")["spec"]["replicas"], 4, "within its bounds");
}

#[test]
fn services_and_claims_get_what_they_ask_for() {
    let cluster = cluster();
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lb"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    apply(&cluster, &service);
    let created = get(&cluster, "", "Service", "lb");
    assert!(created["spec"]["clusterIP"].as_str().is_some_and(|ip| ip.starts_with("10.96.")));
    assert!(created["spec"]["ports"][0]["nodePort"].is_i64());
    cluster.settle(HOUR);
    assert!(get(&cluster, "", "Service", "lb")["status"]["loadBalancer"]["ingress"][0]["ip"].is_string());
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "late"},
        "provisioner": "example.com/p", "volumeBindingMode": "WaitForFirstConsumer"});
    cluster.handle(&Request::create("/apis/storage.k8s.io/v1/storageclasses", class));
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "late", "resources": {"requests": {"storage": "1Gi"}}}});
    apply(&cluster, &claim);
    cluster.advance(Duration::from_secs(30));
    assert_eq!(get(&cluster, "", "PersistentVolumeClaim", "c")["status"]["phase"], "Pending");
}

#[test]
fn the_same_calls_give_the_same_cluster_and_another_seed_other_names() {
    let run = |seed: u64| {
        let cluster = Cluster::new(Settings { seed, namespaces: vec!["team".into()], ..Settings::default() });
        apply(&cluster, &workload("Deployment", "web", "flaky=1", &json!({"replicas": 3})));
        apply(&cluster, &workload("StatefulSet", "db", "", &json!({"replicas": 2, "serviceName": "db"})));
        cluster.advance(Duration::from_secs(120));
        let all = ["Pod", "Event"].map(|kind| cluster.objects("", kind, "team"));
        (json!(all).to_string(), cluster.version())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn events_do_not_pile_up() {
    let cluster = cluster();
    apply(&cluster, &workload("Deployment", "web", "crash-loop", &json!({})));
    cluster.advance(Duration::from_secs(6 * 3_600));
    let events = cluster.objects("", "Event", "team");
    assert!(events.len() < 10, "{}", events.len());
    let repeated = events.iter().find(|event| event["reason"] == "BackOff").expect("still crashing");
    assert!(repeated["count"].as_i64().is_some_and(|count| count > 20));
}

#[test]
fn logs_are_told_once_a_container_has_run() {
    let cluster = cluster();
    let mut body = workload("Deployment", "web", "", &json!({}));
    body["spec"]["template"]["metadata"]["annotations"]["sandbox/logs"] = "one\ntwo\nthree\n".into();
    apply(&cluster, &body);
    cluster.advance(Duration::from_millis(100));
    let name = pods(&cluster)[0]["metadata"]["name"].as_str().expect("named").to_owned();
    let log = Request::get(&format!("/api/v1/namespaces/team/pods/{name}/log")).query("tailLines", "2");
    assert_eq!(cluster.handle(&log).code, 400, "waiting to start");
    cluster.settle(HOUR);
    let answer = cluster.handle(&log);
    assert_eq!((answer.code, answer.body), (200, Value::from("two\nthree\n")));
}
