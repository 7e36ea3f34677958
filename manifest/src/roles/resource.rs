//! The name under which the API serves a kind: `deployments` of `Deployment`.
//!
//! For Kubernetes' own kinds the name follows from the kind; for others a CustomResourceDefinition says it. Where neither helps it is a guess,
//! and said to be.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::object::Manifest;

/// Names by group and kind.
pub(super) type Defined = BTreeMap<(String, String), String>;

/// Returns what the CustomResourceDefinitions among some manifests say.
pub(super) fn defined(manifests: &[Manifest]) -> Defined {
    let definitions = manifests.iter().filter(|manifest| manifest.id.kind == "CustomResourceDefinition");
    definitions
        .filter_map(|manifest| {
            let text = |pointer| manifest.value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            Some(((text("/spec/group")?, text("/spec/names/kind")?), text("/spec/names/plural")?))
        })
        .collect()
}

/// Returns the name of a kind.
///
/// # Errors
/// The likely name, where nothing says it.
pub(super) fn plural(group: &str, kind: &str, defined: &Defined) -> Result<String, String> {
    if let Some(name) = defined.get(&(group.to_owned(), kind.to_owned())) {
        return Ok(name.clone());
    }
    let name = regular(kind);
    if super::is_own(group, kind) { Ok(name) } else { Err(name) }
}

/// Source: Kubernetes 1.33 API reference; all its kinds are regular English but `Endpoints`.
fn regular(kind: &str) -> String {
    let name = kind.to_lowercase();
    if name == "endpoints" {
        return name;
    }
    let before_y = name.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']));
    match before_y {
        Some(stem) => format!("{stem}ies"),
        None if name.ends_with(['s', 'x', 'z']) || name.ends_with("ch") || name.ends_with("sh") => format!("{name}es"),
        None => format!("{name}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_their_resources() {
        let pairs = [
            ("Deployment", "deployments"),
            ("Ingress", "ingresses"),
            ("IngressClass", "ingressclasses"),
            ("NetworkPolicy", "networkpolicies"),
            ("Endpoints", "endpoints"),
            ("ComponentStatus", "componentstatuses"),
            ("IPAddress", "ipaddresses"),
            ("ServiceCIDR", "servicecidrs"),
            ("CSIStorageCapacity", "csistoragecapacities"),
            ("Gateway", "gateways"),
        ];
        for (kind, resource) in pairs {
            assert_eq!(regular(kind), resource);
        }
        assert_eq!(plural("x.example", "Mouse", &Defined::new()), Err("mouses".to_owned()));
        let defined = Defined::from([(("x.example".to_owned(), "Mouse".to_owned()), "mice".to_owned())]);
        assert_eq!(plural("x.example", "Mouse", &defined), Ok("mice".to_owned()));
        assert_eq!(plural("apps", "Deployment", &Defined::new()), Ok("deployments".to_owned()));
    }
}
