//! THE table of kinds: names, scope, subresources and shape of everything the API serves.
//!
//! Built-in kinds are the rows of [`BUILTIN`]; custom kinds are added when their definition is established. Knows no objects.
//! Invariant: a [`ResourceId`], once given to a group and plural, keeps its meaning for the life of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::api::GroupResource;
use schema::{Minor, Schema, TypeId};

/// A group and plural, such as `deployments` of `apps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceId(u32);

/// One kind in one version.
#[derive(Debug, Clone)]
pub struct Kind {
    /// What its objects are stored under; the same for all versions.
    pub id: ResourceId,
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Plural, as in paths.
    pub plural: String,
    /// Singular, in lower case.
    pub singular: String,
    /// What `kubectl get` takes too.
    pub short_names: Vec<String>,
    /// Groups of kinds that `kubectl get` takes, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether `status` is written on its own.
    pub status: bool,
    /// Where `scale` finds its values; `None` without the subresource.
    pub scale: Option<Scale>,
    /// Whether `metadata.generation` counts changes of the specification.
    pub generation: bool,
    /// Where the shape is from.
    pub schema: Arc<Schema>,
    /// The shape of an object.
    pub root: TypeId,
    /// What a custom kind's definition says of this version; `None` for built-in kinds.
    pub custom: Option<Arc<Value>>,
}

/// Paths of the values of a `scale` subresource, each without a leading dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Wanted replicas.
    pub spec: Vec<String>,
    /// Replicas there are.
    pub status: Vec<String>,
    /// The selector as text; empty where the kind has none.
    pub selector: Vec<String>,
}

/// A built-in kind.
struct Row {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    categories: &'static str,
    namespaced: bool,
    /// Letters: `s` status, `c` scale, `g` generation.
    traits: &'static str,
    of: &'static str,
}

#[expect(clippy::too_many_arguments, reason = "the columns of the table")]
const fn row(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    categories: &'static str,
    namespaced: bool,
    traits: &'static str,
    of: &'static str,
) -> Row {
    Row { group, kind, plural, short, categories, namespaced, traits, of }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const NETWORK: &str = "networking.k8s.io";

/// Every built-in kind; its version is `v1`, that of the autoscaling group `v2`, and `v1` too.
#[rustfmt::skip]
const BUILTIN: &[Row] = &[
    row("", "ConfigMap", "configmaps", "cm", "", true, "", "core.v1.ConfigMap"),
    row("", "Endpoints", "endpoints", "ep", "", true, "", "core.v1.Endpoints"),
    row("", "Event", "events", "ev", "", true, "", "core.v1.Event"),
    row("", "LimitRange", "limitranges", "limits", "", true, "", "core.v1.LimitRange"),
    row("", "Namespace", "namespaces", "ns", "", false, "s", "core.v1.Namespace"),
    row("", "Node", "nodes", "no", "", false, "s", "core.v1.Node"),
    row("", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "", true, "s", "core.v1.PersistentVolumeClaim"),
    row("", "PersistentVolume", "persistentvolumes", "pv", "", false, "s", "core.v1.PersistentVolume"),
    row("", "Pod", "pods", "po", "all", true, "sg", "core.v1.Pod"),
    row("", "PodTemplate", "podtemplates", "", "", true, "g", "core.v1.PodTemplate"),
    row("", "ReplicationController", "replicationcontrollers", "rc", "all", true, "scg", "core.v1.ReplicationController"),
    row("", "ResourceQuota", "resourcequotas", "quota", "", true, "s", "core.v1.ResourceQuota"),
    row("", "Secret", "secrets", "", "", true, "", "core.v1.Secret"),
    row("", "ServiceAccount", "serviceaccounts", "sa", "", true, "", "core.v1.ServiceAccount"),
    row("", "Service", "services", "svc", "all", true, "s", "core.v1.Service"),
    row(ADMISSION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "", "api-extensions", false, "g", "admissionregistration.v1.MutatingWebhookConfiguration"),
    row(ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "", "api-extensions", false, "sg", "admissionregistration.v1.ValidatingAdmissionPolicy"),
    row(ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "", "api-extensions", false, "g", "admissionregistration.v1.ValidatingAdmissionPolicyBinding"),
    row(ADMISSION, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "", "api-extensions", false, "g", "admissionregistration.v1.ValidatingWebhookConfiguration"),
    row("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", "crd,crds", "api-extensions", false, "sg", "apiextensions.v1.CustomResourceDefinition"),
    row("apiregistration.k8s.io", "APIService", "apiservices", "", "api-extensions", false, "s", "apiregistration.v1.APIService"),
    row("apps", "ControllerRevision", "controllerrevisions", "", "", true, "", "apps.v1.ControllerRevision"),
    row("apps", "DaemonSet", "daemonsets", "ds", "all", true, "sg", "apps.v1.DaemonSet"),
    row("apps", "Deployment", "deployments", "deploy", "all", true, "scg", "apps.v1.Deployment"),
    row("apps", "ReplicaSet", "replicasets", "rs", "all", true, "scg", "apps.v1.ReplicaSet"),
    row("apps", "StatefulSet", "statefulsets", "sts", "all", true, "scg", "apps.v1.StatefulSet"),
    row("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", "all", true, "s", "autoscaling.v2.HorizontalPodAutoscaler"),
    row("batch", "CronJob", "cronjobs", "cj", "all", true, "sg", "batch.v1.CronJob"),
    row("batch", "Job", "jobs", "", "all", true, "sg", "batch.v1.Job"),
    row("coordination.k8s.io", "Lease", "leases", "", "", true, "", "coordination.v1.Lease"),
    row("discovery.k8s.io", "EndpointSlice", "endpointslices", "", "", true, "g", "discovery.v1.EndpointSlice"),
    row("events.k8s.io", "Event", "events", "ev", "", true, "", "events.v1.Event"),
    row(NETWORK, "IngressClass", "ingressclasses", "", "", false, "g", "networking.v1.IngressClass"),
    row(NETWORK, "Ingress", "ingresses", "ing", "", true, "sg", "networking.v1.Ingress"),
    row(NETWORK, "NetworkPolicy", "networkpolicies", "netpol", "", true, "g", "networking.v1.NetworkPolicy"),
    row("node.k8s.io", "RuntimeClass", "runtimeclasses", "", "", false, "", "node.v1.RuntimeClass"),
    row("policy", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", "", true, "sg", "policy.v1.PodDisruptionBudget"),
    row(RBAC, "ClusterRole", "clusterroles", "", "", false, "", "rbac.v1.ClusterRole"),
    row(RBAC, "ClusterRoleBinding", "clusterrolebindings", "", "", false, "", "rbac.v1.ClusterRoleBinding"),
    row(RBAC, "Role", "roles", "", "", true, "", "rbac.v1.Role"),
    row(RBAC, "RoleBinding", "rolebindings", "", "", true, "", "rbac.v1.RoleBinding"),
    row("scheduling.k8s.io", "PriorityClass", "priorityclasses", "pc", "", false, "g", "scheduling.v1.PriorityClass"),
    row(STORAGE, "CSIDriver", "csidrivers", "", "", false, "g", "storage.v1.CSIDriver"),
    row(STORAGE, "CSINode", "csinodes", "", "", false, "", "storage.v1.CSINode"),
    row(STORAGE, "StorageClass", "storageclasses", "sc", "", false, "", "storage.v1.StorageClass"),
    row(STORAGE, "VolumeAttachment", "volumeattachments", "", "", false, "s", "storage.v1.VolumeAttachment"),
];

/// The version of Kubernetes that is imitated.
const MINOR: Minor = Minor(35);

/// Returns the types of the built-in kinds.
pub(crate) fn built_in() -> Arc<Schema> {
    schema::table::all(MINOR)
}

/// What is served, and under which names.
#[derive(Debug, Clone)]
pub struct Kinds {
    /// By group, version and plural.
    served: BTreeMap<(String, String, String), Arc<Kind>>,
    /// The version objects are stored in, by id.
    stored: BTreeMap<ResourceId, Arc<Kind>>,
    /// The same by group and kind.
    named: BTreeMap<String, BTreeMap<String, Arc<Kind>>>,
    ids: BTreeMap<(String, String), ResourceId>,
}

impl Kind {
    /// Returns the `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Returns group and plural, as error texts name the resource.
    pub fn resource(&self) -> GroupResource<'_> {
        GroupResource { group: &self.group, resource: &self.plural }
    }

    /// Returns group and kind, as errors about invalid objects name it.
    pub fn group_kind(&self) -> GroupResource<'_> {
        GroupResource { group: &self.group, resource: &self.kind }
    }

    /// Whether this is the built-in kind of that group and name.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.custom.is_none() && self.group == group && self.kind == kind
    }

    /// Returns the path of an object, or of the collection where `name` is empty.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}", self.api_version())
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str(&format!("/namespaces/{namespace}"));
        }
        path.push_str(&format!("/{}", self.plural));
        if !name.is_empty() {
            path.push_str(&format!("/{name}"));
        }
        path
    }
}

impl Default for Kinds {
    /// Returns the built-in kinds.
    fn default() -> Kinds {
        let mut kinds =
            Kinds { served: BTreeMap::new(), stored: BTreeMap::new(), named: BTreeMap::new(), ids: BTreeMap::new() };
        let schema = built_in();
        for row in BUILTIN {
            let id = kinds.id(row.group, row.plural);
            let words = |text: &str| text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
            let path = |text: &str| text.split('.').filter(|word| !word.is_empty()).map(str::to_owned).collect();
            let kind = Kind {
                id,
                group: row.group.to_owned(),
                version: if row.group == "autoscaling" { "v2" } else { "v1" }.to_owned(),
                kind: row.kind.to_owned(),
                plural: row.plural.to_owned(),
                singular: row.kind.to_lowercase(),
                short_names: words(row.short),
                categories: words(row.categories),
                namespaced: row.namespaced,
                status: row.traits.contains('s'),
                scale: row.traits.contains('c').then(|| Scale {
                    spec: path("spec.replicas"),
                    status: path("status.replicas"),
                    selector: path("spec.selector"),
                }),
                generation: row.traits.contains('g'),
                schema: schema.clone(),
                root: schema.named(row.of).expect("every row names a type of the built-in table"),
                custom: None,
            };
            if row.group == "autoscaling" {
                let root = schema.named("autoscaling.v1.HorizontalPodAutoscaler").expect("of the built-in table");
                kinds.serve(Kind { version: "v1".to_owned(), root, ..kind.clone() }, false);
            }
            kinds.serve(kind, true);
        }
        kinds
    }
}

impl Kinds {
    fn id(&mut self, group: &str, plural: &str) -> ResourceId {
        let next = ResourceId(u32::try_from(self.ids.len()).expect("bounded by the number of definitions"));
        *self.ids.entry((group.to_owned(), plural.to_owned())).or_insert(next)
    }

    fn store(&mut self, kind: &Arc<Kind>) {
        self.stored.insert(kind.id, kind.clone());
        self.named.entry(kind.group.clone()).or_default().insert(kind.kind.clone(), kind.clone());
    }

    fn serve(&mut self, kind: Kind, stored: bool) {
        let kind = Arc::new(kind);
        if stored {
            self.store(&kind);
        }
        self.served.insert((kind.group.clone(), kind.version.clone(), kind.plural.clone()), kind);
    }

    /// Returns a kind by the names in a path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.served.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// Returns the stored version of a kind.
    pub fn stored(&self, id: ResourceId) -> Option<&Arc<Kind>> {
        self.stored.get(&id)
    }

    /// Returns the stored version of the kind of this group and name.
    pub fn of_kind(&self, group: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.named.get(group)?.get(kind)
    }

    /// Returns the stored version of the kind with this plural.
    pub fn of_plural(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.ids.get(&(group.to_owned(), plural.to_owned())).and_then(|id| self.stored.get(id))
    }

    /// Lists every served kind and version, by group, version and plural.
    pub fn served(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.served.values()
    }

    /// Lists the stored version of every kind.
    pub fn all_stored(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.stored.values()
    }

    /// Lists all served versions of one kind.
    pub fn versions(&self, id: ResourceId) -> impl Iterator<Item = &Arc<Kind>> {
        self.served.values().filter(move |kind| kind.id == id)
    }

    /// Serves the kinds of an established definition, in place of what it served before.
    pub fn serve_custom(&mut self, definition: &Value) {
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let words = |value: &Value| -> Vec<String> { value.as_array().into_iter().flatten().map(text).collect() };
        let (group, names) = (text(&spec["group"]), &definition["status"]["acceptedNames"]);
        let plural = text(&names["plural"]);
        self.remove_custom(&group, &plural);
        let id = self.id(&group, &plural);
        for version in spec["versions"].as_array().into_iter().flatten() {
            let is_stored = version["storage"].as_bool().unwrap_or(false);
            let is_served = version["served"].as_bool().unwrap_or(false);
            let (schema, root) = schema::custom(version["schema"].get("openAPIV3Schema"));
            let path =
                |value: &Value| text(value).split('.').filter(|word| !word.is_empty()).map(str::to_owned).collect();
            let scale = version["subresources"].get("scale").map(|scale| Scale {
                spec: path(&scale["specReplicasPath"]),
                status: path(&scale["statusReplicasPath"]),
                selector: path(&scale["labelSelectorPath"]),
            });
            let kind = Arc::new(Kind {
                id,
                group: group.clone(),
                version: text(&version["name"]),
                kind: text(&names["kind"]),
                plural: plural.clone(),
                singular: text(&names["singular"]),
                short_names: words(&names["shortNames"]),
                categories: words(&names["categories"]),
                namespaced: spec["scope"].as_str() == Some("Namespaced"),
                status: version["subresources"].get("status").is_some(),
                scale,
                generation: true,
                schema: Arc::new(schema),
                root,
                custom: Some(Arc::new(version.clone())),
            });
            if is_stored {
                self.store(&kind);
            }
            if is_served {
                self.served.insert((group.clone(), kind.version.clone(), plural.clone()), kind);
            }
        }
    }

    /// Stops serving a custom kind; built-in kinds stay.
    pub fn remove_custom(&mut self, group: &str, plural: &str) {
        self.served.retain(|_, kind| kind.custom.is_none() || kind.group != group || kind.plural != plural);
        self.stored.retain(|_, kind| kind.custom.is_none() || kind.group != group || kind.plural != plural);
        for kinds in self.named.values_mut() {
            kinds.retain(|_, kind| kind.custom.is_none() || kind.group != group || kind.plural != plural);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_shape_and_a_name_of_its_own() {
        let kinds = Kinds::default();
        // The autoscaler is served in two versions.
        assert_eq!(kinds.served().count(), BUILTIN.len() + 1);
        assert!(kinds.find("apps", "v1", "deployments").is_some_and(|kind| kind.scale.is_some()));
        assert!(kinds.find("autoscaling", "v2", "horizontalpodautoscalers").is_some());
    }
}
