//! Pods, and the templates of pods.
//!
//! Source: the API reference of `PodSpec` and `Container`. Invariant: a StatefulSet's pods are held to the same rules, though the server looks at
//! them only when it makes the first pod.

use std::collections::BTreeSet;

use schema::check::quantity;
use serde_json::Value;

use super::{Part, at_least, exactly_one, names, port, port_or_name, required, selectors, text, those_there, unique};
use crate::validation::Finding;

const CONTAINERS: [&str; 2] = ["initContainers", "containers"];
const HANDLERS: [&str; 4] = ["exec", "grpc", "httpGet", "tcpSocket"];

/// Adds what is wrong with a template of pods. `policies` are the restart policies that its owner takes, the default first where it
/// may be left out; `claims` are volumes that its owner makes.
pub(super) fn template(template: &Part<'_, '_>, policies: &[&str], claims: &[&str], found: &mut Vec<Finding>) {
    let metadata = template.field("metadata");
    names::labels(&metadata.field("labels"), found);
    names::annotations(&metadata.field("annotations"), found);
    let spec = template.field("spec");
    if !spec.value.is_object() {
        return;
    }
    self::spec(&spec, claims, found);
    let policy = spec.field("restartPolicy");
    let is_asked_for = !policies.contains(&"Always");
    match policy.text() {
        "" if is_asked_for && !policy.is_there() => {
            found.push(spec.misses("restartPolicy").hint(format!("write one of {}", policies.join(", "))));
        }
        "" => {}
        other if policies.contains(&other) => {}
        _ => found.push(policy.must(&format!("must be {}", policies.join(" or ")))),
    }
}

/// Adds what is wrong with the spec of a pod.
pub(super) fn spec(spec: &Part<'_, '_>, claims: &[&str], found: &mut Vec<Finding>) {
    if spec.field("containers").value.as_array().is_some_and(Vec::is_empty) {
        found.push(spec.field("containers").must("must have at least one item"));
    }
    let volumes = volumes(spec, claims, found);
    for list in CONTAINERS {
        for one in spec.field(list).items().filter(|one| one.value.is_object()) {
            container(&one, list, &volumes, found);
        }
    }
    twice(spec, found);
    names::labels(&spec.field("nodeSelector"), found);
    at_least(1, &spec.field("activeDeadlineSeconds"), found);
    for constraint in spec.field("topologySpreadConstraints").items() {
        at_least(1, &constraint.field("maxSkew"), found);
        at_least(1, &constraint.field("minDomains"), found);
        text(&constraint.field("topologyKey"), found);
        selectors::check(&constraint.field("labelSelector"), found);
    }
    for toleration in spec.field("tolerations").items() {
        let (operator, value) = (toleration.field("operator"), toleration.field("value"));
        if operator.text() == "Exists" && !value.text().is_empty() {
            found.push(value.must("must be empty: the operator is `Exists`"));
        }
        if toleration.field("key").text().is_empty() && operator.text() != "Exists" {
            found.push(toleration.must("must have a `key`, or the operator `Exists`"));
        }
    }
    for alias in spec.field("hostAliases").items() {
        let ip = alias.field("ip");
        if ip.value.is_string() && ip.text().parse::<std::net::IpAddr>().is_err() {
            found.push(ip.must("must be an IP address"));
        }
    }
    let dns = spec.field("dnsConfig");
    if spec.field("dnsPolicy").text() == "None" && dns.field("nameservers").items().next().is_none() {
        found.push(spec.must("must have `dnsConfig.nameservers`: its `dnsPolicy` is `None`"));
    }
}

/// Adds names that two containers share: a list of each kind is looked at by the schema.
fn twice(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let init = spec.field("initContainers");
    let first: BTreeSet<&str> = init.items().map(|one| one.field("name").text()).collect();
    for one in spec.field("containers").items() {
        let name = one.field("name");
        if !name.text().is_empty() && first.contains(name.text()) {
            let message = format!("`{}` is the name of an init container, too", name.path());
            found.push(name.wrong("duplicate-item", message));
        }
    }
}

/// Adds what is wrong with the volumes, and returns their names.
fn volumes<'v>(spec: &Part<'_, 'v>, claims: &[&'v str], found: &mut Vec<Finding>) -> BTreeSet<&'v str> {
    let mut names: BTreeSet<&str> = claims.iter().copied().collect();
    for volume in spec.field("volumes").items() {
        let name = volume.field("name");
        names::label(&name, found);
        names.insert(name.value.as_str().unwrap_or_default());
        let sources: Vec<&str> =
            volume.entries().filter(|(key, value)| *key != "name" && value.is_there()).map(|(key, _)| key).collect();
        if sources.len() > 1 {
            found.push(volume.must(&format!("must be of one kind, not {}", sources.join(" and "))));
        }
        for (source, field) in [("configMap", "name"), ("secret", "secretName"), ("persistentVolumeClaim", "claimName")]
        {
            let source = volume.field(source);
            if source.value.is_object() && source.field(field).text().is_empty() {
                found.push(source.misses(field));
            }
        }
        for source in ["configMap", "secret"] {
            let source = volume.field(source);
            let mode = source.field("defaultMode");
            let modes = source.field("items");
            file_mode(&mode, found);
            for item in modes.items() {
                file_mode(&item.field("mode"), found);
                relative(&item.field("path"), found);
            }
        }
    }
    names
}

fn file_mode(mode: &Part<'_, '_>, found: &mut Vec<Finding>) {
    if mode.number().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        found.push(mode.must("must be between 0 and 0777 (511)").hint("write modes of files in octal: `0400`"));
    }
}

fn relative(path: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let text = path.text();
    if text.starts_with('/') || text.split('/').any(|part| part == "..") {
        found.push(path.must("must be a relative path without `..`"));
    }
}

fn container(container: &Part<'_, '_>, list: &str, volumes: &BTreeSet<&str>, found: &mut Vec<Finding>) {
    names::label(&container.field("name"), found);
    let image = container.field("image");
    match image.value {
        Value::Null => found.push(container.misses("image")),
        Value::String(text) if text.is_empty() => found.push(image.must("must not be empty")),
        _ => {}
    }
    let ports = container.field("ports");
    for one in ports.items() {
        port(&one.field("containerPort"), found);
        let host = one.field("hostPort");
        if host.number() != Some(0) {
            port(&host, found);
        }
        names::port_name(&one.field("name"), found);
    }
    unique_names(&ports, found);
    environment(container, found);
    let mounts = container.field("volumeMounts");
    for mount in mounts.items() {
        let (name, path) = (mount.field("name"), mount.field("mountPath"));
        if !name.text().is_empty() && !volumes.contains(name.text()) {
            let message = format!("`{}` names no volume of the pod", name.path());
            let hint = match crate::diagnostic::suggest(name.text(), volumes.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add it to `volumes`".to_owned(),
            };
            found.push(name.wrong("unknown-volume", message).hint(hint));
        }
        text(&path, found);
        relative(&mount.field("subPath"), found);
        if !mount.field("subPath").text().is_empty() && !mount.field("subPathExpr").text().is_empty() {
            found.push(mount.must("must have only one of `subPath`, `subPathExpr`"));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        self::probe(&container.field(probe), probe != "readinessProbe", found);
    }
    let lifecycle = container.field("lifecycle");
    for moment in ["postStart", "preStop"] {
        let handler = lifecycle.field(moment);
        if handler.value.is_object() {
            exactly_one(&handler, &["exec", "httpGet", "sleep", "tcpSocket"], found);
            self::handler(&handler, found);
        }
    }
    resources(&container.field("resources"), found);
    let context = container.field("securityContext");
    at_least(0, &context.field("runAsUser"), found);
    at_least(0, &context.field("runAsGroup"), found);
    let escalation = context.field("allowPrivilegeEscalation");
    if escalation.value.as_bool() == Some(false) && context.field("privileged").value.as_bool() == Some(true) {
        found.push(escalation.must("must not be false where `privileged` is true"));
    }
    let policy = container.field("restartPolicy");
    if list == "initContainers"
        && policy.value.is_string()
        && !matches!(policy.text(), "Always" | "Never" | "OnFailure")
    {
        found.push(policy.must("must be `Always`, which makes a sidecar of it"));
    }
    if list == "initContainers" && policy.text() != "Always" {
        for field in those_there(container, &["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"]) {
            found.push(container.field(field).must("must not be there: an init container that is no sidecar has none"));
        }
    }
}

fn unique_names(items: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let items: Vec<Part<'_, '_>> = items.items().collect();
    unique(items.iter().map(|item| item.field("name")), "a name", found);
}

fn environment(container: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for variable in container.field("env").items() {
        let (name, from) = (variable.field("name"), variable.field("valueFrom"));
        let is_printable = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'=';
        if let Value::String(text) = name.value
            && (text.is_empty() || !text.bytes().all(is_printable))
        {
            found.push(name.wrong(
                "bad-name",
                format!("`{}` must have printable characters of ASCII only, and no `=`", name.path()),
            ));
        }
        if !from.value.is_object() {
            continue;
        }
        if !variable.field("value").text().is_empty() {
            found.push(variable.must("must have only one of `value`, `valueFrom`"));
        }
        exactly_one(&from, &["configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"], found);
        for source in ["configMapKeyRef", "secretKeyRef"] {
            let source = from.field(source);
            if source.value.is_object() {
                text(&source.field("key"), found);
                named(&source, found);
            }
        }
    }
    for source in container.field("envFrom").items() {
        exactly_one(&source, &["configMapRef", "secretRef"], found);
        for one in ["configMapRef", "secretRef"] {
            let one = source.field(one);
            if one.value.is_object() {
                named(&one, found);
            }
        }
    }
}

/// Adds that a reference names nothing.
fn named(reference: &Part<'_, '_>, found: &mut Vec<Finding>) {
    required(reference, "name", found);
}

fn probe(probe: &Part<'_, '_>, only_once: bool, found: &mut Vec<Finding>) {
    if !probe.value.is_object() {
        return;
    }
    exactly_one(probe, &HANDLERS, found);
    handler(probe, found);
    for field in ["failureThreshold", "initialDelaySeconds", "periodSeconds", "successThreshold", "timeoutSeconds"] {
        at_least(0, &probe.field(field), found);
    }
    let success = probe.field("successThreshold");
    if only_once && success.number().is_some_and(|number| number > 1) {
        found.push(success.must("must be 1"));
    }
    at_least(1, &probe.field("terminationGracePeriodSeconds"), found);
}

fn handler(handler: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for kind in ["httpGet", "tcpSocket"] {
        let kind = handler.field(kind);
        port_or_name(&kind.field("port"), found);
    }
    port(&handler.field("grpc").field("port"), found);
    let exec = handler.field("exec");
    if exec.value.is_object() {
        required(&exec, "command", found);
    }
    for header in handler.field("httpGet").field("httpHeaders").items() {
        text(&header.field("name"), found);
    }
}

/// Resources that are not called by a domain.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

fn resources(resources: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let limits = resources.field("limits");
    for list in ["limits", "requests"] {
        for (name, amount) in resources.field(list).entries() {
            if !RESOURCES.contains(&name) && !name.contains('/') && !name.starts_with("hugepages-") {
                let message = format!("`{}` is no resource of a container", amount.path());
                let hint = match crate::diagnostic::suggest(name, RESOURCES) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        format!("there are {}, and those with a domain, like `nvidia.com/gpu`", RESOURCES.join(", "))
                    }
                };
                let finding = amount.wrong("unknown-resource", message).hint(hint);
                found.push(Finding { end: crate::validation::End::Key, ..finding });
            }
            if quantity_of(amount.value).is_some_and(|amount| amount < 0.0) {
                found.push(amount.must("must not be negative"));
            }
        }
    }
    for (name, request) in resources.field("requests").entries() {
        let limit = limits.field(name);
        if let (Some(wanted), Some(most)) = (quantity_of(request.value), quantity_of(limit.value))
            && wanted > most
        {
            found.push(request.must(&format!("must not be more than `{}`", limit.path())));
        }
    }
}

fn quantity_of(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => quantity(text),
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}
