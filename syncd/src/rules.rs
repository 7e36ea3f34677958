//! How to read the readiness of custom kinds: rules as data.
//!
//! A rule names kinds and says, in tests over the object, when it has failed, when it is under way and when it is current; they are asked
//! in this order, and an object to which none applies is under way. Built-in rules are in `rules/builtin.yaml`, each with its source;
//! a file of the same format adds to them and wins over them. Tests are JSON pointers and literal values, nothing that could run: a CEL
//! interpreter would be the largest dependency of the wait for expressions that all known kinds do without.
//!
//! Knows no object and no verdict: [`crate::readiness`] asks the tests. Invariant: the last rule that names a kind is the one that holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::cluster::GroupKind;
use crate::yaml_file::{self, YamlFileError};

/// Rules, later ones over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// What is true of some kinds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// `Kind.group`, `*.group`, or either with `*` before a suffix of the group: `*.*.crossplane.io`.
    pub kinds: Vec<String>,
    /// It will not become current by itself if one of these is true.
    #[serde(default)]
    pub failed: Vec<Test>,
    /// It is under way if one of these is true.
    #[serde(default)]
    pub progressing: Vec<Test>,
    /// It does what it is for if one of these is true.
    #[serde(default)]
    pub current: Vec<Test>,
    /// Where to find words for people, best first; by default the message of a condition that is not as it should be.
    #[serde(default)]
    pub show: Vec<String>,
}

/// True if every place has one of its values.
///
/// A place is a JSON pointer, or `condition/Type`, `reason/Type`, `message/Type`. A condition of an older generation has no status.
pub type Test = BTreeMap<String, Values>;

/// Values as text: strings as they are, numbers and booleans as JSON writes them. `""`: absent; `*`: anything but absent;
/// `=/pointer`: what stands there, if anything does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values(pub Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let list = if let Value::Array(list) = value { list } else { vec![value] };
        let texts: Option<Vec<String>> = list.iter().map(text).collect();
        texts
            .map(Values)
            .ok_or_else(|| serde::de::Error::custom("expected a text, number or boolean, or a list of them"))
    }
}

/// Returns a scalar as text; absent for anything else.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Why a file of rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] YamlFileError),
    /// Not rules.
    #[error("rule {number}: {message}")]
    Rule {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        message: String,
    },
}

impl Default for Rules {
    fn default() -> Self {
        Rules(read(include_str!("rules/builtin.yaml")).expect("the built-in rules are read by a test"))
    }
}

impl Rules {
    /// Returns the built-in rules with those of a file over them.
    ///
    /// # Errors
    /// See [`RulesError`].
    pub fn with_file(text: &str) -> Result<Self, RulesError> {
        let mut rules = Rules::default();
        rules.0.extend(read(text)?);
        Ok(rules)
    }

    /// Returns the rule of a kind.
    pub fn of(&self, kind: &GroupKind) -> Option<&Rule> {
        self.0.iter().rev().find(|rule| rule.kinds.iter().any(|name| names(name, kind)))
    }

    /// Returns all rules, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

fn names(name: &str, kind: &GroupKind) -> bool {
    let Some((wanted, group)) = name.split_once('.') else { return false };
    let in_group = match group.strip_prefix("*.") {
        Some(suffix) => kind.group.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        None => kind.group == group,
    };
    in_group && (wanted == "*" || wanted == kind.kind)
}

fn read(text: &str) -> Result<Vec<Rule>, RulesError> {
    let mut rules = Vec::new();
    for document in yaml_file::read(text, "the rules have")? {
        let wrong = |number, message: String| RulesError::Rule { number, message };
        let list = match document {
            Value::Array(list) => list,
            Value::Null => continue,
            _ => return Err(wrong(1, "expected a list of rules".to_owned())),
        };
        for value in list {
            let number = rules.len() + 1;
            let rule: Rule = serde_json::from_value(value).map_err(|error| wrong(number, error.to_string()))?;
            check(&rule).map_err(|message| wrong(number, message))?;
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn check(rule: &Rule) -> Result<(), String> {
    if rule.kinds.is_empty() {
        return Err("it names no kinds".to_owned());
    }
    if let Some(name) = rule.kinds.iter().find(|name| !name.contains('.')) {
        return Err(format!("`{name}` has no group; write `Kind.group`"));
    }
    let tests = rule.failed.iter().chain(&rule.progressing).chain(&rule.current);
    let places = tests.clone().flat_map(|test| test.keys()).chain(&rule.show);
    let is_place = |place: &str| {
        place.starts_with('/') || ["condition/", "reason/", "message/"].iter().any(|p| place.starts_with(p))
    };
    if let Some(place) = places.into_iter().find(|place| !is_place(place)) {
        return Err(format!(
            "`{place}` is neither a JSON pointer nor `condition/`, `reason/` or `message/` with a type"
        ));
    }
    if tests.clone().any(BTreeMap::is_empty) {
        return Err("a test without places is always true; leave the list out".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> GroupKind {
        let (kind, group) = text.split_once('.').expect("Kind.group");
        GroupKind::new(group, kind)
    }

    #[test]
    fn the_built_in_rules_are_read_and_are_many() {
        let rules = Rules::default();
        let kinds: usize = rules.iter().map(|rule| rule.kinds.len()).sum();
        assert!(kinds >= 40, "{kinds}");
        assert!(rules.of(&kind("Certificate.cert-manager.io")).is_some());
        assert!(rules.of(&kind("Bucket.s3.aws.crossplane.io")).is_some());
        assert!(rules.of(&kind("Certificate.example.org")).is_none());
    }

    #[test]
    fn a_later_rule_wins() {
        let file = "- kinds: [Certificate.cert-manager.io]\n  current: [{/status/x: [1, true]}]\n";
        let rules = Rules::with_file(file).expect("rules");
        let rule = rules.of(&kind("Certificate.cert-manager.io")).expect("a rule");
        assert_eq!(rule.current[0]["/status/x"], Values(vec!["1".to_owned(), "true".to_owned()]));
    }

    #[test]
    fn names_match_kinds_and_suffixes_of_groups() {
        let cases = [
            ("Kafka.kafka.strimzi.io", "Kafka.kafka.strimzi.io", true),
            ("*.kafka.strimzi.io", "KafkaTopic.kafka.strimzi.io", true),
            ("*.*.crossplane.io", "Bucket.s3.aws.crossplane.io", true),
            ("*.*.crossplane.io", "Provider.crossplane.io", true),
            ("*.*.crossplane.io", "Bucket.notcrossplane.io", false),
            ("Kafka.kafka.strimzi.io", "Kafka.example.org", false),
        ];
        for (name, of, expected) in cases {
            assert_eq!(names(name, &kind(of)), expected, "{name} {of}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| Rules::with_file(text).expect_err("wrong").to_string();
        assert_eq!(wrong("a: 1"), "rule 1: expected a list of rules");
        assert_eq!(wrong("- kinds: [Pod]"), "rule 1: `Pod` has no group; write `Kind.group`");
        assert_eq!(wrong("- kinds: []"), "rule 1: it names no kinds");
        assert!(wrong("- kinds: [A.b]\n  nope: 1").contains("unknown field `nope`"));
        assert!(wrong("- kinds: [A.b]\n  current: [{status: x}]").contains("`status` is neither a JSON pointer"));
        assert!(wrong("- kinds: [A.b]\n  current: [{}]").contains("always true"));
        assert!(wrong("- [").starts_with("line "));
    }
}
