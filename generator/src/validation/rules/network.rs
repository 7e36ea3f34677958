//! Services, Ingresses, NetworkPolicies.
//!
//! Source: the API references of `v1` and `networking.k8s.io/v1`. Invariant: addresses are looked at for their form only.

use std::net::IpAddr;

use serde_json::Value;

use super::{Part, exactly_one, names, port, port_or_name, required, selectors, text, unique};
use crate::validation::Finding;

/// The annotation that named the class of an Ingress before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

pub(super) fn service(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let (kind, address) = (spec.field("type"), spec.field("clusterIP"));
    let ports = spec.field("ports");
    let all: Vec<Part<'_, '_>> = ports.items().collect();
    names::labels(&spec.field("selector"), found);
    if kind.text() == "ExternalName" {
        required(spec, "externalName", found);
    } else if all.is_empty() && address.text() != "None" && (ports.value.is_null() || ports.value.is_array()) {
        found.push(spec.misses("ports").hint("a Service without ports is headless: `clusterIP: None`"));
    }
    if address.text() == "None" && matches!(kind.text(), "NodePort" | "LoadBalancer") {
        found.push(address.must(&format!("must not be `None`: the Service is of type `{}`", kind.text())));
    }
    for one in &all {
        port(&one.field("port"), found);
        port_or_name(&one.field("targetPort"), found);
        let name = one.field("name");
        if all.len() > 1 && name.text().is_empty() {
            found.push(one.misses("name").hint("with several ports, each has a name"));
        } else {
            names::label(&name, found);
        }
        let node = one.field("nodePort");
        let is_inside = matches!(kind.text(), "" | "ClusterIP");
        if is_inside && node.number().is_some_and(|number| number != 0) {
            found.push(node.must("must not be there: the Service is of type `ClusterIP`"));
        }
    }
    unique(all.iter().map(|one| one.field("name")), "a name", found);
}

pub(super) fn ingress(whole: &Part<'_, '_>, spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let rules = spec.field("rules");
    let is_empty = rules.items().next().is_none();
    if is_empty && !spec.field("defaultBackend").is_there() && spec.value.is_object() {
        found.push(spec.must("must have `rules` or a `defaultBackend`"));
    }
    backend(&spec.field("defaultBackend"), found);
    for rule in rules.items() {
        host(&rule.field("host"), found);
        let http = rule.field("http");
        let paths = http.field("paths");
        if http.value.is_object() && paths.value.as_array().is_some_and(Vec::is_empty) {
            found.push(paths.must("must have at least one item"));
        }
        for path in paths.items() {
            let (kind, text) = (path.field("pathType").text(), path.field("path"));
            let is_optional = kind == "ImplementationSpecific" && text.text().is_empty();
            if !is_optional && !text.text().starts_with('/') && (text.value.is_null() || text.value.is_string()) {
                match text.value {
                    Value::Null if kind.is_empty() => {}
                    Value::Null => found.push(path.misses("path")),
                    _ => found.push(text.must("must begin with `/`")),
                }
            }
            backend(&path.field("backend"), found);
        }
    }
    for entry in spec.field("tls").items() {
        for name in entry.field("hosts").items() {
            host(&name, found);
        }
    }
    let class = spec.field("ingressClassName");
    names::subdomain(&class, found);
    let annotations = whole.field("metadata");
    let annotations = annotations.field("annotations");
    let old = annotations.field(CLASS_ANNOTATION);
    if class.is_there() && old.is_there() && class.text() != old.text() {
        found.push(old.must("must not be another than `spec.ingressClassName`").hint("remove the annotation"));
    }
}

fn host(host: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let text = host.text();
    if text.is_empty() {
        return;
    }
    if text.parse::<IpAddr>().is_ok() {
        found.push(host.must("must be a DNS name, not an IP address"));
    } else if !names::is_subdomain(text.strip_prefix("*.").unwrap_or(text)) {
        let hint = "write neither a scheme nor a port nor a path, and letters in lower case";
        found.push(host.must("must be a DNS name, or `*.` and a DNS name").hint(hint));
    }
}

fn backend(backend: &Part<'_, '_>, found: &mut Vec<Finding>) {
    if !backend.value.is_object() {
        return;
    }
    exactly_one(backend, &["resource", "service"], found);
    let service = backend.field("service");
    if service.value.is_object() {
        let name = service.field("name");
        text(&name, found);
        if !name.text().is_empty() && !names::is_dns_1035(name.text()) {
            found.push(name.must("must be the name of a Service"));
        }
        let target = service.field("port");
        if target.value.is_object() {
            exactly_one(&target, &["name", "number"], found);
            port(&target.field("number"), found);
            names::port_name(&target.field("name"), found);
        } else if target.value.is_null() {
            found.push(service.misses("port"));
        }
    }
}

pub(super) fn policy(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    selectors::check(&spec.field("podSelector"), found);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.field(direction).items() {
            for one in rule.field("ports").items() {
                port_or_name(&one.field("port"), found);
                let (first, last) = (one.field("port"), one.field("endPort"));
                port(&last, found);
                if let (Some(first), Some(number)) = (first.number(), last.number())
                    && number < first
                {
                    found.push(last.must("must not be less than `port`"));
                } else if last.is_there() && first.number().is_none() {
                    found.push(last.must("must stand beside a `port` that is a number"));
                }
            }
            for peer in rule.field(peers).items() {
                self::peer(&peer, found);
            }
        }
    }
}

fn peer(peer: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let block = peer.field("ipBlock");
    let selectors = ["podSelector", "namespaceSelector"].map(|name| peer.field(name).is_there());
    for name in ["podSelector", "namespaceSelector"] {
        selectors::check(&peer.field(name), found);
    }
    if block.is_there() && selectors.contains(&true) {
        found.push(peer.must("must have either `ipBlock` or selectors"));
    }
    if !block.is_there() && !selectors.contains(&true) {
        found.push(peer.must("must have `ipBlock`, `namespaceSelector` or `podSelector`"));
    }
    let except = block.field("except");
    let cidr = block.field("cidr");
    for network in std::iter::once(cidr).chain(except.items()) {
        if network.value.is_string() && !is_network(network.text()) {
            found.push(network.must("must be a network like `10.0.0.0/8`"));
        }
    }
}

fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}
