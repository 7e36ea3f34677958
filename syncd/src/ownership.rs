//! Who owns which field of an object, by the server's own account: `metadata.managedFields`.
//!
//! Kubernetes takes a field out of our entry in the moment in which somebody else gives it another value or removes it, and leaves what is
//! not ours alone. So our entry says whether something of ours was changed, without a value of the object being read. The same account
//! decides about fields that others may change ([`ANNOTATION_IGNORE`]). Knows no kind, no request. Invariant: what is under a pointer that is
//! ignored, and another manager owns, is not ours to change or to complain of.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::cluster::FIELD_MANAGER;

/// Annotation with JSON pointers, separated by commas, of fields that others may own: `/spec/replicas`.
pub const ANNOTATION_IGNORE: &str = "syncd/ignore";
/// What autoscalers change.
pub const REPLICAS: &str = "/spec/replicas";
/// The manager of Kubernetes' own controllers, which write the subresource `scale` for a HorizontalPodAutoscaler only.
const CONTROLLERS: &str = "kube-controller-manager";

/// What one manager owns.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a>(&'a Value);

/// Returns the entries of an object.
pub fn entries(object: &Value) -> impl Iterator<Item = Entry<'_>> {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten().map(Entry)
}

impl<'a> Entry<'a> {
    fn text(self, name: &str) -> &'a str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Tells whether it is what our applies own.
    pub fn is_ours(self) -> bool {
        self.text("manager") == FIELD_MANAGER
            && self.text("operation") == "Apply"
            && self.text("subresource").is_empty()
    }

    /// Tells whether it is of the object's status, which is nobody's wish.
    pub fn is_status(self) -> bool {
        self.text("subresource") == "status"
    }

    /// Tells whether it is what a HorizontalPodAutoscaler owns.
    pub fn is_autoscaler(self) -> bool {
        self.text("subresource") == "scale" && self.text("manager") == CONTROLLERS
    }

    /// Returns the manager's name, with the subresource it wrote.
    pub fn manager(self) -> String {
        match self.text("subresource") {
            "" => self.text("manager").to_owned(),
            subresource => format!("{} ({subresource})", self.text("manager")),
        }
    }

    /// Returns when it last changed something: RFC 3339, UTC, in seconds, so that texts compare as times do.
    pub fn time(self) -> &'a str {
        self.text("time")
    }

    /// Returns its fields, in order.
    pub fn fields(self) -> Vec<Field<'a>> {
        let mut found = Vec::new();
        if let Some(fields) = self.0.get("fieldsV1") {
            collect(fields, &mut Vec::new(), &mut found);
        }
        found
    }
}

/// The way to a field, in the words of `fieldsV1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a>(Vec<&'a str>);

fn collect<'a>(fields: &'a Value, way: &mut Vec<&'a str>, found: &mut Vec<Field<'a>>) {
    for (key, below) in fields.as_object().into_iter().flatten() {
        way.push(key);
        match below.as_object() {
            Some(children) if !children.is_empty() => collect(below, way, found),
            _ => found.push(Field(way.clone())),
        }
        way.pop();
    }
}

impl Field<'_> {
    /// Returns a number that stands for the field in this process.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }

    /// Tells whether it is what a JSON pointer names, or below that. Items of lists cannot be named: their places change.
    pub fn is_under(&self, pointer: &str) -> bool {
        let segments = pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"));
        let mut way = self.0.iter();
        let mut is_named = false;
        for segment in segments {
            is_named = way.next().and_then(|key| key.strip_prefix("f:")) == Some(segment.as_str());
            if !is_named {
                return false;
            }
        }
        is_named
    }

    /// Tells whether an object has it. An item of a list is known by its keys; one that the object leaves to the server's defaults counts as
    /// equal.
    pub fn is_in(&self, object: &Value) -> bool {
        let is_item = |item: &Value, keys: &Value| {
            let mut keys = keys.as_object().into_iter().flatten();
            keys.all(|(key, value)| item.get(key).is_none_or(|found| found == value))
        };
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let found = self.0.iter().try_fold(object, |at, key| match key.split_once(':') {
            Some(("f", name)) => at.get(name),
            Some(("k", keys)) => at.as_array()?.iter().find(|item| is_item(item, &parsed(keys))),
            Some(("v", value)) => at.as_array()?.iter().find(|item| **item == parsed(value)),
            Some((_, place)) => at.get(place.parse::<usize>().ok()?),
            // `.`: the thing itself.
            None => Some(at),
        });
        found.is_some()
    }

    /// Returns its name, if it is an entry of the mapping `parent` of the object.
    pub fn name_under(&self, parent: &str) -> Option<&str> {
        match self.0.as_slice() {
            [mapping, entry] if mapping.strip_prefix("f:") == Some(parent) => entry.strip_prefix("f:"),
            _ => None,
        }
    }

    /// Returns it for people: `spec.template.spec.containers[name="app"].image`.
    pub fn name(&self) -> String {
        let mut name = String::new();
        for key in &self.0 {
            match key.split_once(':') {
                Some(("f", field)) if field.contains(['.', '/']) => name.push_str(&format!("[{field:?}]")),
                Some(("f", field)) => {
                    name.push_str(if name.is_empty() { "" } else { "." });
                    name.push_str(field);
                }
                Some(("k", keys)) => {
                    let keys: Value = serde_json::from_str(keys).unwrap_or_default();
                    let pairs = keys.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={value}"));
                    name.push_str(&format!("[{}]", pairs.collect::<Vec<_>>().join(",")));
                }
                Some((_, item)) => name.push_str(&format!("[{item}]")),
                // `.`: the thing itself.
                None => {}
            }
        }
        name
    }
}

/// Returns the pointers that an object says others may own ([`ANNOTATION_IGNORE`]).
pub fn ignored(object: &Value) -> Vec<String> {
    let said = object.pointer("/metadata/annotations").and_then(|annotations| annotations.get(ANNOTATION_IGNORE));
    let pointers = said.and_then(Value::as_str).unwrap_or_default().split(',').map(str::trim);
    pointers.filter(|pointer| pointer.starts_with('/')).map(str::to_owned).collect()
}

/// Tells whether a manifest has fields that may be another's, as far as can be told from it alone.
pub fn may_yield(object: &Value) -> bool {
    object.pointer(REPLICAS).is_some() || !ignored(object).is_empty()
}

/// Tells whether another manager than we owns what a pointer names, or something below.
pub fn is_others(live: &Value, pointer: &str) -> bool {
    let others = entries(live).filter(|entry| !entry.is_ours());
    others.into_iter().any(|entry| entry.fields().iter().any(|field| field.is_under(pointer)))
}

/// Takes what a pointer names out of an object. What is not there is left out already.
pub fn strip(object: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    let name = last.replace("~1", "/").replace("~0", "~");
    if let Some(parent) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
        parent.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({"metadata": {"annotations": {"syncd/ignore": "/spec/replicas, /data/a~1b,nonsense"}, "managedFields": [
            {"manager": "syncd", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {
                "f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:image": {}}}},
            }},
            {"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "syncd", "operation": "Update", "subresource": "status", "fieldsV1": {"f:metadata": {"f:finalizers": {"v:\"x\"": {}}}}},
        ]}})
    }

    #[test]
    fn fields_have_names_for_people() {
        let object = object();
        let names: Vec<Vec<String>> =
            entries(&object).map(|entry| entry.fields().iter().map(Field::name).collect()).collect();
        let ours = [
            "metadata.labels[\"app.kubernetes.io/name\"]",
            "spec.containers[name=\"app\"]",
            "spec.containers[name=\"app\"].image",
        ];
        assert_eq!(names, [&ours[..], &["spec.replicas"], &["metadata.finalizers[\"x\"]"]]);
        let about: Vec<(bool, bool, bool, String)> = entries(&object)
            .map(|entry| (entry.is_ours(), entry.is_autoscaler(), entry.is_status(), entry.manager()))
            .collect();
        let expected = [
            (true, false, false, "syncd"),
            (false, true, false, "kube-controller-manager (scale)"),
            (false, false, true, "syncd (status)"),
        ];
        assert_eq!(about, expected.map(|(ours, scale, status, name)| (ours, scale, status, name.to_owned())));
    }

    #[test]
    fn an_object_has_a_field_or_not() {
        let object = object();
        let body =
            json!({"metadata": {"labels": {"app.kubernetes.io/name": "a"}}, "spec": {"containers": [{"name": "app"}]}});
        let ours = entries(&object).next().expect("one").fields();
        assert_eq!(ours.iter().map(|field| field.is_in(&body)).collect::<Vec<_>>(), [true, true, false]);
        let list = Field(vec!["f:finalizers", "v:\"x\""]);
        assert!(list.is_in(&json!({"finalizers": ["y", "x"]})) && !list.is_in(&json!({"finalizers": ["y"]})));
        let port = Field(vec!["f:ports", "k:{\"port\":80,\"protocol\":\"TCP\"}", "f:name"]);
        assert!(port.is_in(&json!({"ports": [{"port": 80, "name": "http"}]})), "the protocol is a default");
        assert!(!port.is_in(&json!({"ports": [{"port": 81, "name": "http"}]})));
    }

    #[test]
    fn what_is_ignored_is_stripped_only_if_another_owns_it() {
        let live = object();
        assert_eq!(ignored(&live), ["/spec/replicas", "/data/a~1b"]);
        assert!(is_others(&live, "/spec/replicas") && is_others(&live, "/spec"));
        assert!(!is_others(&live, "/spec/containers"), "that is ours alone");
        assert!(!is_others(&live, "/spec/replicas/x") && !is_others(&live, ""));
        let mut body = json!({"spec": {"replicas": 2, "x": 1}, "data": {"a/b": "c"}});
        strip(&mut body, "/spec/replicas");
        strip(&mut body, "/data/a~1b");
        strip(&mut body, "/nothing/there");
        assert_eq!(body, json!({"spec": {"x": 1}, "data": {}}));
    }
}
