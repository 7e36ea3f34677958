//! Label and field selectors.
//!
//! Parses what `kubectl -l` and `--field-selector` send, and says whether an object matches. Pure. Invariant: the empty selector matches
//! everything.

use serde_json::Value;

use crate::kinds::Kind;

/// Most requirements in one selector.
pub const REQUIREMENTS_MAX: usize = 256;

/// A conjunction of requirements on labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<(String, Requirement)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

/// A conjunction of requirements on fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, bool, String)>);

impl Labels {
    /// Parses the text form: `a=b,c!=d,e in (f,g),h,!i`. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Labels, String> {
        let mut requirements = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            if requirements.len() == REQUIREMENTS_MAX {
                return Err(format!("more than {REQUIREMENTS_MAX} requirements"));
            }
            requirements.push(requirement(part).ok_or_else(|| problem(part))?);
        }
        Ok(Labels(requirements))
    }

    /// Reads a `LabelSelector` object; an absent one matches nothing and gives `None`.
    pub fn of_object(selector: &Value) -> Option<Labels> {
        let mut requirements = Vec::new();
        selector.as_object()?;
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            requirements.push((key.clone(), Requirement::In(vec![value.as_str().unwrap_or_default().to_owned()])));
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let requirement = match expression["operator"].as_str()? {
                "In" => Requirement::In(values),
                "NotIn" => Requirement::NotIn(values),
                "Exists" => Requirement::Exists,
                "DoesNotExist" => Requirement::Absent,
                _ => return None,
            };
            requirements.push((expression["key"].as_str()?.to_owned(), requirement));
        }
        Some(Labels(requirements))
    }

    /// Whether the object's labels meet every requirement.
    pub fn matches(&self, object: &Value) -> bool {
        self.match_labels(&object["metadata"]["labels"])
    }

    /// Whether a map of labels meets every requirement.
    pub fn match_labels(&self, labels: &Value) -> bool {
        self.0.iter().all(|(key, requirement)| {
            let value = labels[key.as_str()].as_str();
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match requirement {
                Requirement::In(values) => value.is_some_and(|value| values.iter().any(|other| other == value)),
                Requirement::NotIn(values) => !value.is_some_and(|value| values.iter().any(|other| other == value)),
                Requirement::Exists => value.is_some(),
                Requirement::Absent => value.is_none(),
                Requirement::Greater(bound) => number().is_some_and(|number| number > *bound),
                Requirement::Less(bound) => number().is_some_and(|number| number < *bound),
            }
        })
    }

    /// Whether nothing is required.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Says what is wrong with a requirement, as far as its beginning tells.
fn problem(part: &str) -> String {
    let operators = ["==", "!=", "=", ">", "<", "(", ")"];
    match operators.into_iter().find(|operator| part.starts_with(operator)) {
        Some(operator) => format!("found '{operator}', expected: !, identifier, or 'end of string'"),
        None => format!("unable to parse requirement: {part:?}"),
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_usize);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Option<(String, Requirement)> {
    let key = |text: &str| {
        let text = text.trim();
        let fits = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
        (!text.is_empty() && text.chars().all(fits)).then(|| text.to_owned())
    };
    if let Some(rest) = part.strip_prefix('!').filter(|rest| !rest.starts_with('=')) {
        return Some((key(rest)?, Requirement::Absent));
    }
    for (operator, is_in) in [(" notin ", false), (" in ", true), (" notin(", false), (" in(", true)] {
        if let Some((left, right)) = part.split_once(operator) {
            let right = right.trim().trim_start_matches('(').strip_suffix(')')?;
            let values: Vec<String> = right.split(',').map(|value| value.trim().to_owned()).collect();
            return Some((key(left)?, if is_in { Requirement::In(values) } else { Requirement::NotIn(values) }));
        }
    }
    if let Some((left, right)) = part.split_once("!=") {
        return Some((key(left)?, Requirement::NotIn(vec![right.trim().to_owned()])));
    }
    if let Some((left, right)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some((key(left)?, Requirement::In(vec![right.trim().to_owned()])));
    }
    if let Some((left, right)) = part.split_once('>') {
        return Some((key(left)?, Requirement::Greater(right.trim().parse().ok()?)));
    }
    if let Some((left, right)) = part.split_once('<') {
        return Some((key(left)?, Requirement::Less(right.trim().parse().ok()?)));
    }
    Some((key(part)?, Requirement::Exists))
}

impl Fields {
    /// Parses the text form `a=b,c!=d` for a kind. The error is in the server's words.
    pub fn parse(text: &str, kind: &Kind) -> Result<Fields, String> {
        let mut requirements = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, equal, value) = match part.split_once("!=") {
                Some((name, value)) => (name, false, value),
                None => {
                    let both = part.split_once("==").or_else(|| part.split_once('='));
                    let (name, value) =
                        both.ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
                    (name, true, value)
                }
            };
            if !is_selectable(kind, name) {
                let known =
                    format!("{name:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
                return Err(if selectable(kind).is_empty() {
                    known
                } else {
                    format!("field label not supported: {name}")
                });
            }
            if requirements.len() == REQUIREMENTS_MAX {
                return Err(format!("more than {REQUIREMENTS_MAX} requirements"));
            }
            requirements.push((name.to_owned(), equal, value.to_owned()));
        }
        Ok(Fields(requirements))
    }

    /// Whether the object's fields meet every requirement; an absent field counts as empty text.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(name, equal, value)| {
            let mut found = object;
            for part in name.split('.') {
                found = &found[part];
            }
            let text = match found {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            (text == *value) == *equal
        })
    }

    /// Whether nothing is required.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_selectable(kind: &Kind, field: &str) -> bool {
    if matches!(field, "metadata.name" | "metadata.namespace") {
        return true;
    }
    if let Some(custom) = &kind.custom {
        let fields = custom["selectableFields"].as_array().into_iter().flatten();
        return fields.filter_map(|field| field["jsonPath"].as_str()).any(|path| path.trim_start_matches('.') == field);
    }
    selectable(kind).contains(&field)
}

/// Lists the fields of a built-in kind that can be selected, beside name and namespace.
fn selectable(kind: &Kind) -> &'static [&'static str] {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "Secret") => &["type"],
        ("", "Namespace") => &["status.phase"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("apps", "ReplicaSet") | ("", "ReplicationController") => &["status.replicas"],
        ("batch", "Job") => &["status.successful"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors_match_as_kubectl_means_them() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "2"}}});
        let cases = [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=3", true),
            ("app in (api, web)", true),
            ("app notin (web)", false),
            ("app", true),
            ("!app", false),
            ("!gone,tier>1", true),
            ("tier<2", false),
            ("gone=", false),
        ];
        for (text, expected) in cases {
            assert_eq!(Labels::parse(text).expect(text).matches(&object), expected, "{text}");
        }
        assert!(Labels::parse("a b").is_err());
    }
}
