//! In which order: stages by kind, and services by wave and dependency.
//!
//! Knows no plan, only kinds and names. Invariant: a kind that other kinds cannot be created without is in a lower stage than they are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::cluster::GroupKind;

/// Stage of namespaces and definitions: done for all services before anything else, undone after everything else.
pub const FOUNDATIONS: u8 = 0;

/// Names of the stages, by number.
pub const STAGES: [&str; 7] =
    ["foundations", "access", "configuration", "networking", "workloads", "rest", "admission"];

/// Returns the stage in which objects of a kind are applied; they are deleted in the reverse order.
///
/// Kinds that are not Kubernetes' own are in `rest`: instances of definitions need what the definitions' operators need.
pub fn stage_of(kind: &GroupKind) -> u8 {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => FOUNDATIONS,
        ("", "ServiceAccount" | "ResourceQuota" | "LimitRange")
        | ("rbac.authorization.k8s.io", _)
        | ("scheduling.k8s.io", "PriorityClass")
        | ("storage.k8s.io", "StorageClass" | "VolumeAttributesClass" | "CSIDriver")
        | ("networking.k8s.io", "IngressClass")
        | ("node.k8s.io", "RuntimeClass")
        | ("gateway.networking.k8s.io", "GatewayClass")
        | ("resource.k8s.io", "DeviceClass") => 1,
        ("", "ConfigMap" | "Secret" | "PersistentVolume" | "PersistentVolumeClaim") => 2,
        ("", "Service" | "Endpoints")
        | ("discovery.k8s.io", "EndpointSlice")
        | ("networking.k8s.io", "NetworkPolicy") => 3,
        ("", "Pod" | "ReplicationController") | ("apps" | "batch", _) => 4,
        ("admissionregistration.k8s.io", _) | ("apiregistration.k8s.io", "APIService") => 6,
        _ => 5,
    }
}

/// What a service asks of the order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Its wave.
    pub wave: i32,
    /// Services that must be ready before.
    pub depends_on: Vec<String>,
}

/// A service, or everything of one wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node<'a> {
    Service(&'a str),
    Wave(i32),
}

/// What comes before what.
type Graph<'a> = BTreeMap<Node<'a>, BTreeSet<Node<'a>>>;

/// Returns the services that would wait for themselves, each with a shortest way around: `a`, `b`, `a`.
pub fn cycles(places: &BTreeMap<String, Place>) -> BTreeMap<String, Vec<String>> {
    let mut graph = graph(places);
    strip(&mut graph);
    let services = graph.keys().filter_map(|node| if let Node::Service(name) = node { Some(*name) } else { None });
    services.filter_map(|name| Some((name.to_owned(), way_around(&graph, name)?))).collect()
}

/// A service comes after those it depends on and after the next lower wave, a wave after its services and the next lower wave.
fn graph(places: &BTreeMap<String, Place>) -> Graph<'_> {
    let waves: BTreeSet<i32> = places.values().map(|place| place.wave).collect();
    let below = |wave: i32| waves.range(..wave).next_back().map(|lower| Node::Wave(*lower));
    let mut graph: Graph<'_> =
        waves.iter().map(|wave| (Node::Wave(*wave), below(*wave).into_iter().collect())).collect();
    for (name, place) in places {
        let known = place.depends_on.iter().filter(|other| places.contains_key(*other));
        let before = known.map(|other| Node::Service(other)).chain(below(place.wave)).collect();
        graph.insert(Node::Service(name), before);
        graph.entry(Node::Wave(place.wave)).or_default().insert(Node::Service(name));
    }
    graph
}

/// Takes away what waits for nothing, again and again. What remains is on a cycle or waits for one; usually nothing.
fn strip(graph: &mut Graph<'_>) {
    let mut after: BTreeMap<Node<'_>, Vec<Node<'_>>> = BTreeMap::new();
    for (node, before) in graph.iter() {
        before.iter().for_each(|other| after.entry(*other).or_default().push(*node));
    }
    let mut free: Vec<Node<'_>> = graph.iter().filter(|(_, before)| before.is_empty()).map(|(node, _)| *node).collect();
    while let Some(node) = free.pop() {
        graph.remove(&node);
        for other in after.remove(&node).into_iter().flatten() {
            if let Some(before) = graph.get_mut(&other) {
                before.remove(&node);
                if before.is_empty() {
                    free.push(other);
                }
            }
        }
    }
}

/// Searches breadth first from a service back to itself; waves are left out of the answer.
fn way_around(graph: &Graph<'_>, start: &str) -> Option<Vec<String>> {
    let start = Node::Service(start);
    let mut reached_from: BTreeMap<Node<'_>, Node<'_>> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.get(&node).into_iter().flatten() {
            if *next == start {
                let steps = std::iter::successors(Some(node), |at| reached_from.get(at).copied());
                let way: Vec<Node<'_>> = std::iter::once(start).chain(steps).collect();
                return Some(way.into_iter().rev().filter_map(service_name).collect());
            }
            if !reached_from.contains_key(next) {
                reached_from.insert(*next, node);
                queue.push_back(*next);
            }
        }
    }
    None
}

fn service_name(node: Node<'_>) -> Option<String> {
    match node {
        Node::Service(name) => Some(name.to_owned()),
        Node::Wave(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(group: &str, kind: &str) -> u8 {
        stage_of(&GroupKind::new(group, kind))
    }

    #[test]
    fn stages_by_kind() {
        let ascending = [
            [("", "Namespace"), ("apiextensions.k8s.io", "CustomResourceDefinition")],
            [("", "ServiceAccount"), ("rbac.authorization.k8s.io", "RoleBinding")],
            [("", "Secret"), ("", "PersistentVolumeClaim")],
            [("", "Service"), ("networking.k8s.io", "NetworkPolicy")],
            [("apps", "Deployment"), ("batch", "CronJob")],
            [("autoscaling", "HorizontalPodAutoscaler"), ("monitoring.coreos.com", "ServiceMonitor")],
            [
                ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
                ("apiregistration.k8s.io", "APIService"),
            ],
        ];
        for (number, kinds) in ascending.iter().enumerate() {
            for (group, kind) in kinds {
                assert_eq!(usize::from(stage(group, kind)), number, "{kind} is in {}", STAGES[number]);
            }
        }
    }

    #[test]
    fn a_kind_is_known_by_its_group_too() {
        assert_eq!(stage("serving.knative.dev", "Service"), 5);
        assert_eq!(stage("example.org", "Namespace"), 5);
    }

    fn places(places: &[(&str, i32, &[&str])]) -> BTreeMap<String, Place> {
        let place = |wave: i32, depends_on: &[&str]| Place {
            wave,
            depends_on: depends_on.iter().map(|d| (*d).to_owned()).collect(),
        };
        places.iter().map(|(name, wave, on)| ((*name).to_owned(), place(*wave, on))).collect()
    }

    #[test]
    fn waves_and_dependencies_that_agree_have_no_cycle() {
        let places = places(&[("a", 0, &[]), ("b", 0, &["a", "elsewhere"]), ("c", 1, &["a"]), ("d", 1, &["c"])]);
        assert!(cycles(&places).is_empty());
    }

    #[test]
    fn only_those_on_a_cycle_are_named_with_the_way_around() {
        let places = places(&[("a", 0, &["b"]), ("b", 1, &[]), ("c", 0, &["c"]), ("d", 2, &["a"]), ("e", 0, &[])]);
        let cycles = cycles(&places);
        assert_eq!(cycles.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(cycles["a"], ["a", "b", "a"]);
        assert_eq!(cycles["c"], ["c", "c"]);
    }
}
