//! The columns that `kubectl get` prints, per kind.
//!
//! The names are those of the real server; kinds that are not listed have NAME and AGE. Pure. Invariant: an object has as many cells as its
//! kind has columns.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::read::printer_columns;

/// A column: its name, its type, whether only `-o wide` shows it, and its cell.
struct Column {
    name: &'static str,
    of: &'static str,
    wide: bool,
    cell: fn(&Value, Timestamp) -> Value,
}

const fn column(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, of: "string", wide: false, cell }
}

const fn integer(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, of: "integer", wide: false, cell }
}

const fn boolean(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, of: "boolean", wide: false, cell }
}

const fn wide(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, of: "string", wide: true, cell }
}

/// Returns the definitions of a kind's columns.
pub(super) fn definitions(kind: &Kind) -> Vec<Value> {
    let definition = |name: &str, of: &str, format: &str, priority: i64| json!({"name": name, "type": of, "format": format, "description": "", "priority": priority});
    let custom = printer_columns(kind);
    if kind.custom.is_some() {
        let mut definitions = vec![definition("Name", "string", "name", 0)];
        for column in &custom {
            let text = |name: &str| column[name].as_str().unwrap_or_default().to_owned();
            let priority = column["priority"].as_i64().unwrap_or_default();
            definitions.push(definition(&text("name"), &text("type"), &text("format"), priority));
        }
        if custom.is_empty() {
            definitions.push(definition("Age", "date", "", 0));
        }
        return definitions;
    }
    columns(kind)
        .iter()
        .map(|column| {
            let format = if column.name == "Name" { "name" } else { "" };
            definition(column.name, column.of, format, i64::from(column.wide))
        })
        .collect()
}

/// Whether the kind has no columns of its own; the real server then shows an empty table without rows.
pub(super) fn is_plain(kind: &Kind) -> bool {
    kind.custom.is_none() && columns(kind).last().is_some_and(|column| column.name == "Created At")
}

/// Returns the cells of an object.
pub(super) fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    if kind.custom.is_none() {
        return columns(kind).iter().map(|column| (column.cell)(object, now)).collect();
    }
    let custom = printer_columns(kind);
    let mut cells = vec![object["metadata"]["name"].clone()];
    for column in &custom {
        let path = column["jsonPath"].as_str().unwrap_or_default();
        let found = path.trim_start_matches('.').split('.').fold(object, |value, part| &value[part]);
        let is_date = column["type"].as_str() == Some("date");
        cells.push(match (is_date, found.as_str()) {
            (true, Some(time)) => since(time, now).into(),
            _ => found.clone(),
        });
    }
    if custom.is_empty() {
        cells.push(age(object, now));
    }
    cells
}

const NAME: Column = column("Name", |object, _| object["metadata"]["name"].clone());
const AGE: Column = column("Age", age);
const CREATED: Column = Column {
    name: "Created At",
    of: "date",
    wide: false,
    cell: |object, _| object["metadata"]["creationTimestamp"].clone(),
};

#[rustfmt::skip]
fn columns(kind: &Kind) -> Vec<Column> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => vec![NAME, column("Ready", pod_ready), column("Status", pod_status), column("Restarts", pod_restarts), AGE,
            wide("IP", |o, _| or_none(&o["status"]["podIP"])), wide("Node", |o, _| or_none(&o["spec"]["nodeName"])),
            wide("Nominated Node", |o, _| or_none(&o["status"]["nominatedNodeName"])), wide("Readiness Gates", |_, _| "<none>".into())],
        ("apps", "Deployment") => vec![NAME, column("Ready", |o, _| ratio(&o["status"]["readyReplicas"], &o["spec"]["replicas"])),
            column("Up-to-date", |o, _| number(&o["status"]["updatedReplicas"])),
            column("Available", |o, _| number(&o["status"]["availableReplicas"])), AGE,
            wide("Containers", containers), wide("Images", images), wide("Selector", selector)],
        ("apps", "ReplicaSet") | ("", "ReplicationController") => vec![NAME, integer("Desired", |o, _| number(&o["spec"]["replicas"])),
            integer("Current", |o, _| number(&o["status"]["replicas"])), integer("Ready", |o, _| number(&o["status"]["readyReplicas"])), AGE,
            wide("Containers", containers), wide("Images", images), wide("Selector", selector)],
        ("apps", "StatefulSet") => vec![NAME, column("Ready", |o, _| ratio(&o["status"]["readyReplicas"], &o["spec"]["replicas"])), AGE,
            wide("Containers", containers), wide("Images", images)],
        ("apps", "DaemonSet") => vec![NAME, integer("Desired", |o, _| number(&o["status"]["desiredNumberScheduled"])),
            integer("Current", |o, _| number(&o["status"]["currentNumberScheduled"])), integer("Ready", |o, _| number(&o["status"]["numberReady"])),
            integer("Up-to-date", |o, _| number(&o["status"]["updatedNumberScheduled"])),
            integer("Available", |o, _| number(&o["status"]["numberAvailable"])),
            column("Node Selector", |o, _| pairs(&o["spec"]["template"]["spec"]["nodeSelector"])), AGE,
            wide("Containers", containers), wide("Images", images), wide("Selector", selector)],
        ("batch", "Job") => vec![NAME, column("Status", job_status),
            column("Completions", |o, _| ratio(&o["status"]["succeeded"], &o["spec"]["completions"])), column("Duration", job_duration), AGE,
            wide("Containers", containers), wide("Images", images), wide("Selector", selector)],
        ("batch", "CronJob") => vec![NAME, column("Schedule", |o, _| o["spec"]["schedule"].clone()), column("Timezone", |o, _| or_none(&o["spec"]["timeZone"])),
            boolean("Suspend", |o, _| shown(&o["spec"]["suspend"])), integer("Active", |o, _| o["status"]["active"].as_array().map_or(0, Vec::len).into()),
            column("Last Schedule", |o, now| last(&o["status"]["lastScheduleTime"], now)), AGE,
            wide("Containers", |o, now| containers(&o["spec"]["jobTemplate"], now)), wide("Images", |o, now| images(&o["spec"]["jobTemplate"], now)),
            wide("Selector", |_, _| "<none>".into())],
        ("", "Service") => vec![NAME, column("Type", |o, _| o["spec"]["type"].clone()), column("Cluster-IP", |o, _| or_none(&o["spec"]["clusterIP"])),
            column("External-IP", |o, _| or_none(&o["status"]["loadBalancer"]["ingress"][0]["ip"])), column("Port(s)", service_ports), AGE,
            wide("Selector", |o, _| pairs(&o["spec"]["selector"]))],
        ("", "ConfigMap") => vec![NAME, column("Data", data_count), AGE],
        ("", "Secret") => vec![NAME, column("Type", |o, _| o["type"].clone()), column("Data", data_count), AGE],
        ("", "Namespace") => vec![NAME, column("Status", |o, _| o["status"]["phase"].clone()), AGE],
        ("", "Node") => vec![NAME, column("Status", |_, _| "Ready".into()), column("Roles", |_, _| "<none>".into()), AGE,
            column("Version", |o, _| o["status"]["nodeInfo"]["kubeletVersion"].clone()),
            wide("Internal-IP", |_, _| "<none>".into()), wide("External-IP", |_, _| "<none>".into()), wide("OS-Image", |_, _| "<unknown>".into()),
            wide("Kernel-Version", |_, _| "<unknown>".into()), wide("Container-Runtime", |_, _| "<unknown>".into())],
        ("", "PersistentVolumeClaim") => vec![NAME, column("Status", |o, _| o["status"]["phase"].clone()), column("Volume", |o, _| text(&o["spec"]["volumeName"])),
            column("Capacity", |o, _| text(&o["status"]["capacity"]["storage"])), column("Access Modes", |o, _| access_modes(&o["status"]["accessModes"])),
            column("StorageClass", |o, _| text(&o["spec"]["storageClassName"])),
            column("VolumeAttributesClass", |o, _| unset(&o["spec"]["volumeAttributesClassName"])), AGE,
            wide("VolumeMode", |o, _| unset(&o["spec"]["volumeMode"]))],
        ("", "Event") => vec![column("Last Seen", |o, now| last(&o["lastTimestamp"], now)),
            column("Type", |o, _| o["type"].clone()), column("Reason", |o, _| o["reason"].clone()), column("Object", event_object),
            wide("Subobject", |o, _| text(&o["involvedObject"]["fieldPath"])), wide("Source", |o, _| text(&o["source"]["component"])),
            column("Message", |o, _| o["message"].clone()), wide("First Seen", |o, now| last(&o["firstTimestamp"], now)),
            wide("Count", |o, _| number(&o["count"])), wide("Name", |o, _| o["metadata"]["name"].clone())],
        ("networking.k8s.io", "Ingress") => vec![NAME, column("Class", |o, _| or_none(&o["spec"]["ingressClassName"])), column("Hosts", ingress_hosts),
            column("Address", |o, _| text(&o["status"]["loadBalancer"]["ingress"][0]["ip"])), column("Ports", ingress_ports), AGE],
        ("networking.k8s.io", "NetworkPolicy") => vec![NAME, column("Pod-Selector", |o, _| pairs(&o["spec"]["podSelector"]["matchLabels"])), AGE],
        ("autoscaling", "HorizontalPodAutoscaler") => vec![NAME, column("Reference", autoscaler_target), column("Targets", autoscaler_metrics),
            column("MinPods", |o, _| shown(&o["spec"]["minReplicas"])), column("MaxPods", |o, _| number(&o["spec"]["maxReplicas"])),
            column("Replicas", |o, _| number(&o["status"]["currentReplicas"])), AGE],
        ("policy", "PodDisruptionBudget") => vec![NAME, column("Min Available", |o, _| or_na(&o["spec"]["minAvailable"])),
            column("Max Unavailable", |o, _| or_na(&o["spec"]["maxUnavailable"])), integer("Allowed Disruptions", |o, _| number(&o["status"]["disruptionsAllowed"])), AGE],
        ("coordination.k8s.io", "Lease") => vec![NAME, column("Holder", |o, _| text(&o["spec"]["holderIdentity"])), AGE],
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => vec![NAME, column("Role", |o, _| role(&o["roleRef"])), AGE,
            wide("Users", |o, _| subjects(o, "User")), wide("Groups", |o, _| subjects(o, "Group")), wide("ServiceAccounts", |o, _| subjects(o, "ServiceAccount"))],
        ("scheduling.k8s.io", "PriorityClass") => vec![NAME, integer("Value", |o, _| number(&o["value"])), boolean("Global-Default", |o, _| o["globalDefault"].as_bool().unwrap_or_default().into()),
            AGE, column("PreemptionPolicy", |o, _| text(&o["preemptionPolicy"]))],
        ("", "ServiceAccount") => vec![NAME, AGE],
        ("rbac.authorization.k8s.io" | "apiextensions.k8s.io", _) => vec![NAME, CREATED],
        _ => vec![NAME, AGE],
    }
}

fn age(object: &Value, now: Timestamp) -> Value {
    since(object["metadata"]["creationTimestamp"].as_str().unwrap_or_default(), now).into()
}

/// Writes how long ago a time was, as short as the real server does.
fn since(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return "<unknown>".to_owned() };
    human(now.duration_since(time).as_secs())
}

fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let pair = |a: i64, unit: &str, b: i64, small: &str| {
        if b == 0 { format!("{a}{unit}") } else { format!("{a}{unit}{b}{small}") }
    };
    match seconds {
        ..0 => "<invalid>".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        _ => pair(days / 365, "y", days % 365, "d"),
    }
}

fn text(value: &Value) -> Value {
    value.as_str().unwrap_or_default().into()
}

fn or_none(value: &Value) -> Value {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or("<none>").into()
}

fn unset(value: &Value) -> Value {
    value.as_str().unwrap_or("<unset>").into()
}

/// Shows a value that is no text as text.
fn shown(value: &Value) -> Value {
    value.to_string().into()
}

fn last(time: &Value, now: Timestamp) -> Value {
    time.as_str().map_or_else(|| "<none>".into(), |time| since(time, now).into())
}

fn pairs(map: &Value) -> Value {
    let pairs = map.as_object().into_iter().flatten();
    let pairs: Vec<String> =
        pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",").into() }
}

fn access_modes(modes: &Value) -> Value {
    let short = |mode: &str| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    let modes = modes.as_array().into_iter().flatten().filter_map(Value::as_str);
    joined(modes.map(|mode| short(mode).to_owned()))
}

fn role(reference: &Value) -> Value {
    format!("{}/{}", reference["kind"].as_str().unwrap_or_default(), reference["name"].as_str().unwrap_or_default())
        .into()
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let subjects = each(binding, "subjects").filter(|subject| subject["kind"].as_str() == Some(kind));
    joined(subjects.map(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["namespace"].as_str() {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        }
    }))
}

fn autoscaler_metrics(object: &Value, _: Timestamp) -> Value {
    let metrics = each(&object["spec"], "metrics").map(|metric| {
        let resource = &metric["resource"];
        let name = resource["name"].as_str().unwrap_or("<unknown>");
        match resource["target"]["averageUtilization"].as_i64() {
            Some(percent) => format!("{name}: <unknown>/{percent}%"),
            None => format!("{name}: <unknown>/{}", resource["target"]["averageValue"].as_str().unwrap_or("<auto>")),
        }
    });
    joined(metrics)
}

fn or_na(value: &Value) -> Value {
    match value {
        Value::Null => "N/A".into(),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

fn number(value: &Value) -> Value {
    value.as_i64().unwrap_or_default().into()
}

fn ratio(done: &Value, wanted: &Value) -> Value {
    format!("{}/{}", done.as_i64().unwrap_or_default(), wanted.as_i64().unwrap_or(1)).into()
}

fn each<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value[name].as_array().into_iter().flatten()
}

fn joined(texts: impl Iterator<Item = String>) -> Value {
    texts.collect::<Vec<_>>().join(",").into()
}

fn containers(object: &Value, _: Timestamp) -> Value {
    let spec = &object["spec"]["template"]["spec"];
    joined(each(spec, "containers").map(|container| container["name"].as_str().unwrap_or_default().to_owned()))
}

fn images(object: &Value, _: Timestamp) -> Value {
    let spec = &object["spec"]["template"]["spec"];
    joined(each(spec, "containers").map(|container| container["image"].as_str().unwrap_or_default().to_owned()))
}

fn selector(object: &Value, _: Timestamp) -> Value {
    pairs(&object["spec"]["selector"]["matchLabels"])
}

fn pod_ready(object: &Value, _: Timestamp) -> Value {
    let ready =
        each(&object["status"], "containerStatuses").filter(|status| status["ready"] == Value::Bool(true)).count();
    format!("{ready}/{}", each(&object["spec"], "containers").count()).into()
}

fn pod_status(object: &Value, _: Timestamp) -> Value {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating".into();
    }
    let waiting = each(&object["status"], "containerStatuses").find_map(|status| {
        let state = &status["state"];
        state["waiting"]["reason"].as_str().or_else(|| state["terminated"]["reason"].as_str())
    });
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    object["status"]["reason"].as_str().or(waiting).unwrap_or(phase).into()
}

fn pod_restarts(object: &Value, _: Timestamp) -> Value {
    let counts = each(&object["status"], "containerStatuses").filter_map(|status| status["restartCount"].as_i64());
    counts.sum::<i64>().to_string().into()
}

fn job_status(object: &Value, _: Timestamp) -> Value {
    let done = each(&object["status"], "conditions").find(|condition| {
        matches!(condition["type"].as_str(), Some("Complete" | "Failed")) && condition["status"] == "True"
    });
    done.map_or_else(|| "Running".into(), |condition| condition["type"].clone())
}

fn job_duration(object: &Value, now: Timestamp) -> Value {
    let Some(start) = object["status"]["startTime"].as_str() else { return "".into() };
    let end = object["status"]["completionTime"].as_str().and_then(|end| end.parse().ok()).unwrap_or(now);
    since(start, end).into()
}

fn service_ports(object: &Value, _: Timestamp) -> Value {
    let ports: Vec<String> = each(&object["spec"], "ports")
        .map(|port| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            match port["nodePort"].as_i64() {
                Some(node) => format!("{}:{node}/{protocol}", port["port"]),
                None => format!("{}/{protocol}", port["port"]),
            }
        })
        .collect();
    if ports.is_empty() { "<none>".into() } else { ports.join(",").into() }
}

fn data_count(object: &Value, _: Timestamp) -> Value {
    let count = |name: &str| object[name].as_object().map_or(0, serde_json::Map::len);
    (count("data") + count("binaryData")).into()
}

fn event_object(object: &Value, _: Timestamp) -> Value {
    let involved = &object["involvedObject"];
    let kind = involved["kind"].as_str().unwrap_or_default().to_lowercase();
    format!("{kind}/{}", involved["name"].as_str().unwrap_or_default()).into()
}

fn ingress_hosts(object: &Value, _: Timestamp) -> Value {
    let hosts: Vec<&str> = each(&object["spec"], "rules").map(|rule| rule["host"].as_str().unwrap_or("*")).collect();
    if hosts.is_empty() { "*".into() } else { hosts.join(",").into() }
}

fn ingress_ports(object: &Value, _: Timestamp) -> Value {
    if object["spec"]["tls"].is_null() { "80".into() } else { "80, 443".into() }
}

fn autoscaler_target(object: &Value, _: Timestamp) -> Value {
    let target = &object["spec"]["scaleTargetRef"];
    format!("{}/{}", target["kind"].as_str().unwrap_or_default(), target["name"].as_str().unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn ages_are_as_short_as_kubectl_prints_them() {
        let cases = [
            (5, "5s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3_700, "61m"),
            (10_860, "3h1m"),
            (30_000, "8h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(human(seconds), expected, "{seconds}");
        }
    }
}
