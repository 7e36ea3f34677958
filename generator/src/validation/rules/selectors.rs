//! Selectors of labels, and whether they match what they are to find.
//!
//! Source: the API reference of `LabelSelector`. Invariant: a selector with a mistake in it is not said not to match.

use serde_json::Value;

use super::{Part, names};
use crate::validation::Finding;

/// Adds what is wrong with the form of a selector. Returns whether it has none.
pub(super) fn check(selector: &Part<'_, '_>, found: &mut Vec<Finding>) -> bool {
    let before = found.len();
    names::labels(&selector.field("matchLabels"), found);
    let expressions = selector.field("matchExpressions");
    for expression in expressions.items() {
        let (operator, values) = (expression.field("operator"), expression.field("values"));
        let is_empty = values.value.as_array().is_none_or(Vec::is_empty);
        match operator.text() {
            "In" | "NotIn" if is_empty => {
                found.push(expression.must(&format!("must have `values`: its operator is `{}`", operator.text())));
            }
            "Exists" | "DoesNotExist" if !is_empty => {
                found.push(values.must(&format!("must not be there: the operator is `{}`", operator.text())));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ if operator.value.is_string() => {
                found.push(operator.must("must be one of In, NotIn, Exists, DoesNotExist"));
            }
            _ => {}
        }
        let key = expression.field("key");
        if let Some(rule) = key.value.as_str().and_then(names::key_problem) {
            found.push(key.wrong("bad-label", format!("`{}` {rule}", key.path())));
        }
    }
    found.len() == before
}

/// Whether a selector asks for nothing, and so would find everything.
pub(super) fn is_empty(selector: &Part<'_, '_>) -> bool {
    let is_empty = |field: &str| match selector.field(field).value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    is_empty("matchLabels") && is_empty("matchExpressions")
}

/// Adds that the selector of a workload is empty, or does not match the labels of its template.
pub(super) fn match_template(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let selector = spec.field("selector");
    if !selector.value.is_object() || !check(&selector, found) {
        return;
    }
    if is_empty(&selector) {
        found.push(selector.must("must not be empty"));
        return;
    }
    let (template, metadata) = (spec.field("template"), "metadata");
    let metadata = template.field(metadata);
    let labels = metadata.field("labels");
    if !template.value.is_object() {
        return;
    }
    let wanted = selector.field("matchLabels");
    let missed = wanted.entries().find(|(key, value)| labels.value.get(key) != Some(value.value));
    let message =
        |what: String| format!("`{}` does not match the labels of `{}`{what}", selector.path(), template.path());
    if let Some((key, value)) = missed {
        let what = match labels.value.get(key) {
            Some(_) => format!(": `{key}` has another value there"),
            None => format!(": there is no `{key}`"),
        };
        found.push(value.wrong("selector-mismatch", message(what)).hint(
            "write both from the same template, so that they stay equal; a selector cannot be changed once it is applied",
        ));
        return;
    }
    let expressions = selector.field("matchExpressions");
    let failed = expressions.items().find(|expression| !fits(expression, labels.value));
    if let Some(expression) = failed {
        found.push(expression.wrong("selector-mismatch", message(String::new())));
    }
}

fn fits(expression: &Part<'_, '_>, labels: &Value) -> bool {
    let label = labels.get(expression.field("key").text());
    let is_in = || expression.field("values").items().any(|value| Some(value.value) == label);
    match expression.field("operator").text() {
        "In" => is_in(),
        "NotIn" => !is_in(),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        _ => true,
    }
}
