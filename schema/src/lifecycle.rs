//! What became of API versions: since when they are deprecated, when they were removed, and what takes their place.
//!
//! Complete for what was removed before the recorded versions ([`super::OLDEST`]); what a recorded version has or not is [`super::table`]'s.
//! Presence in 1.29 to 1.37 is tested against the recorded shapes. What is deprecated in 1.35 is what a kube-apiserver 1.35 with all its APIs switched
//! on (`--runtime-config=api/all=true`) warns of; what was deprecated and removed before is of the deprecation guide, and not checked. Invariant: what is removed was deprecated.

use super::Minor;

/// What became of a kind in one version of its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// The first version of Kubernetes in which it is deprecated.
    pub deprecated: Minor,
    /// The first that does not have it; nothing where all known ones do.
    pub removed: Option<Minor>,
    /// What to write instead: an API version, or a sentence's end where there is none.
    pub instead: &'static str,
}

/// Returns what became of a kind; nothing where it is neither deprecated nor removed.
pub fn fate(api_version: &str, kind: &str) -> Option<Fate> {
    let row = ROWS.iter().find(|row| row.0 == api_version && (row.1.is_empty() || row.1.contains(&kind)))?;
    let (_, _, deprecated, removed, instead) = *row;
    Some(Fate { deprecated: Minor(deprecated), removed: (removed != 0).then_some(Minor(removed)), instead })
}

/// API version, kinds (none for all), deprecated, removed (0 for never), instead.
type Row = (&'static str, &'static [&'static str], u16, u16, &'static str);

const PSP: &str = "Pod Security Admission (labels of the namespace)";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("extensions/v1beta1", &["Ingress"], 14, 22, "networking.k8s.io/v1"),
    ("extensions/v1beta1", &["NetworkPolicy"], 9, 16, "networking.k8s.io/v1"),
    ("extensions/v1beta1", &["PodSecurityPolicy"], 10, 16, PSP),
    ("extensions/v1beta1", &["DaemonSet", "Deployment", "ReplicaSet"], 9, 16, "apps/v1"),
    ("apps/v1beta1", &[], 9, 16, "apps/v1"),
    ("apps/v1beta2", &[], 9, 16, "apps/v1"),
    ("settings.k8s.io/v1alpha1", &["PodPreset"], 19, 20, "a mutating webhook"),
    ("batch/v2alpha1", &["CronJob"], 19, 21, "batch/v1"),
    ("admissionregistration.k8s.io/v1beta1", &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"], 16, 22, "admissionregistration.k8s.io/v1"),
    ("apiextensions.k8s.io/v1beta1", &[], 16, 22, "apiextensions.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", &[], 19, 22, "apiregistration.k8s.io/v1"),
    ("authentication.k8s.io/v1beta1", &["TokenReview"], 19, 22, "authentication.k8s.io/v1"),
    ("authorization.k8s.io/v1beta1", &[], 19, 22, "authorization.k8s.io/v1"),
    ("certificates.k8s.io/v1beta1", &["CertificateSigningRequest"], 19, 22, "certificates.k8s.io/v1"),
    ("coordination.k8s.io/v1beta1", &["Lease"], 19, 22, "coordination.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", &["Ingress", "IngressClass"], 19, 22, "networking.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1alpha1", &[], 17, 22, "rbac.authorization.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", &[], 17, 22, "rbac.authorization.k8s.io/v1"),
    ("scheduling.k8s.io/v1alpha1", &["PriorityClass"], 14, 22, "scheduling.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", &["PriorityClass"], 14, 22, "scheduling.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"], 19, 22, "storage.k8s.io/v1"),
    ("autoscaling/v2beta1", &[], 22, 25, "autoscaling/v2"),
    ("batch/v1beta1", &["CronJob"], 21, 25, "batch/v1"),
    ("discovery.k8s.io/v1beta1", &["EndpointSlice"], 21, 25, "discovery.k8s.io/v1"),
    ("events.k8s.io/v1beta1", &["Event"], 22, 25, "events.k8s.io/v1"),
    ("node.k8s.io/v1beta1", &["RuntimeClass"], 22, 25, "node.k8s.io/v1"),
    ("policy/v1beta1", &["PodDisruptionBudget"], 21, 25, "policy/v1"),
    ("policy/v1beta1", &["PodSecurityPolicy"], 21, 25, PSP),
    ("autoscaling/v2beta2", &[], 23, 26, "autoscaling/v2"),
    ("flowcontrol.apiserver.k8s.io/v1beta1", &[], 23, 26, "flowcontrol.apiserver.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", &["CSIStorageCapacity"], 24, 27, "storage.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta2", &[], 26, 29, "flowcontrol.apiserver.k8s.io/v1"),
    ("flowcontrol.apiserver.k8s.io/v1beta3", &[], 29, 32, "flowcontrol.apiserver.k8s.io/v1"),
    ("admissionregistration.k8s.io/v1beta1", &["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"], 31, 34, "admissionregistration.k8s.io/v1"),
    ("networking.k8s.io/v1beta1", &["IPAddress", "ServiceCIDR"], 34, 37, "networking.k8s.io/v1"),
    ("storage.k8s.io/v1beta1", &["VolumeAttributesClass"], 34, 37, "storage.k8s.io/v1"),
    ("admissionregistration.k8s.io/v1alpha1", &["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"], 35, 38, "admissionregistration.k8s.io/v1"),
    ("coordination.k8s.io/v1alpha2", &["LeaseCandidate"], 35, 38, "coordination.k8s.io/v1beta1"),
    ("resource.k8s.io/v1beta1", &["DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"], 35, 38, "resource.k8s.io/v1"),
    ("v1", &["ComponentStatus"], 19, 0, "the health endpoints of the control plane"),
    ("v1", &["Endpoints"], 33, 0, "an EndpointSlice of discovery.k8s.io/v1"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NEWEST, OLDEST, table};

    #[test]
    fn what_is_removed_was_deprecated_and_the_recorded_versions_agree() {
        for (api_version, kinds, deprecated, removed, _) in ROWS {
            assert!(*removed == 0 || deprecated < removed, "{api_version}");
            for minor in OLDEST.0..=NEWEST.0 {
                for kind in kinds.iter().filter(|kind| **kind != "ComponentStatus") {
                    let is_there = table::kind(Minor(minor), api_version, kind).is_some();
                    let is_gone = *removed != 0 && minor >= *removed;
                    // Some came later than the oldest version that is recorded.
                    assert!(!(is_there && is_gone), "{api_version} {kind} in 1.{minor}");
                    assert!(is_there || is_gone || minor < *deprecated, "{api_version} {kind} in 1.{minor}");
                }
            }
        }
    }

    #[test]
    fn what_takes_the_place_exists() {
        for (api_version, kinds, _, _, instead) in
            ROWS.iter().filter(|row| row.4.ends_with("/v1") && !row.4.contains(' '))
        {
            for kind in kinds.iter().filter(|kind| **kind != "TokenReview") {
                assert!(table::kind(NEWEST, instead, kind).is_some(), "{api_version} {kind} -> {instead}");
            }
        }
    }
}
